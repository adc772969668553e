"""Recommendation on Online Retail: the last order of each customer with at least three, from what was known before.

An order is asked about with the index of the days before it. The ranker is trained on the orders before the last; its
features and settings were chosen on the second to last, with a ranker trained on those before. Baselines see the same
days.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.applications.lines import Line
from intent_tracking.applications.recommendation.candidates import FEATURES, Candidates
from intent_tracking.applications.recommendation.history import History, Visit
from intent_tracking.applications.recommendation.interactions import (
    MOST_ITEMS_OF_A_VISIT,
    NEVER,
    Catalogue,
    Interactions,
    Ints,
    Reach,
    day_number,
    day_of,
    interactions_of,
)
from intent_tracking.applications.recommendation.item_index import ItemIndex, learn_index
from intent_tracking.applications.recommendation.learning import Example, observed, ranker_rows, recall_at
from intent_tracking.applications.recommendation.ranker import Ranker
from intent_tracking.applications.recommendation.ranker_training import RankerConfig, RankerRows, fit_ranker
from intent_tracking.applications.recommendation.recommender import Question, Recommender
from intent_tracking.applications.recommendation.rules import Rules, shipped_rules
from intent_tracking.applications.recommendation.situation import Situation
from intent_tracking.datasets.folders import DataFolders
from intent_tracking.events.ingest import collect
from intent_tracking.events.landing import land
from intent_tracking.events.validate import validate

K = 20
SEED = 0
# An ablation trains a ranker for each generator: smaller ones tell as much of the difference.
ABLATION = RankerConfig(trees=80)
ABLATION_ORDERS = 3_000
LEAST_ORDERS = 3
MOST_LINES = 1000
COLUMNS = ["event_id", "event_name", "event_time", "shopper_id", "user_id", "items"]
# The columns of each generator: without it, the ranker does not see them and its own candidates are gone.
GENERATORS = {"own": "own_", "item to item": "together_", "visits like these": "visits_", "alike": "alike_"}


@dataclass(frozen=True)
class Order:
    """One invoice of a customer, in item numbers, as they stand on it."""

    day: int
    items: Ints


def retail_purchases(data: DataFolders) -> pa.Table:
    """The purchases of Online Retail, as the platform reads them."""
    files = sorted((data.require("online_retail") / "by-day").glob("*.csv"))
    with tempfile.TemporaryDirectory() as folder:
        land(files, "online_retail", "columns:online_retail", home=Path(folder))
        days = [date.fromisoformat(path.stem) for path in files]
        accepted = [validate(raw, day).accepted.select(COLUMNS) for day, raw in collect(Path(folder), days)]
    events = pa.concat_tables(accepted)
    return events.filter(pc.equal(events["event_name"], "purchase"))


def orders_of(purchases: pa.Table, numbers: dict[str, int]) -> dict[str, list[Order]]:
    """The orders of each customer, oldest first."""
    found: dict[str, list[Order]] = defaultdict(list)
    known = purchases.filter(pc.is_valid(purchases["user_id"])).sort_by(
        [("event_time", "ascending"), ("event_id", "ascending")]
    )
    for user, at, items in zip(*(known[name].to_pylist() for name in ("user_id", "event_time", "items")), strict=True):
        kept = list(dict.fromkeys(numbers[item["item_id"] or item["item_name"]] for item in items))
        found[user].append(Order(day_number(at.date()), np.array(kept, np.int32)))
    return found


def example_of(orders: Sequence[Order], target: int) -> Example:
    """The customer before order `target`; of a long order counts what counts of a visit."""
    earlier = [Order(order.day, order.items[-MOST_ITEMS_OF_A_VISIT:]) for order in orders[:target]]
    empty = np.zeros(0, np.int32)
    items = np.concatenate([empty, *(order.items for order in earlier)])[-MOST_LINES:]
    days = np.concatenate([empty, *(np.full(len(order.items), order.day, np.int32) for order in earlier)])[-MOST_LINES:]
    bought = np.full(len(items), Reach.BOUGHT, np.int8)
    situation = Situation(orders[target].day, items, bought, days, empty, np.zeros(0, np.int8))
    return Example(situation, orders[target].items)


def question_of(example: Example, catalogue: Catalogue) -> Question:
    """The same customer as the service would ask."""
    situation, visits = example.situation, []
    for day in np.unique(situation.days):
        items = situation.items[situation.days == day]
        visits.append(Visit(day_of(int(day)), {catalogue.ids[item]: Reach.BOUGHT for item in items}))
    return Question(History(tuple(visits)), (), None, day_of(situation.day), K, "en")


@dataclass(frozen=True)
class Asked:
    """A test order with all that was ranked for it."""

    taken: Ints
    owned: Ints
    candidates: Candidates
    ours: Ints
    ours_new: Ints
    seconds: float
    cpu_seconds: float
    baselines: dict[str, Ints]
    self_information: npt.NDArray[np.float64]


def asked(interactions: Interactions, tests: Sequence[Example], ranker: Ranker) -> Iterator[Asked]:
    """Every test order, asked as the service would."""
    rules = shipped_rules()
    usual = rules.strategies[rules.default_strategy]
    fresh = rules.model_copy(
        update={
            "strategies": {
                **rules.strategies,
                rules.default_strategy: usual.model_copy(update={"repeats": "leave_out"}),
            }
        }
    )
    for each in observed(interactions, tests):
        recommender, question = Recommender(each.index, ranker), question_of(each.example, each.index.catalogue)
        recommender.situation(question)  # the dictionary of the ids belongs to loading
        begin, cpu_begin = time.perf_counter(), time.thread_time()
        ours = _numbers(recommender, question, rules)
        seconds, cpu_seconds = time.perf_counter() - begin, time.thread_time() - cpu_begin
        situation, candidates = each.example.situation, each.candidates
        counts, figures = np.bincount(situation.items, minlength=len(each.index.catalogue)), each.index.figures
        popularity = figures.bought / (1 + figures.bought.max())
        yield Asked(
            taken=each.example.taken,
            owned=np.unique(situation.items),
            candidates=candidates,
            ours=ours,
            ours_new=_numbers(recommender, question, fresh),
            seconds=seconds,
            cpu_seconds=cpu_seconds,
            baselines={
                "popularity": _by(figures.bought),
                "popularity of 28 days": _by(figures.recent[1]),
                "item-kNN": candidates.items[_by(candidates.sources["together_past"])],
                "session-kNN": candidates.items[_by(candidates.sources["visits_past"])],
                "own past items": _by(np.where(counts > 0, counts + popularity, 0)),
            },
            self_information=-np.log2((figures.bought[ours] + 1) / (len(each.index.memory.days) + 1)),
        )


def _numbers(recommender: Recommender, question: Question, rules: Rules) -> Ints:
    answer = recommender.recommend(question, rules)
    return np.array([recommender.index.number_of[item.item_id] for item in answer.items], np.int32)


def _by(scores: npt.NDArray[np.float32]) -> Ints:
    order = np.argsort(-scores, kind="stable")[: 20 * K]
    return order[scores[order] > 0].astype(np.int32)


def _mean_recall(pairs: Sequence[tuple[Ints, Ints]]) -> float:
    return float(np.mean([recall_at(K, ranked, taken) for ranked, taken in pairs]))


def _without(ranked: Ints, gone: Ints) -> Ints:
    return ranked[~np.isin(ranked, gone)]


def run(data: DataFolders) -> list[Line]:
    """Measure on Online Retail, then on a made-up shop of a million items."""
    purchases = retail_purchases(data)
    interactions = interactions_of(purchases)
    numbers = {item_id: number for number, item_id in enumerate(interactions.catalogue.ids)}
    orders = orders_of(purchases, numbers)
    regular = {user for user, of in orders.items() if len(of) >= LEAST_ORDERS}
    tests = [example_of(of, len(of) - 1) for user, of in orders.items() if user in regular]
    earlier = [
        example_of(of, target)
        for user, of in orders.items()
        for target in range(1, len(of) - 1 if user in regular else len(of))
    ]
    rows = ranker_rows(observed(interactions, earlier), seed=SEED)
    ranker = fit_ranker(rows)
    results = list(asked(interactions, tests, ranker))
    return [
        *_quality(results, len(interactions.catalogue), len(earlier)),
        *_ablation(rows, results),
        *_speed(f"Online Retail, {len(interactions.catalogue):,} items", [each.seconds for each in results], 0.020),
        *_speed("the same in processor time, whatever else the machine does", [e.cpu_seconds for e in results], None),
        *_million(ranker),
    ]


def _quality(results: Sequence[Asked], catalogue: int, trained_on: int) -> list[Line]:
    names = list(results[0].baselines)
    last = f"Online Retail, last order of {len(results):,} customers"
    new = [each for each in results if len(_without(each.taken, each.owned))]
    return [
        Line(
            f"{last}, Recall@{K}",
            _mean_recall([(each.ours, each.taken) for each in results]),
            tuple((name, _mean_recall([(each.baselines[name], each.taken) for each in results])) for name in names),
            0.32,
            note=f"ranker trained on {trained_on:,} earlier orders, seed {SEED}",
        ),
        Line(
            f"new items only ({len(new):,} orders have some), Recall@{K}",
            _mean_recall([(each.ours_new, _without(each.taken, each.owned)) for each in new]),
            tuple(
                (name, _mean_recall([(_without(e.baselines[name], e.owned), _without(e.taken, e.owned)) for e in new]))
                for name in names
                if name != "own past items"
            ),
        ),
        Line(
            "coverage: share of the catalogue in some answer",
            len(np.unique(np.concatenate([each.ours for each in results]))) / catalogue,
            tuple(
                (name, len(np.unique(np.concatenate([e.baselines[name][:K] for e in results]))) / catalogue)
                for name in names
            ),
        ),
        Line(
            "novelty: mean self-information of a recommended item, bits",
            float(np.mean(np.concatenate([each.self_information for each in results]))),
        ),
    ]


def _ablation(rows: RankerRows, results: Sequence[Asked]) -> list[Line]:
    """Smaller rankers alone, without rules and diversity, trained without what each generator says."""
    step = max(1, len(rows.taken) // ABLATION_ORDERS)
    few = RankerRows(rows.features[::step], rows.taken[::step])

    def recall(of: Ranker, hidden: npt.NDArray[np.bool_], sources: tuple[str, ...]) -> float:
        pairs = []
        for each in results:
            features = np.where(hidden, np.float32(0), each.candidates.features)
            scores = of.score(features)
            if sources:
                scores = np.where(_only_named_by(each, sources), -1, scores)
            pairs.append((each.candidates.items[np.argsort(-scores, kind="stable")], each.taken))
        return _mean_recall(pairs)

    nothing = np.zeros(len(FEATURES), np.bool_)
    everything = recall(fit_ranker(few, ABLATION), nothing, ())
    lines = [Line(f"smaller ranker with all generators, Recall@{K}", everything)]
    for name, prefix in GENERATORS.items():
        hidden = np.array([feature.startswith(prefix) for feature in FEATURES], np.bool_)
        blind = RankerRows([np.where(hidden, np.float32(0), block) for block in few.features], few.taken)
        lines.append(
            Line(
                f"smaller ranker without {name}, Recall@{K}",
                recall(fit_ranker(blind, ABLATION), hidden, (prefix,)),
                (("with all", everything),),
            )
        )
    return lines


def _only_named_by(each: Asked, prefixes: tuple[str, ...]) -> npt.NDArray[np.bool_]:
    """Candidates that no other generator gave a score; popular ones stay."""
    named = np.zeros(len(each.candidates.items), np.bool_)
    for name, scores in each.candidates.sources.items():
        if not name.startswith(prefixes):
            named |= scores > 0
    if "own_" not in prefixes:
        named |= np.isin(each.candidates.items, each.owned)
    return ~named


def _speed(what: str, seconds: Sequence[float], target: float | None) -> list[Line]:
    p50, p99 = np.percentile(seconds, [50, 99])
    return [
        Line(f"{what}: one recommendation of {K}, p50 ms", 1000 * float(p50), better="lower"),
        Line(
            f"{what}: one recommendation of {K}, p99 ms",
            1000 * float(p99),
            target=None if target is None else 1000 * target,
            better="lower",
            note=f"{len(seconds):,} calls, one thread",
        ),
    ]


def _million(ranker: Ranker) -> list[Line]:
    """A made-up shop: a million items with names of four of 60,000 words, two million visits of five by Zipf's law.

    One visit of each day is a crawler's, as long as what counts of a visit may be.
    """
    interactions = _made_up(items=1_000_000, visits=2_000_000, lines=5)
    begin = time.perf_counter()
    index = learn_index(interactions, int(interactions.days[-1]) + 1)
    took = time.perf_counter() - begin
    recommender, random = Recommender(index, ranker), np.random.default_rng(SEED)
    seconds = []
    for _ in range(300):
        drawn = [index.catalogue.ids[i] for i in interactions.items[random.integers(0, len(interactions.items), 30)]]
        visits = tuple(
            Visit(day_of(index.day - 10 * age), dict.fromkeys(drawn[5 * age : 5 * age + 5], Reach.BOUGHT))
            for age in range(6, 0, -1)
        )
        question = Question(History(visits), [(drawn[0], Reach.LOOKED)], None, day_of(index.day), K, "en")
        recommender.recommend(question, shipped_rules()) if not seconds else None
        begin = time.perf_counter()
        recommender.recommend(question, shipped_rules())
        seconds.append(time.perf_counter() - begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    what = f"made-up shop, 1,000,000 items, {len(interactions.items):,} lines"
    return [
        Line(f"{what}: index learned in s", took, better="lower"),
        Line(f"{what}: arrays of the index, GB", _bytes(index) / 1e9, better="lower"),
        Line(f"{what}: most memory of the whole run, GB", peak, better="lower"),
        *_speed(what, seconds, None),
    ]


def _made_up(items: int, visits: int, lines: int) -> Interactions:
    random = np.random.default_rng(SEED)
    words = random.zipf(1.3, (items, 4)) % 60_000
    catalogue = Catalogue(
        ids=tuple(f"item-{number}" for number in range(items)),
        names=tuple(" ".join(f"w{word}" for word in row) for row in words.tolist()),
        categories=("",) * items,
        brands=("",) * items,
        prices=random.uniform(1, 100, items).astype(np.float32),
        first_days=np.zeros(items, np.int32),
    )
    days = np.sort(random.integers(15_000, 15_365, visits)).astype(np.int32)
    sizes = np.full(visits, lines)
    sizes[np.unique(days, return_index=True)[1]] = MOST_ITEMS_OF_A_VISIT
    starts = np.r_[0, np.cumsum(sizes)]
    # What is bought together stands close together: a popular item, and others near it.
    centre = random.zipf(1.2, visits) % items
    steps = random.geometric(0.1, starts[-1]).cumsum()
    chosen = np.repeat(centre * 7919 - steps[starts[:-1]], sizes) + steps
    reaches = np.repeat(np.where(sizes == lines, Reach.BOUGHT, Reach.LOOKED), sizes).astype(np.int8)
    firsts = np.full((len(reaches), len(Reach)), NEVER, np.int32)
    firsts[np.arange(len(reaches)), reaches - 1] = np.arange(len(reaches))
    return Interactions(
        catalogue=catalogue,
        starts=starts.astype(np.int64),
        items=(chosen % items).astype(np.int32),
        reaches=reaches,
        firsts=firsts,
        days=days,
        shoppers=random.integers(0, visits // 5, visits).astype(np.int32),
    )


def _bytes(index: ItemIndex) -> int:
    parts = (index.figures, index.together, index.alike, index.memory)
    return sum(value.nbytes for part in parts for value in vars(part).values())
