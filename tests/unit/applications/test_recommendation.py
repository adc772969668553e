"""What is recommended, and why: strategies, rules of the shop, reasons."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intent_tracking.applications.artifacts import ITEM_INDEX, new_artifact
from intent_tracking.applications.recommendation.candidates import FEATURES
from intent_tracking.applications.recommendation.files import LiveIndex, save
from intent_tracking.applications.recommendation.history import History, HistoryError, Visit
from intent_tracking.applications.recommendation.interactions import (
    INTERACTION_COLUMNS,
    Interactions,
    Reach,
    day_number,
    day_of,
    interaction_events,
    interactions_of,
)
from intent_tracking.applications.recommendation.item_index import VISITS_PER_ITEM, learn_index
from intent_tracking.applications.recommendation.learning import examples_of, observed, ranker_rows
from intent_tracking.applications.recommendation.ranker import Ranker
from intent_tracking.applications.recommendation.ranker_training import (
    RankerConfig,
    RankerRows,
    as_onnx,
    boosted,
    fit_ranker,
)
from intent_tracking.applications.recommendation.reasons import wording
from intent_tracking.applications.recommendation.recommender import Question, Recommendations, Recommender
from intent_tracking.applications.recommendation.rules import Rules, shipped_rules
from intent_tracking.artifact import ArtifactError
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.tables import DayTable
from tests.fakes.shop_events import event_row, table
from tests.fakes.shop_purchases import PAIRS, purchases

pytestmark = pytest.mark.unit

TODAY = date(2026, 3, 30)
PAST = History((Visit(TODAY - timedelta(days=7), {"left-3": Reach.BOUGHT, "right-3": Reach.BOUGHT}),))


@pytest.fixture(scope="module")
def shop() -> Interactions:
    return interactions_of(purchases())


@pytest.fixture(scope="module")
def recommender(shop: Interactions) -> Recommender:
    last = int(shop.days[-1])
    rows = ranker_rows(observed(shop, examples_of(shop, last - 28, last, 120), step_days=28))
    return Recommender(learn_index(shop, last + 1), fit_ranker(rows, RankerConfig(trees=20)))


def rules(**changed: object) -> Rules:
    return Rules.model_validate(shipped_rules().model_dump() | changed)


def ask(
    recommender: Recommender,
    *,
    history: History = PAST,
    session: tuple[tuple[str, Reach], ...] = (),
    intent: str | None = None,
    count: int = 10,
    by: Rules | None = None,
) -> Recommendations:
    return recommender.recommend(Question(history, session, intent, TODAY, count, "en"), by or shipped_rules())


def ids(answer: Recommendations) -> list[str]:
    return [each.item_id for each in answer.items]


def test_what_was_bought_again_and_again_comes_first(recommender: Recommender) -> None:
    often = History(
        tuple(
            Visit(TODAY - timedelta(days=7 * age), {"left-5": Reach.BOUGHT, "right-5": Reach.BOUGHT})
            for age in range(6, 0, -1)
        )
    )
    answer = ask(recommender, history=often)
    assert set(ids(answer)[:2]) == {"left-5", "right-5"}
    assert answer.items[0].reason == "you bought it 6 times"


def test_who_wants_to_buy_an_item_gets_it_and_what_goes_with_it(recommender: Recommender) -> None:
    answer = ask(recommender, history=History(), session=(("left-7", Reach.LOOKED),), intent="purchase")
    assert answer.strategy == "finish"
    assert ids(answer)[:2] == ["left-7", "right-7"]
    assert [each.reason for each in answer.items[:2]] == [
        "you are looking at it", "goes with white vase left, which you looked at"
    ]  # fmt: skip


@pytest.mark.parametrize("intent", [None, "purchase", "compare", "explore"])
def test_what_the_session_has_paid_for_is_not_offered_again(recommender: Recommender, intent: str | None) -> None:
    # Cause: the strategy that puts open items first left what was paid for among the others, and it scored highest.
    for history in (History(), PAST):
        answer = ask(recommender, history=history, session=(("left-3", Reach.BOUGHT),), intent=intent, count=100)
        assert "left-3" not in ids(answer)
        assert "right-3" in ids(answer) or (history is PAST and intent in ("compare", "explore"))


def test_who_compares_gets_items_like_the_one_looked_at_and_what_goes_with_it(recommender: Recommender) -> None:
    answer = ask(recommender, session=(("left-7", Reach.LOOKED),), intent="compare", count=6)
    assert "right-7" in ids(answer)
    assert "left-7" not in ids(answer)
    alike = [each for each in answer.items if each.reason == "similar to white vase left, which you looked at"]
    assert len(alike) >= 2


def test_who_explores_gets_nothing_bought_before(recommender: Recommender) -> None:
    answer = ask(recommender, intent="explore")
    assert len(answer.items) == 10
    assert not {"left-3", "right-3"} & set(ids(answer))


def test_who_complains_gets_nothing_and_who_waits_gets_what_goes_with_the_purchase(recommender: Recommender) -> None:
    assert ask(recommender, intent="complaint").items == ()
    one = History((Visit(TODAY - timedelta(days=2), {"left-4": Reach.BOUGHT}),))
    assert ids(ask(recommender, history=one, intent="track_order"))[0] == "right-4"
    assert ask(recommender, history=History(), intent="track_order").items == ()


@pytest.mark.parametrize(("reach", "dealt"), [(Reach.LOOKED, "looked at"), (Reach.BOUGHT, "bought")])
def test_a_reason_says_of_an_item_what_the_shopper_did_with_it(
    recommender: Recommender, reach: Reach, dealt: str
) -> None:
    # Cause: what was only looked at on an earlier day was said to have been bought, and the other way round now.
    earlier = ask(recommender, history=History((Visit(TODAY - timedelta(days=2), {"left-4": reach}),)), count=50)
    now = ask(recommender, history=History(), session=(("left-4", reach),), count=50)
    for answer in (earlier, now):
        reasons = {each.item_id: each.reason for each in answer.items}
        assert reasons["right-4"].startswith("goes with ")
        assert reasons["right-4"].endswith(f", which you {dealt}")


def test_an_intent_of_the_shops_own_gets_the_default_strategy(recommender: Recommender) -> None:
    assert ask(recommender, intent="hires_a_boat") == ask(recommender, intent=None)
    assert ask(recommender).strategy == shipped_rules().default_strategy


def test_a_newcomer_gets_what_is_popular(recommender: Recommender) -> None:
    answer = ask(recommender, history=History(), count=3)
    assert len(answer.items) == 3
    assert {each.reason for each in answer.items} == {"many buy it now"}


def test_items_that_the_index_does_not_know_count_for_nothing(recommender: Recommender) -> None:
    strange = History((*PAST.visits, Visit(TODAY, {"unheard-of": Reach.BOUGHT})))
    assert ask(recommender, history=strange, session=(("never", Reach.LOOKED),)) == ask(recommender)


ITEMS = st.sets(st.sampled_from([f"{side}-{n}" for side in ("left", "right") for n in range(PAIRS)]), max_size=20)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    excluded=ITEMS, sold_out=ITEMS, rooms=st.sets(st.sampled_from(["room-0", "room-1"])),
    intent=st.sampled_from([None, "purchase", "compare", "explore", "track_order"]), looked=ITEMS,
    count=st.integers(1, 30),
)  # fmt: skip
def test_what_the_shop_forbids_is_never_shown(
    recommender: Recommender, excluded: set[str], sold_out: set[str], rooms: set[str], intent: str | None,
    looked: set[str], count: int,
) -> None:  # fmt: skip
    by = rules(exclude={"items": excluded, "categories": rooms}, out_of_stock=sold_out, most_of_category=3)
    session = tuple((item, Reach.LOOKED) for item in sorted(looked))
    answer = ask(recommender, session=session, intent=intent, by=by, count=count)
    shown = ids(answer)
    of = dict(zip(recommender.index.catalogue.ids, recommender.index.catalogue.categories, strict=True))
    assert not set(shown) & (excluded | sold_out)
    assert not {of[item] for item in shown} & rooms
    assert len(shown) == len(set(shown)) <= count
    assert max(np.unique([of[item] for item in shown], return_counts=True)[1], default=0) <= 3
    assert all(0 <= each.score <= 1 and each.reason for each in answer.items)


def test_prices_and_boosts_are_the_shops(recommender: Recommender) -> None:
    assert ask(recommender, by=rules(price={"most": 9.99})).items == ()
    pushed = ask(recommender, by=rules(boost={"items": {"right-9": 50}}))
    assert ids(pushed)[0] == "right-9"


def test_diversity_brings_items_that_are_less_alike(recommender: Recommender) -> None:
    index = recommender.index

    def likeness(diversity: float) -> float:
        usual = shipped_rules().strategies["usual"].model_copy(update={"diversity": diversity})
        by = shipped_rules().model_copy(update={"strategies": {**shipped_rules().strategies, "usual": usual}})
        shown = [index.number_of[item] for item in ids(ask(recommender, by=by, count=5))]
        return float(sum(index.alike.scores[item][np.isin(index.alike.items[item], shown)].sum() for item in shown))

    assert likeness(0.9) < likeness(0.0)


def test_the_index_of_a_day_knows_nothing_later(shop: Interactions) -> None:
    day = int(shop.days[len(shop.days) // 2])
    events = purchases()
    times = events["event_time"].to_pylist()
    earlier = events.filter([moment.date() < day_of(day) for moment in times])
    whole, part = learn_index(shop, day), learn_index(interactions_of(earlier), day)
    number = [whole.number_of[item] for item in part.catalogue.ids]
    assert whole.figures.bought[number].tolist() == part.figures.bought.tolist()
    assert whole.figures.bought.sum() == part.figures.bought.sum() > 0
    assert whole.memory.days.tolist() == part.memory.days.tolist()
    for name in ("shoppers", "recent", "again", "gap_days"):
        assert getattr(whole.figures, name)[..., number].tolist() == getattr(part.figures, name).tolist()


def test_the_memory_of_visits_holds_the_newest_of_each_item(shop: Interactions) -> None:
    memory = learn_index(shop, int(shop.days[-1])).memory
    for item in range(len(shop.catalogue)):
        with_item = [
            v for v in range(len(memory.days)) if item in memory.items[memory.starts[v] : memory.starts[v + 1]]
        ]
        found = memory.postings[memory.posting_starts[item] : memory.posting_starts[item + 1]]
        assert found.tolist() == with_item[::-1][:VISITS_PER_ITEM]


def test_one_visitor_neither_names_items_nor_brings_new_ones(shop: Interactions, recommender: Recommender) -> None:
    made_up = [
        {"item_id": "left-3", "item_name": "Visit evil.example"},
        {"item_id": "made-up", "item_name": "white vase left"},
    ]
    events = purchases()
    late = max(events["event_time"].to_pylist())
    visit = [event_row("purchase", late, shopper="trickster", number=n, items=made_up, value=1.0) for n in range(30)]
    tricked = interactions_of(pa.concat_tables([events, table(visit)]))
    assert "evil" not in " ".join(tricked.catalogue.names)
    fooled = Recommender(learn_index(tricked, int(tricked.days[-1]) + 1), recommender.ranker)
    for intent in (None, "compare", "explore"):
        answer = ask(fooled, session=(("left-7", Reach.LOOKED),), intent=intent, count=100)
        assert "made-up" not in ids(answer)
    assert "made-up" in ids(ask(fooled, by=rules(least_shoppers=0), count=100))


def test_one_visitor_moves_no_item_out_of_what_the_shop_excludes() -> None:
    # Cause: the last event alone said what category and brand an item has and what it costs.
    told = {"item_id": "i1", "item_name": "knife", "item_category": "adult", "item_brand": "acme", "price": 20.0}
    fooled = told | {"item_category": "toys", "item_brand": "other", "price": 0.01}
    at = datetime(2026, 1, 5, tzinfo=UTC)
    rows = [
        *(event_row("view_item", at + timedelta(hours=n), shopper=f"s{n}", items=[told]) for n in range(30)),
        *(
            event_row("purchase", at + timedelta(days=9 + n), shopper="trickster", number=n, items=[fooled], value=0.01)
            for n in range(60)
        ),
    ]
    found = interactions_of(table(rows)).catalogue
    assert (found.names, found.categories, found.brands) == (("knife",), ("adult",), ("acme",))
    assert found.prices.tolist() == [20.0]


def test_a_new_price_is_the_price_when_most_of_the_newest_shoppers_saw_it() -> None:
    at = datetime(2026, 1, 5, tzinfo=UTC)
    prices = [20.0] * 30 + [12.5] * 5
    rows = [
        event_row("view_item", at + timedelta(hours=n), shopper=f"s{n}", items=[{"item_id": "i1", "price": price}])
        for n, price in enumerate(prices)
    ]
    assert interactions_of(table(rows[:-1])).catalogue.prices.tolist() == [20.0]
    assert interactions_of(table(rows)).catalogue.prices.tolist() == [12.5]


def test_what_nobody_had_seen_yet_is_no_candidate_of_a_past_day() -> None:
    # Cause: the names of all items of the window were neighbours of those of a past day, and an item that appears on
    # the day itself told by its age that it would sell.
    events = purchases()
    day = day_number(events["event_time"].to_pylist()[events.num_rows // 2].date())
    rows = events.to_pylist()
    for row in rows:
        if day_number(row["event_time"].date()) >= day:
            row["items"] = [each | {"item_id": f"new-{each['item_id']}"} for each in row["items"]]
    shop = interactions_of(pa.Table.from_pylist(rows, schema=events.schema))
    seen = list(observed(shop, examples_of(shop, day, day + 7, 20)))
    assert any(len(each.example.situation.items) for each in seen)
    for each in seen:
        known = shop.catalogue.first_days[each.candidates.items] < each.index.day
        assert len(known) > 0
        assert known.all()


def test_equal_events_in_any_order_give_equal_interactions(shop: Interactions) -> None:
    events = purchases()
    again = interactions_of(events.take(np.random.default_rng(1).permutation(events.num_rows)))
    assert again.catalogue.ids == shop.catalogue.ids
    assert again.catalogue.names == shop.catalogue.names
    for name in ("starts", "items", "reaches", "firsts", "days", "shoppers"):
        assert getattr(again, name).tolist() == getattr(shop, name).tolist()


def test_events_that_tell_nothing_of_items_are_not_read_into_memory(shop: Interactions, tmp_path: Path) -> None:
    events = purchases()
    other = table([event_row("search", events["event_time"][0].as_py(), shopper="s1", number=n) for n in range(3)])
    stored = DayTable(tmp_path, "events", EVENT_SCHEMA)
    stored.write(TODAY, pa.concat_tables([other, events]))
    rows = interaction_events(stored.dataset([TODAY])).read_all()
    assert (rows.num_rows, rows.column_names) == (events.num_rows, INTERACTION_COLUMNS)
    again = interactions_of(interaction_events(stored.dataset([TODAY])))
    assert (again.catalogue.ids, again.items.tolist()) == (shop.catalogue.ids, shop.items.tolist())


def test_the_exported_ranker_scores_as_the_trees_do() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(400, len(FEATURES))).astype(np.float32).round(1)
    features[:, ::2][random.random(features[:, ::2].shape) < 0.1] = np.nan
    taken = np.nan_to_num(features[:, 0]) + np.nan_to_num(features[:, 1]) * random.random(400) > 0.5
    rows = RankerRows([features], [taken])
    booster = boosted(rows, RankerConfig(trees=15, least_in_leaf=5))
    features[:5, 1] = np.nan  # never missing in training
    exported = Ranker(as_onnx(booster.dump_model()["tree_info"]))
    np.testing.assert_allclose(exported.score(features), booster.predict(features), atol=1e-6)


def test_a_ranker_needs_something_taken_and_something_left() -> None:
    with pytest.raises(ValueError, match="3 rows with 3 taken"):
        fit_ranker(RankerRows([np.zeros((3, len(FEATURES)), np.float32)], [np.ones(3, np.bool_)]))


def test_the_artifact_gives_its_golden_answers_wherever_it_is_loaded(recommender: Recommender, tmp_path: Path) -> None:
    with new_artifact(tmp_path, ITEM_INDEX, TODAY, "a" * 64) as draft:
        save(draft, recommender)
    (folder,) = (tmp_path / ITEM_INDEX).iterdir()
    live = LiveIndex(folder)
    assert live.version == folder.name
    assert live.replay_golden() == []
    assert ask(live.recommender, intent="purchase") == ask(recommender, intent="purchase")
    stored = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not any(shopper in stored for shopper in (b"shopper-17", b"shopper-42"))


def test_an_index_for_other_features_is_refused(recommender: Recommender, tmp_path: Path) -> None:
    with new_artifact(tmp_path, ITEM_INDEX, TODAY, "b" * 64) as draft:
        save(draft, recommender)
        form = draft.folder / "index.json"
        form.write_text(form.read_text().replace("own_count", "own_number"))
    with pytest.raises(ArtifactError, match="materialize item_index again"):
        LiveIndex(next((tmp_path / ITEM_INDEX).iterdir()))


visits = st.lists(
    st.builds(
        Visit,
        st.dates(date(2000, 1, 1), date(2099, 1, 1)),
        st.dictionaries(st.text(min_size=1, max_size=5), st.sampled_from(Reach), max_size=3),
    ),
    max_size=4,
)


@settings(max_examples=20)
@given(visits)
def test_a_history_survives_its_storage(found: list[Visit]) -> None:
    history = History(tuple(found))
    assert History.from_json(history.to_json()) == history


@pytest.mark.parametrize("text", ["{", '[["yesterday", []]]', '[["2026-01-01", [["a", 9]]]]', "7"])
def test_a_stored_history_that_is_none_says_what_to_do(text: str) -> None:
    with pytest.raises(HistoryError, match="materialize user_items again"):
        History.from_json(text)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_reason_has_its_words(language: str) -> None:
    assert wording()[language].keys() == wording()["en"].keys()
    assert all(text.format(name="x", count=2) for text in wording()[language].values())
