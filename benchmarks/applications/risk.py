"""Risk control: bots and fraud of the simulator, and which orders of Online Retail are cancelled.

Rules, weights and settings were chosen on the simulated shops CHOSEN_ON and on the months of Online Retail before
TEST_FROM; what is printed comes from other shops and later months.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, timedelta
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks.applications.lines import Line
from intent_tracking.applications.risk.cases import risk_cases, values_of
from intent_tracking.applications.risk.features import Kind, features_of
from intent_tracking.applications.risk.model import Decision, RiskModel
from intent_tracking.applications.risk.policy import shipped_policy
from intent_tracking.applications.risk.shop import Shop
from intent_tracking.applications.risk.training import learn
from intent_tracking.datasets.folders import DataFolders
from intent_tracking.events.contract import Event, SourcePosition, events_to_table
from intent_tracking.events.simulator import FaultRates, SimulationConfig, simulate_day, stream_day
from intent_tracking.events.simulator import Shop as SimulatedShop
from intent_tracking.features.batch import user_feature_snapshot
from intent_tracking.sessions.sessionise import sessionise

CHOSEN_ON = (1,)
TESTED_ON = (11, 12, 13)
SESSIONS_A_DAY = 250
WARM_UP, TRAINED, TESTED = 3, 14, 7
FALSE_POSITIVES = 0.01


@dataclass(frozen=True)
class SimulatedCases:
    """The session cases of one simulated shop by day, and which of them are bots or fraud."""

    days: tuple[tuple[date, pa.Table], ...]
    bots: frozenset[str]
    frauds: frozenset[str]
    events: pa.Table


@cache
def simulated(seed: int) -> SimulatedCases:
    """A shop with bots and fraud at the simulator's default rates; its log has no faults, so that truth joins by id."""
    days = WARM_UP + TRAINED + TESTED
    faultless = FaultRates(**{each.name: 0.0 for each in fields(FaultRates)})
    config = SimulationConfig(days=days, sessions_per_day=SESSIONS_A_DAY, seed=seed, faults=faultless)
    shop = SimulatedShop(config)
    logs: list[pa.Table] = []
    bots: set[str] = set()
    frauds: set[str] = set()
    for day in range(days + 1):
        events = (Event.model_validate(each) for each in stream_day(config, day, shop))
        logs.append(events_to_table((event, SourcePosition()) for event in events))
        for row in simulate_day(config, day, shop).truth:
            if row["kind"] == "session":
                bots |= {f"session:{row['session']}"} if row["bot"] else set()
                frauds |= {f"session:{row['session']}"} if row["fraud"] else set()
    found = []
    for day in range(WARM_UP, days):
        at = config.date_of(day)
        sessions = sessionise(pa.concat_tables(logs[day - 1 : day + 2]), at)
        known = user_feature_snapshot(pa.concat_tables(logs[max(0, day - 30) : day]), at - timedelta(days=1))
        found.append((at, risk_cases(sessions, pa.concat_tables(logs[max(0, day - 30) : day + 2]), known, at)))
    return SimulatedCases(tuple(found), frozenset(bots), frozenset(frauds), pa.concat_tables(logs[: WARM_UP + TRAINED]))


def simulated_scores(
    seed: int, *, with_labels: bool
) -> tuple[npt.NDArray[np.float64], list[str], dict[Decision, float]]:
    """Scores and ids of the test days' sessions, and the share of ordinary ones with each decision.

    With labels: people decided, rightly, about what the model without labels would have queued on the training days.
    """
    shop = simulated(seed)
    policy = shipped_policy()
    trained = pa.concat_tables([table for _, table in shop.days[:TRAINED]])
    until = shop.days[TRAINED - 1][0]
    learned = Shop.learned(shop.events)
    model, _ = learn(trained, {}, learned, policy, until, seed)
    if with_labels:
        model, _ = learn(trained, _decided(model, trained, shop), learned, policy, until, seed)
    tested = pa.concat_tables([table for _, table in shop.days[TRAINED:]])
    tested = tested.filter(pc.equal(tested["kind"], Kind.SESSION.value))
    said = model.assess_many(Kind.SESSION, values_of(tested, features_of(Kind.SESSION)))
    ids = tested["case_id"].to_pylist()
    risky = shop.bots | shop.frauds
    ordinary = [each.decision for each, case in zip(said, ids, strict=True) if case not in risky]
    shares = {decision: ordinary.count(decision) / len(ordinary) for decision in Decision}
    return np.array([each.score for each in said]), ids, shares


def _decided(model: RiskModel, cases: pa.Table, shop: SimulatedCases) -> dict[str, bool]:
    rows = cases.filter(pc.equal(cases["kind"], Kind.SESSION.value))
    said = model.assess_many(Kind.SESSION, values_of(rows, features_of(Kind.SESSION)))
    queued = [
        case
        for case, each in zip(rows["case_id"].to_pylist(), said, strict=True)
        if each.decision is not Decision.ALLOW
    ]
    return {case: case in shop.bots | shop.frauds for case in queued}


def recall_at(scores: npt.NDArray[np.float64], wanted: Sequence[bool], others: Sequence[bool], share: float) -> float:
    """Share of the wanted that score above all but `share` of the others."""
    falling = np.sort(scores[np.asarray(others)])[::-1]
    bar = falling[int(np.floor(share * len(falling)))]
    return float((scores[np.asarray(wanted)] > bar).mean())


def simulated_lines(seeds: Sequence[int] = TESTED_ON) -> Iterator[Line]:
    """Recall of bots and fraud at 1% false positives over the test days of `seeds`, each threshold of its own shop."""
    for with_labels in (False, True):
        recalls: dict[str, list[tuple[float, int]]] = {"bots and fraud": [], "bots": [], "fraud": []}
        decided: list[dict[Decision, float]] = []
        for seed in seeds:
            shop = simulated(seed)
            scores, ids, shares = simulated_scores(seed, with_labels=with_labels)
            decided.append(shares)
            risky = {"bots and fraud": shop.bots | shop.frauds, "bots": shop.bots, "fraud": shop.frauds}
            others = [case not in risky["bots and fraud"] for case in ids]
            for name, those in risky.items():
                wanted = [case in those for case in ids]
                recalls[name].append((recall_at(scores, wanted, others, FALSE_POSITIVES), sum(wanted)))
        how = "rules, forest and decisions of a queue" if with_labels else "rules and forest, no labels"
        reviewed, blocked = (
            float(np.mean([each[decision] for each in decided])) for decision in (Decision.REVIEW, Decision.BLOCK)
        )
        for name, found in recalls.items():
            count = sum(number for _, number in found)
            yield Line(
                f"simulator: recall of {name} at 1% false positives, {how}",
                sum(recall * number for recall, number in found) / count,
                target=0.9,
                note=f"{count} sessions of seeds {', '.join(map(str, seeds))}; of the ordinary ones {reviewed:.2%} are "
                f"reviewed, {blocked:.2%} blocked",
            )


# A cancellation may come late: an order counts as cancelled where a line of it is taken back within this time, and one
# is only learned from once this time is over.
HORIZON = timedelta(days=30)
FIRST_ORDER, VALIDATED_FROM, TEST_FROM, TEST_UNTIL = (
    date(2011, 1, 1),
    date(2011, 7, 1),
    date(2011, 9, 1),
    date(2011, 11, 9),
)
RESAMPLES = 1_000

_LINES = """
CREATE TABLE lines AS
SELECT DISTINCT InvoiceNo AS invoice, upper(StockCode) AS item, Quantity AS quantity, InvoiceDate AS moment,
  UnitPrice AS price, CustomerID::DOUBLE::BIGINT::VARCHAR AS customer
FROM read_csv($files, header = true, columns = {'InvoiceNo': 'VARCHAR', 'StockCode': 'VARCHAR',
  'Description': 'VARCHAR', 'Quantity': 'BIGINT', 'InvoiceDate': 'TIMESTAMP', 'UnitPrice': 'DOUBLE',
  'CustomerID': 'VARCHAR', 'Country': 'VARCHAR'})
WHERE CustomerID <> '' AND UnitPrice > 0 AND (InvoiceNo LIKE 'C%') = (Quantity < 0)
"""
# A line that is taken back belongs to the customer's last order before it that holds the item in at least that
# quantity; where none holds as many, to the last that holds the item; where none does, to an order before the data.
_CANCELLED = """
SELECT DISTINCT 'order:' || invoice FROM (
  SELECT max_by(bought.invoice, (bought.quantity >= -back.quantity, bought.moment)) AS invoice,
    max_by(bought.moment, (bought.quantity >= -back.quantity, bought.moment)) AS ordered, back.moment AS cancelled
  FROM lines AS back JOIN lines AS bought ON bought.customer = back.customer AND bought.item = back.item
    AND bought.invoice NOT LIKE 'C%' AND bought.moment < back.moment
  WHERE back.invoice LIKE 'C%' GROUP BY back.invoice, back.item, back.quantity, back.moment)
WHERE cancelled <= ordered + to_days(30)
"""
_EVENTS = """
SELECT invoice AS event_id, CASE WHEN invoice LIKE 'C%' THEN 'refund' ELSE 'purchase' END AS event_name,
  min(moment) AS event_time, customer AS user_id, customer AS shopper_id, invoice AS transaction_id, 'GBP' AS currency,
  round(sum(price * abs(quantity)), 2) AS value,
  list({item_id: item, price: price, quantity: abs(quantity)} ORDER BY item, price, quantity) AS items
FROM lines GROUP BY invoice, customer ORDER BY event_time, event_id
"""


def cancellations(folder: Path) -> tuple[dict[date, pa.Table], frozenset[str]]:
    """The events of Online Retail by day, those of known customers, and the case ids of orders that are cancelled."""
    with duckdb.connect() as database:
        database.execute(_LINES, {"files": str(folder / "by-day" / "*.csv")})
        cancelled = frozenset(row[0] for row in database.execute(_CANCELLED).fetchall())
        events = database.execute(_EVENTS).fetchall()
    by_day: dict[date, list[tuple[Event, SourcePosition]]] = {}
    for event_id, name, moment, user, _, transaction, currency, value, items in events:
        at = moment.replace(tzinfo=UTC)
        params = {"transaction_id": transaction, "currency": currency, "value": value, "items": items}
        envelope = {"event_id": event_id, "event_name": name, "event_time": at, "received_time": at, "user_id": user}
        event = Event.model_validate({**envelope, "source": "online_retail", "scene": "cart", "params": params})
        by_day.setdefault(at.date(), []).append((event, SourcePosition()))
    return {day: events_to_table(found) for day, found in by_day.items()}, cancelled


def order_cases(logs: dict[date, pa.Table]) -> pa.Table:
    """The product's cases of every order, each with the features of the evening before."""
    nothing = events_to_table([])

    def between(first: date, last: date) -> pa.Table:
        days = [first + timedelta(days=each) for each in range((last - first).days + 1)]
        return pa.concat_tables([logs.get(day, nothing) for day in days])

    found = []
    for day in sorted(day for day in logs if FIRST_ORDER <= day <= TEST_UNTIL):
        before, after = day - timedelta(days=1), day + timedelta(days=1)
        known = user_feature_snapshot(between(day - timedelta(days=30), before), before)
        history = between(day - timedelta(days=30), after)
        found.append(risk_cases(sessionise(between(before, after), day), history, known, day))
    cases = pa.concat_tables(found)
    return cases.filter(pc.equal(cases["kind"], Kind.ORDER.value))


def cancellation_scores(
    cases: pa.Table, cancelled: frozenset[str], first: date, last: date
) -> tuple[pa.Table, npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """The orders of `first` to `last`, scored by what was known before `first`: ours, the baseline's, the truth."""
    days = np.array([moment.date() for moment in cases["started_at"].to_pylist()])
    past = cases.filter(pa.array(days + HORIZON < first))
    asked = cases.filter(pa.array((days >= first) & (days <= last)))
    labels = {case: case in cancelled for case in past["case_id"].to_pylist()}
    model, _ = learn(past, labels, Shop(), shipped_policy(), first, seed=0)
    names = features_of(Kind.ORDER)
    ours = np.array([each.score for each in model.assess_many(Kind.ORDER, values_of(asked, names))])
    amount = LogisticRegression().fit(_amounts(past), list(labels.values()))
    truth = np.array([case in cancelled for case in asked["case_id"].to_pylist()])
    return asked, ours, amount.predict_proba(_amounts(asked))[:, 1], truth


def _amounts(cases: pa.Table) -> npt.NDArray[np.float64]:
    return np.log1p(np.array(cases["order_value"].to_pylist(), dtype=float))[:, None]


def cancellation_lines(data: DataFolders, first: date = TEST_FROM, last: date = TEST_UNTIL) -> Iterator[Line]:
    """The area under the curve of our score and of logistic regression on the amount, with intervals by customer."""
    logs, cancelled = cancellations(data.require("online_retail"))
    asked, ours, amount, truth = cancellation_scores(order_cases(logs), cancelled, first, last)
    area, baseline = (float(roc_auc_score(truth, scores)) for scores in (ours, amount))
    low, high, gain = resampled(asked["shopper_id"].to_pylist(), ours, amount, truth)
    yield Line(
        f"Online Retail: area under the curve of cancellation within {HORIZON.days} days, known at order time",
        area,
        baselines=(("logistic regression on amount", baseline),),
        target=baseline,
        note=f"{truth.sum()} of {len(truth)} orders of {first} to {last}; 95% interval {low:.3f} to {high:.3f}, "
        f"gain at least {gain:.3f}, resampled by customer",
    )


def resampled(
    customers: Sequence[str],
    ours: npt.NDArray[np.float64],
    amount: npt.NDArray[np.float64],
    truth: npt.NDArray[np.bool_],
) -> tuple[float, float, float]:
    """The 95% interval of our area, and the 2.5% point of what it is above the baseline's."""
    random = np.random.default_rng(0)
    rows_of: dict[str, list[int]] = {}
    for row, customer in enumerate(customers):
        rows_of.setdefault(customer, []).append(row)
    groups = [np.array(rows) for rows in rows_of.values()]
    areas, gains = [], []
    for _ in range(RESAMPLES):
        rows = np.concatenate([groups[at] for at in random.integers(0, len(groups), len(groups))])
        area = roc_auc_score(truth[rows], ours[rows])
        areas.append(area)
        gains.append(area - roc_auc_score(truth[rows], amount[rows]))
    low, high = np.quantile(areas, [0.025, 0.975])
    return float(low), float(high), float(np.quantile(gains, 0.025))


def run(data: DataFolders) -> list[Line]:
    """Both."""
    return [*simulated_lines(), *cancellation_lines(data)]
