"""A shop that sells in euros and in yen: an order is judged by what it is worth, not by the unit that it is told in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from intent_tracking.applications.risk.assessing import Asked, assess
from intent_tracking.applications.risk.cases import risk_cases, values_of
from intent_tracking.applications.risk.features import USER_DEFAULTS, Kind, Order, OrderItem, features_of
from intent_tracking.applications.risk.model import Assessment, Decision, RiskModel
from intent_tracking.applications.risk.policy import shipped_policy
from intent_tracking.applications.risk.shop import Shop
from intent_tracking.applications.risk.training import learn
from intent_tracking.events.contract import Event, SourcePosition, events_to_table
from intent_tracking.features.batch import user_feature_snapshot
from intent_tracking.sessions.render import SessionEvent
from intent_tracking.sessions.sessionise import sessionise
from intent_tracking.sessions.state import LiveSession

pytestmark = pytest.mark.unit

USUAL = {"EUR": 60.0, "JPY": 9_000.0}
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
VISITORS = 140


def is_in_yen(visitor: int) -> bool:
    """Of one in seven visitors."""
    return visitor % 7 == 0


def visit(number: int, start: datetime, random: np.random.Generator, times: float | None = None) -> list[Event]:
    """One visitor looks at some things, puts one to four of the last into the cart and mostly buys them."""
    currency = "JPY" if is_in_yen(number) else "EUR"
    pieces = int(random.integers(1, 5))
    value = round(USUAL[currency] * (times or float(random.lognormal(0, 0.4))), 2)
    line = {"item_id": f"i-{random.integers(40)}", "price": value / pieces, "quantity": pieces}
    told = {"items": [line], "value": value, "currency": currency}
    steps = ["view_item"] * int(random.integers(1, 6)) + ["add_to_cart", "add_payment_info", "purchase"]
    moment, found = start + timedelta(minutes=number), []
    for at, name in enumerate(steps):
        moment += timedelta(seconds=float(random.gamma(2, 20)))
        params = {"transaction_id": f"t-{start.day}-{number}", **told} if name == "purchase" else told
        seen = {"items": [{**line, "item_id": f"i-{number + at}"}], "currency": currency}
        envelope = {"event_id": f"e-{start.day}-{number}-{at}", "event_name": name, "event_time": moment}
        found.append(
            Event.model_validate(
                {
                    **envelope,
                    "received_time": moment,
                    "user_id": f"u-{number}",
                    "source": "web",
                    "scene": "cart",
                    "params": seen if name == "view_item" and at else params if name != "add_payment_info" else {},
                }
            )
        )
    return found


@pytest.fixture(scope="module")
def shop() -> tuple[RiskModel, pa.Table]:
    """What it learned, and the cases of its day."""
    random = np.random.default_rng(0)
    days = [
        events_to_table((event, SourcePosition()) for n in range(VISITORS) for event in visit(n, start, random))
        for start in (NOON - timedelta(days=1), NOON)
    ]
    yesterday, both = days[0], pa.concat_tables(days)
    # Half of those who come today were there yesterday.
    known = user_feature_snapshot(yesterday, NOON.date() - timedelta(days=1)).slice(0, VISITORS // 2)
    cases = risk_cases(sessionise(both, NOON.date()), both, known, NOON.date())
    return learn(cases, {}, Shop.learned(both), shipped_policy(), NOON.date())[0], cases


def asked(model: RiskModel, currency: str, times: float, *, returning: bool) -> Assessment:
    """Two pieces of one thing, of `times` the usual amount, seen and put into the cart, then ordered."""
    value = USUAL[currency] * times
    line = {"item_id": "i-1", "price": value / 2, "quantity": 2}
    steps = [("view_item", 0), ("view_item", 40), ("add_to_cart", 95), ("add_payment_info", 130)]
    events = [
        Event.model_validate(
            {
                "event_id": f"e-{at}",
                "event_name": name,
                "event_time": NOON + timedelta(seconds=seconds),
                "received_time": NOON,
                "user_id": "u",
                "source": "web",
                "scene": "cart",
                "params": {} if name == "add_payment_info" else {"items": [line], "value": value, "currency": currency},
            }
        )
        for at, (name, seconds) in enumerate(steps)
    ]
    session = LiveSession(
        *("s", "u", "u", NOON, events[-1].event_time, len(events)), tuple(map(SessionEvent.from_event, events))
    )
    # Who was there before has spent euros.
    spent = {"user_views_30d": 6.0, "user_purchases_30d": 1.0, "user_spend_30d": USUAL["EUR"]} if returning else {}
    order = Order(value, currency, events[-1].event_time, (OrderItem("i-1", value / 2, 2),))
    return assess(model, Asked(session, {**USER_DEFAULTS, **spent}, order))


@pytest.mark.parametrize("returning", [False, True])
def test_a_usual_order_is_as_usual_in_either_currency_and_a_fifty_fold_one_is_told(
    shop: tuple[RiskModel, pa.Table], returning: bool
) -> None:
    model, _ = shop
    # Cause: 9,000 yen were taken for 150 usual orders in euros, and blocked.
    euros, yen = (asked(model, currency, 1, returning=returning) for currency in USUAL)
    assert euros.decision is yen.decision is Decision.ALLOW
    assert (euros.rules, euros.score) == (yen.rules, yen.score)
    assert euros.rules == 0
    for currency in USUAL:
        far = asked(model, currency, 50, returning=returning)
        assert far.decision is not Decision.ALLOW
        assert far.rules > 0.75


def test_the_traffic_of_either_currency_has_like_scores(shop: tuple[RiskModel, pa.Table]) -> None:
    # Cause: prices and amounts in yen were all that the forest found odd.
    model, cases = shop
    for kind in (Kind.SESSION, Kind.ORDER):
        rows = cases.filter(pc.equal(cases["kind"], kind.value))
        scores = np.array([each.score for each in model.assess_many(kind, values_of(rows, features_of(kind)))])
        yen = np.array([is_in_yen(int(each.rpartition("-")[2])) for each in rows["shopper_id"].to_pylist()])
        assert abs(scores[yen].mean() - scores[~yen].mean()) < 0.05
