"""One simulated day: events within the contract, behaviour that carries the intent, faults at their rates."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime

import orjson
import pytest

from intent_tracking.events.adapters.native import NativeAdapter
from intent_tracking.events.contract import Event
from intent_tracking.events.simulator import (
    AnnotationRates,
    FaultRates,
    Shop,
    SimulatedDay,
    SimulationConfig,
    simulate_day,
    stream_day,
)
from intent_tracking.events.simulator.faults import ACCEPTED, DUPLICATE
from intent_tracking.events.simulator.plan import order_number

pytestmark = pytest.mark.unit

CONFIG = SimulationConfig(sessions_per_day=400, seed=3, drift_from=9)
FAULTLESS = FaultRates(0, 0, 0, 0, 0, 0, 0, 0)
RECEIVED = datetime(2026, 1, 9, tzinfo=UTC)


@pytest.fixture(scope="module")
def early() -> SimulatedDay:
    return simulate_day(CONFIG, 4)


@pytest.fixture(scope="module")
def drifted() -> SimulatedDay:
    return simulate_day(CONFIG, 10)


def sessions(day: SimulatedDay) -> list[dict]:
    return [row for row in day.truth if row["kind"] == "session"]


def messages(day: SimulatedDay) -> list[dict]:
    return [row for row in day.truth if row["kind"] == "message"]


def test_a_day_is_the_same_whatever_was_generated_before(early: SimulatedDay) -> None:
    shop = Shop(CONFIG)
    for day in (0, 7):
        simulate_day(CONFIG, day, shop)
    assert simulate_day(CONFIG, 4, shop) == early


def test_another_seed_is_another_shop(early: SimulatedDay) -> None:
    other = simulate_day(replace(CONFIG, seed=4), 4)
    assert {line.raw for line in other.lines}.isdisjoint(line.raw for line in early.lines)


def test_each_line_gets_from_the_native_adapter_what_the_simulator_says(early: SimulatedDay) -> None:
    late = {"too_late", "from_the_future"}  # judged by the day, not by the adapter
    adapter = NativeAdapter()
    for line in early.lines:
        parsed = adapter.parse(line.raw.decode(), RECEIVED)
        if line.outcome in {ACCEPTED, DUPLICATE, *late}:
            assert parsed.event is not None, (line, parsed)
        else:
            assert parsed.event is None
            assert [refusal.reason for refusal in parsed.quarantined] == [line.outcome], (line, parsed)


def test_faults_come_at_the_stated_rates() -> None:
    rates = FaultRates(duplicate=0.05, malformed=0.04, late_session=0, too_late_session=0, clock_ahead=0.03)
    lines = simulate_day(replace(CONFIG, sessions_per_day=1_500, faults=rates), 2).lines
    counts = Counter(line.fault for line in lines)
    events = len(lines) - counts["duplicate"]
    malformed = sum(count for fault, count in counts.items() if fault not in (None, "duplicate", "skewed"))
    malformed -= counts["clock_ahead"] + counts["clock_behind"]
    assert counts["duplicate"] / events == pytest.approx(0.05, rel=0.2)
    assert malformed / events == pytest.approx(0.04, rel=0.2)
    assert counts["clock_ahead"] / events == pytest.approx(0.03, rel=0.2)


def test_late_tails_arrive_within_three_days_or_up_to_six_after() -> None:
    def days_late(rates: FaultRates) -> Counter[int]:
        lines = simulate_day(replace(CONFIG, faults=rates), 2).lines
        return Counter(line.received_ms // 86_400_000 - line.event_ms // 86_400_000 for line in lines)

    on_time = days_late(replace(FAULTLESS, late_session=1))
    assert set(on_time) == {0, 1, 2, 3}
    too_late = days_late(replace(FAULTLESS, too_late_session=1))
    assert {4, 5} <= set(too_late) <= {0, 1, 4, 5, 6}


def test_without_faults_every_line_is_accepted_and_every_id_is_new() -> None:
    lines = simulate_day(replace(CONFIG, faults=FAULTLESS), 2).lines
    assert {line.outcome for line in lines} == {ACCEPTED}
    assert len({line.event_id for line in lines}) == len(lines)


def test_sessions_never_pause_for_half_an_hour(early: SimulatedDay) -> None:
    times: dict[str, list[int]] = defaultdict(list)
    for line in early.lines:
        if line.fault is None:
            times[line.event_id[:12]].append(line.event_ms)
    assert all(later - sooner < 30 * 60_000 for each in times.values() for sooner, later in itertools.pairwise(each))


def test_behaviour_carries_the_intent(early: SimulatedDay) -> None:
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    names = {line.event_id: orjson.loads(line.raw)["event_name"] for line in early.lines if line.outcome == ACCEPTED}
    by_session: dict[str, set[str]] = defaultdict(set)
    for event_id, name in names.items():
        by_session["s" + event_id[1:12]].add(name)
    rows = [row for row in sessions(early) if row["intent"] and not row["fraud"]]
    for row in rows:
        seen[row["intent"]].update(by_session[row["session"]])
    total = Counter(row["intent"] for row in rows)

    def share(intent: str, name: str) -> float:
        return seen[intent][name] / total[intent]

    assert share("purchase", "begin_checkout") > 0.85 > 0.2 > share("explore", "begin_checkout")
    assert share("bargain", "view_promotion") > 0.6 > 0.3 > share("compare", "view_promotion")
    assert share("return_refund", "refund") > 0.2 > 0.05 > share("track_order", "refund")
    assert share("explore", "view_item_list") > 0.9 > 0.6 > share("find_product", "view_item_list")
    assert min(share(intent, "message") for intent in ("track_order", "complaint", "return_refund")) > 0.75


def test_bots_crawl_and_fraud_tries_payment_after_payment() -> None:
    day = simulate_day(replace(CONFIG, bot_sessions=0.2, fraud_sessions=0.2, faults=FAULTLESS), 1)
    names: dict[str, list[str]] = defaultdict(list)
    for line in day.lines:
        names["s" + line.event_id[1:12]].append(orjson.loads(line.raw)["event_name"])
    bots = [names[row["session"]] for row in sessions(day) if row["bot"]]
    fraud = [names[row["session"]] for row in sessions(day) if row["fraud"]]
    assert bots
    assert all(set(each) == {"view_item"} and len(each) >= 25 for each in bots)
    assert fraud
    assert sum(each.count("add_payment_info") >= 3 for each in fraud) > len(fraud) / 3
    assert all(row["intent"] is None for row in sessions(day) if row["bot"])


def test_after_sales_sessions_speak_of_orders_that_were_paid() -> None:
    config = replace(CONFIG, faults=FAULTLESS)
    shop = Shop(config)
    paid = {plan.order.transaction_id for day in range(5) for plan in shop.purchases(day) if plan.buys}
    about = [plan for plan in shop.sessions(5) if plan.intent in ("track_order", "return_refund", "cancel_order")]
    assert about
    assert all(plan.order.transaction_id in paid for plan in about)


def test_order_numbers_of_a_day_are_unique_and_scattered() -> None:
    numbers = [order_number(7, 12, serial) for serial in range(5_000)]
    assert len(set(numbers)) == 5_000
    assert numbers != sorted(numbers)


def test_shoppers_come_back_with_the_same_tastes() -> None:
    shop = Shop(CONFIG)
    again = Shop(CONFIG)
    assert all(shop.crowd[number] == again.crowd[number] for number in (5, 800, 3))


def test_drift_brings_a_new_intent_new_products_and_new_words(early: SimulatedDay, drifted: SimulatedDay) -> None:
    def share(day: SimulatedDay) -> float:
        return sum(row["intent"] == "subscribe_and_save" for row in messages(day)) / len(messages(day))

    def categories(day: SimulatedDay) -> set[str]:
        events = [orjson.loads(line.raw) for line in day.lines if line.outcome == ACCEPTED]
        return {item["item_category"] for event in events for item in event["params"].get("items", [])}

    assert share(early) == 0
    assert share(drifted) > 0.08
    assert {"cat_litter", "camera_drones"} <= categories(drifted) - categories(early)
    assert {row["wording"] for row in messages(early)} == {"early"}
    assert sum(row["wording"] == "drift" for row in messages(drifted)) / len(messages(drifted)) > 0.75


def test_the_desk_labels_the_stated_share_with_the_stated_errors() -> None:
    rates = AnnotationRates(sessions=0.4, messages=0.6, wrong=0.1)
    day = simulate_day(replace(CONFIG, sessions_per_day=2_000, annotation=rates), 3)
    labelled = [row for row in messages(day) if row["annotated"]]
    assert len(labelled) / len(messages(day)) == pytest.approx(0.6, rel=0.1)
    assert sum(row["annotated_wrongly"] for row in labelled) / len(labelled) == pytest.approx(0.1, rel=0.3)
    truth = {row["event_id"]: row["intent"] for row in labelled}
    records = [label.record for label in day.annotations if "event_id" in label.record]
    wrong = sum(truth[record["event_id"]] != record["intent"] for record in records)
    assert wrong == sum(row["annotated_wrongly"] for row in labelled)
    assert {label.day for label in day.annotations} == {3, 4}
    assert all(label.record["annotated_at"][:10] == f"2026-01-{5 + label.day:02d}" for label in day.annotations)


def test_bots_fraud_and_sessions_without_an_id_are_never_labelled(early: SimulatedDay) -> None:
    assert not [
        row for row in sessions(early) if row["annotated"] and (row["bot"] or row["fraud"] or not row["session_id"])
    ]
    known = {row["session_id"] for row in sessions(early)}
    assert {label.record["session_id"] for label in early.annotations if "session_id" in label.record} <= known - {None}


def test_a_day_can_be_streamed_as_sound_events_in_order(early: SimulatedDay) -> None:
    events = list(stream_day(CONFIG, 4))
    assert [event["event_time"] for event in events] == sorted(event["event_time"] for event in events)
    assert all(Event.model_validate(event) for event in events[:300])
    logged = {line.event_id: orjson.loads(line.raw) for line in early.lines if line.fault is None}
    streamed = {event["event_id"]: event for event in events}
    assert set(logged) <= set(streamed)
    assert all(streamed[key]["params"] == event["params"] for key, event in logged.items())


def test_both_languages_occur_and_one_can_be_left_out(early: SimulatedDay) -> None:
    assert {row["language"] for row in messages(early)} == {"en", "zh"}
    only = simulate_day(replace(CONFIG, languages=("zh",)), 1)
    assert {row["language"] for row in messages(only)} == {"zh"}


def test_a_day_before_the_opening_is_refused() -> None:
    with pytest.raises(ValueError, match="before the opening"):
        simulate_day(CONFIG, -1)
    with pytest.raises(ValueError, match="before the opening"):
        next(stream_day(CONFIG, -1))


def test_dates_follow_the_opening(early: SimulatedDay) -> None:
    assert CONFIG.date_of(4) == date(2026, 1, 9)
    starts = [line.event_ms for line in early.lines if line.fault is None and line.event_id.endswith("-000")]
    assert {datetime.fromtimestamp(ms / 1000, UTC).date() for ms in starts} == {date(2026, 1, 9)}
