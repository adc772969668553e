"""Sessions and orders as risk control sees them: the same live as stored, and nothing of what comes after an order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.applications.risk.cases import RISK_CASE_SCHEMA, read_cases, risk_cases, values_of
from intent_tracking.applications.risk.features import (
    BY_NAME,
    Kind,
    Order,
    OrderItem,
    currencies_of,
    features_of,
    order_values,
    session_values,
    shopper_values,
)
from intent_tracking.applications.risk.shop import Shop
from intent_tracking.events.contract import Event, EventName, SourcePosition, events_to_table
from intent_tracking.features.batch import user_feature_snapshot
from intent_tracking.features.schema import USER_FEATURE_SCHEMA
from intent_tracking.sessions.render import SessionEvent, SessionItem
from intent_tracking.sessions.sessionise import sessionise
from intent_tracking.sessions.state import MAX_EVENTS_KEPT, from_body, kept_event, to_body, to_number
from intent_tracking.tables import DayTable

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = NOON.date()
ITEM = {"item_id": "i-1", "price": 10.0, "quantity": 1, "item_category": "shoes"}


def event(number: int, name: str, seconds: float, shopper: str = "u-1", **params: Any) -> Event:
    given = {"items": [ITEM]} if name in ("view_item", "add_to_cart", "purchase") else {}
    return Event.model_validate(
        {
            "event_id": f"e-{number}",
            "event_name": name,
            "event_time": NOON + timedelta(seconds=seconds),
            "received_time": NOON + timedelta(seconds=seconds),
            "user_id": shopper,
            "source": "web",
            "scene": "browse",
            "params": {**given, **params},
        }
    )


def table(*events: Event) -> pa.Table:
    return events_to_table((each, SourcePosition()) for each in events)


def cases_of(*events: Event, known: pa.Table | None = None) -> list[dict[str, Any]]:
    rows = table(*events)
    found = risk_cases(sessionise(rows, DAY), rows, known or USER_FEATURE_SCHEMA.empty_table(), DAY)
    assert found.schema == RISK_CASE_SCHEMA
    return list(found.to_pylist())


def test_a_session_and_its_order_are_two_cases_and_the_order_knows_nothing_later() -> None:
    bought = {"transaction_id": "t-1", "value": 30.0, "currency": "EUR", "coupon": "SPRING"}
    before = [event(0, "view_item", 0), event(1, "add_to_cart", 20), event(2, "add_payment_info", 40)]
    refund = event(4, "refund", 90, transaction_id="t-1")
    session, order = cases_of(*before, event(3, "purchase", 60, **bought), refund, event(5, "view_item", 95))
    assert (session["case_id"][:8], order["case_id"]) == ("session:", "order:e-3")
    assert (session["event_id"], order["event_id"], order["transaction_id"]) == (None, "e-3", "t-1")
    assert (session["refunds_after_purchase"], session["refund_delay_hours"]) == (1, 30 / 3600)
    (alone,) = (each for each in cases_of(*before, event(3, "purchase", 60, **bought)) if each["kind"] == "order")
    assert order == alone
    assert (order["events"], order["purchases"], order["payment_attempts"]) == (3, 0, 1)
    assert (order["order_value"], order["order_coupons"], order["coupon_uses"]) == (30, 1, 1)


def test_the_same_coupon_on_several_orders_is_counted() -> None:
    orders = [
        event(number, "purchase", 60 * number, transaction_id=f"t-{number}", items=[{**ITEM, "coupon": "FIRST"}])
        for number in range(4)
    ]
    found = cases_of(*orders)
    # A session is looked at when the day is over, an order when it is placed.
    assert [each["coupon_uses"] for each in found if each["kind"] == "session"] == [4]
    assert [each["coupon_uses"] for each in found if each["kind"] == "order"] == [1, 2, 3, 4]
    assert cases_of(event(0, "purchase", 0, transaction_id="t"))[0]["coupon_uses"] is None


def test_a_shopper_nobody_knew_is_as_the_online_store_answers() -> None:
    before = user_feature_snapshot(table(event(9, "view_item", -90_000, shopper="u-2")), DAY - timedelta(days=1))
    (case,) = cases_of(event(0, "view_item", 0), known=before)
    assert (case["shopper_purchases"], case["shopper_views"], case["shopper_days_since_visit"]) == (0, 0, 30)
    (other,) = cases_of(event(0, "view_item", 0, shopper="u-2"), known=before)
    assert other["shopper_views"] == 1
    # Without a snapshot nobody is known, which is not the same as being new.
    assert cases_of(event(0, "view_item", 0))[0]["shopper_views"] is None
    assert shopper_values(None) == {}


@given(
    st.lists(
        st.tuples(st.sampled_from(list(EventName)), st.floats(0, 4000), st.integers(0, 4)), min_size=1, max_size=80
    )
)
def test_stored_and_live_sessions_have_equal_values_within_their_bounds(
    steps: list[tuple[EventName, float, int]],
) -> None:

    now, events = NOON, []
    for number, (name, gap, item) in enumerate(steps):
        now += timedelta(seconds=gap)
        items = (SessionItem(f"i-{item}", None, None, None, 2.5, item),)
        events.append(SessionEvent(f"e-{number}", name, now, "browse", items=items))  # type: ignore[arg-type]
    stored = session_values(events, len(events), NOON)
    # The live service keeps the newest events alone.
    assert stored == session_values(events[-MAX_EVENTS_KEPT:], len(events), NOON)
    assert set(stored) <= set(BY_NAME)
    assert all(value >= 0 for value in stored.values())
    for share in ("quick_view_share", "item_view_share", "unseen_cart_share"):
        assert stored.get(share, 0) <= 1


def test_a_robot_shows_in_its_intervals_and_a_person_does_not() -> None:
    robot = [SessionEvent.from_event(event(n, "view_item", 0.9 * n, items=[{"item_id": f"i-{n}"}])) for n in range(30)]
    found = session_values(robot, 30, NOON)
    assert (found["gap_variation"], found["quick_view_share"], found["items_seen"]) == (
        pytest.approx(0, abs=1e-9),
        1,
        30,
    )
    assert found["events_per_minute"] > 30
    with pytest.raises(ValueError, match="at least one event"):
        session_values([], 0, NOON)


def test_an_order_tells_its_total_by_value_or_by_lines() -> None:
    lines = (OrderItem("a", 4.0, 2, coupon="X", discount=1.0), OrderItem("b", None, 3))
    assert Order(None, "EUR", NOON, lines).total == 8
    assert Order(9.0, "EUR", NOON, lines).total == 9
    assert Order(None, None, NOON).total is None
    found = order_values(Order(9.0, "EUR", NOON, lines, coupon="Y"))
    assert (found["order_units"], found["order_coupons"], found["order_discount_share"]) == (5, 2, 0.2)


def test_a_shop_learns_what_is_usual_by_currency_and_which_items_come_back() -> None:
    orders = [
        event(n, "purchase", n, transaction_id=f"t-{n}", items=[{**ITEM, "price": float(n + 1)}], currency="EUR")
        for n in range(25)
    ]
    few = [event(100 + n, "purchase", n, transaction_id=f"x-{n}", value=5, currency="USD") for n in range(3)]
    refunds = [event(200 + n, "refund", 500 + n, transaction_id=f"t-{n}", items=[ITEM]) for n in range(14)]
    shop = Shop.learned(table(*orders, *few, *refunds))
    assert shop.usual_amount == {"EUR": 13.0}
    assert shop.rare_currencies == ("USD",)
    assert shop.main_currency is None
    assert shop.refund_share == pytest.approx(0.5)
    assert shop.item_refund_share["i-1"] == pytest.approx(0.5)
    order = Order(26.0, "EUR", NOON, (OrderItem("i-1", 26.0, 1), OrderItem("new", None, 1)))
    known = {"shopper_mean_value": 13.0, "session_value": 39.0, "order_mean_price": 26.0}
    assert shop.values(known, order) == {
        "session_value_over_usual": 3.0,
        "order_value_over_usual": 2.0,
        "order_mean_price_over_usual": 2.0,
        "item_refund_share": pytest.approx(0.5),
        "order_currency_unseen": 0.0,
    }
    unseen = [shop.values({}, Order(5.0, each, NOON)).get("order_currency_unseen") for each in ("USD", "CHF", None)]
    assert unseen == [0.0, 1.0, None]
    assert "order_value_over_usual" not in shop.values({}, Order(5.0, "USD", NOON))
    assert Shop.learned(table()).values({"session_value": 1.0}, order) == {"item_refund_share": 0.0}


def test_an_amount_is_compared_within_its_own_currency_or_with_nothing() -> None:
    usual = {"EUR": 60.0, "JPY": 9_000.0}
    several, one = Shop(usual_amount=usual), Shop(usual_amount=usual, main_currency="EUR")
    known = {"session_value": 9_000.0, "shopper_mean_value": 60.0}
    orders = {each: Order(amount, each, NOON) for each, amount in usual.items()}
    for shop, own in ((several, {}), (one, {"shopper_mean_value_over_usual": 1.0})):
        assert shop.values(known, currencies={"JPY"}) == {"session_value_over_usual": 1.0} | own
        # A session that tells several currencies, or one of which nothing is known.
        assert shop.values(known, currencies={"JPY", "EUR"}) == shop.values(known, currencies={"CHF"}) == own
        in_yen = shop.values(known, orders["JPY"])
        assert (in_yen["session_value_over_usual"], in_yen["order_value_over_usual"]) == (1.0, 1.0)
        # Cause: what a shopper spent in euros was held against an order in yen.
        assert "order_value_over_own" not in in_yen
    assert several.values(known) == {}
    assert one.values(known)["session_value_over_usual"] == 150.0
    assert one.values(known, orders["EUR"])["order_value_over_own"] == 1.0
    assert "order_value_over_own" not in several.values(known, orders["EUR"])


def test_a_currency_is_the_main_one_only_of_nearly_all_orders() -> None:
    def shop(others: int) -> Shop:
        orders = [
            event(n, "purchase", n, transaction_id=f"t-{n}", value=9, currency="JPY" if n < others else "EUR")
            for n in range(200)
        ]
        return Shop.learned(table(*orders))

    assert [shop(others).main_currency for others in (0, 2, 3, 100)] == ["EUR", "EUR", None, None]


def test_a_shop_whose_orders_tell_no_currency_compares_an_order_that_tells_one() -> None:
    # Cause: adapters keep the prices of a value without a currency, `/v1/risk` takes no value without one: every order
    # asked about was in an unseen currency, and its amount was compared with nothing.
    few = {n: {"currency": "CHF"} for n in (0, 1)}
    orders = [
        event(n, "purchase", n, transaction_id=f"t-{n}", items=[{**ITEM, "price": 50.0}], **few.get(n, {}))
        for n in range(200)
    ]
    shop = Shop.learned(table(*orders))
    assert (shop.main_currency, shop.rare_currencies) == ("", ("CHF",))
    known = {"session_value": 100.0, "shopper_mean_value": 25.0}
    wanted = {
        "session_value_over_usual": 2.0,
        "shopper_mean_value_over_usual": 0.5,
        "order_value_over_usual": 2.0,
        "order_value_over_own": 4.0,
    }
    told = Order(100.0, "EUR", NOON)
    assert shop.values(known, told) == wanted | {"order_currency_unseen": 0.0}
    assert shop.values(known, told, {"EUR"}) == wanted | {"order_currency_unseen": 0.0}
    assert shop.values(known, Order(100.0, None, NOON)) == wanted
    assert "order_value_over_usual" not in shop.values(known, Order(100.0, "CHF", NOON))


def test_a_session_tells_its_currency_live_as_stored() -> None:
    tells = {"value": 20.0, "currency": "JPY"}
    events = [event(0, "view_item", 0, currency="EUR"), event(1, "add_to_cart", 20, **tells)]
    (stored,) = sessionise(table(*events), DAY)["events"].to_pylist()
    live = [from_body(each.event_id, to_number(each.event_time), to_body(kept_event(each))) for each in events]
    assert currencies_of(live) == currencies_of([SessionEvent.from_row(each) for each in stored]) == {"JPY"}
    # A store, or a day of sessions, of before the currency was kept.
    older = orjson.dumps(orjson.loads(to_body(live[1]))[:5])
    assert from_body("e-1", to_number(NOON), older).currency is None
    assert (
        SessionEvent.from_row({name: each for name, each in stored[1].items() if name != "currency"}).currency is None
    )


def test_a_day_that_was_written_before_a_feature_was_there_does_not_know_it(tmp_path: Path) -> None:
    cases = DayTable(tmp_path, "risk_cases", RISK_CASE_SCHEMA)
    old = pa.schema([field for field in RISK_CASE_SCHEMA if field.name != "order_currency_unseen"])
    for day, schema in ((NOON.date(), old), (NOON.date() + timedelta(days=1), RISK_CASE_SCHEMA)):
        table = pa.Table.from_pylist([{"case_id": f"c-{day}", "events": 3.0}], schema=schema)
        DayTable(tmp_path, "risk_cases", schema).write(day, table)
    found = read_cases(cases, cases.days())
    assert found.schema.equals(RISK_CASE_SCHEMA)
    assert (found["events"].to_pylist(), found["order_currency_unseen"].null_count) == ([3.0, 3.0], 2)
    assert read_cases(cases, []).num_rows == 0


def test_what_a_row_does_not_know_is_absent() -> None:
    rows = pa.Table.from_pylist([{"case_id": "c", "events": 3.0}], schema=RISK_CASE_SCHEMA)
    assert values_of(rows, features_of(Kind.SESSION)) == [{"events": 3.0}]
    assert values_of(rows.slice(1), features_of(Kind.SESSION)) == []
