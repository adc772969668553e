"""The effect of messages: intervals that hold what they say, and nothing said where nothing can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.applications.marketing.consent import CONTACT_SCHEMA
from intent_tracking.applications.marketing.effects import (
    contact_days,
    effect,
    effects,
    mismatch,
    newcombe,
    permuted,
    shoppers_needed,
    wilson,
)
from intent_tracking.applications.marketing.rules import EffectPlan
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.tables import DayTable
from tests.fakes.shop_events import event_row, table

pytestmark = pytest.mark.unit

PLAN = EffectPlan(outcome_days=14, report_days=60, worthwhile_difference=0.05, level=0.95, power=0.8)
DAY = date(2026, 3, 1)


def test_intervals_are_those_of_the_papers() -> None:
    # Newcombe 1998, table II: 56/70 - 48/80 and 9/10 - 3/10, method 10.
    found = newcombe(56, 70, 48, 80, 0.95)
    assert (round(found.value, 4), round(found.low, 4), round(found.high, 4)) == (0.2, 0.0524, 0.3339)
    found = newcombe(9, 10, 3, 10, 0.95)
    assert (round(found.low, 4), round(found.high, 4)) == (0.1705, 0.8090)
    assert wilson(0, 10, 0.95) == pytest.approx((0.0, 0.2775), abs=1e-4)


@given(st.integers(1, 400), st.integers(1, 400), st.data())
def test_a_difference_of_shares_lies_in_its_interval_and_turns_around_with_the_groups(
    one: int, other: int, data: st.DataObject
) -> None:
    hits, other_hits = data.draw(st.integers(0, one)), data.draw(st.integers(0, other))
    found, turned = newcombe(hits, one, other_hits, other, 0.95), newcombe(other_hits, other, hits, one, 0.95)
    assert -1 - 1e-9 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1 + 1e-9
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))


def test_without_an_effect_the_intervals_hold_zero_as_often_as_they_say() -> None:
    generator = np.random.default_rng(3)
    draws, treated, control = 800, 900, 100
    for share in (0.02, 0.1, 0.4):
        hits = generator.binomial(treated, share, draws)
        others = generator.binomial(control, share, draws)
        held = sum(
            found.low <= 0 <= found.high
            for found in (newcombe(int(a), treated, int(b), control, 0.95) for a, b in zip(hits, others, strict=True))
        )
        assert 0.925 <= held / draws <= 0.99, share  # wider than it says where hits are few
    # Money as it is: most spend nothing, the others by a long tail; and a small control group.
    held = 0
    for _ in range(250):
        spent = np.where(generator.random(220) < 0.3, generator.lognormal(3, 0.9, 220), 0)
        found = permuted(spent[:180], spent[180:], 0.9, draws=199)
        held += found.low <= 0 <= found.high
    assert 0.843 <= held / 250 <= 0.957  # three standard deviations of 250 draws


def test_money_moves_its_interval_along_and_the_groups_turn_it_around() -> None:
    spent = np.random.default_rng(5).lognormal(2, 0.5, 120)
    found, more = (permuted(spent[:80] + extra, spent[80:], 0.95) for extra in (0, 10))
    assert more.value == pytest.approx(found.value + 10)
    assert more.low > 8
    turned = permuted(spent[80:], spent[:80], 0.95)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low), abs=0.4)
    with pytest.raises(ValueError, match="at least 10"):
        permuted(spent[:9], spent, 0.95)


def test_an_effect_is_found_in_the_sample_that_was_asked_for() -> None:
    base, difference, control_share = 0.1, 0.05, 0.2
    needed = shoppers_needed(base, difference, control_share, 0.95, 0.8)
    control = round(needed * control_share)
    generator = np.random.default_rng(4)
    found = 0
    for _ in range(600):
        hits = int(generator.binomial(needed - control, base + difference))
        others = int(generator.binomial(control, base))
        found += newcombe(hits, needed - control, others, control, 0.95).low > 0
    assert 0.74 <= found / 600 <= 0.88


def test_groups_that_were_not_drawn_as_declared_say_nothing() -> None:
    assert mismatch(900, 100, 0.1) > 0.9
    spent = np.ones(1000)
    odd = effect("x", (spent[:700], spent[:700] > 0), (spent[:300], spent[:300] > 2), plan=PLAN, control_share=0.1)
    assert not odd.as_declared
    assert "sizes of the groups" in odd.verdict


def test_too_few_are_told_how_many_are_needed() -> None:
    bought = np.arange(100) < 10
    small = effect("x", (bought * 5.0, bought), (bought[9:20] * 5.0, bought[9:20]), plan=PLAN, control_share=0.1)
    assert small.needed is not None
    assert "are needed" in small.verdict
    alone = effect("x", (bought * 5.0, bought), (bought[:0] * 1.0, bought[:0]), plan=PLAN, control_share=0.0)
    assert (alone.conversion, alone.revenue, alone.needed) == (None, None, None)
    assert "a group is empty" in alone.verdict


def contacted(root: Path, days: Mapping[date, Sequence[tuple[str, str]]]) -> list[Path]:
    """The partitions of (shopper, group) by day, of one campaign."""
    stored = DayTable(root, "audience_contacts", CONTACT_SCHEMA)
    for day, rows in days.items():
        whole = [
            {"shopper_id": shopper, "channel": "email", "campaign": "spring", "audience": "a", "group": group}
            for shopper, group in rows
        ]
        stored.write(day, pa.Table.from_pylist(whole, schema=CONTACT_SCHEMA))
    return stored.paths(stored.days())


def test_outcomes_count_from_the_first_contact_for_as_long_as_declared(tmp_path: Path) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    events = [
        event_row("purchase", midnight - timedelta(microseconds=1), shopper="early", value=5.0),
        event_row("purchase", midnight, shopper="first", value=5.0),
        event_row("purchase", midnight + timedelta(days=13), shopper="first", number=1, value=7.0),
        event_row("purchase", midnight + timedelta(days=14), shopper="late", value=5.0),
        event_row("purchase", midnight + timedelta(days=3), shopper="left", value=4.0),
        event_row("view_item", midnight + timedelta(days=3), shopper="looks"),
    ]
    stored = DayTable(tmp_path, "validated_events", EVENT_SCHEMA)
    stored.write(DAY, table(events))
    written = [("early", "treated"), ("first", "treated"), ("late", "treated"), ("looks", "treated")]
    days = {
        DAY: [*written, ("left", "control"), ("still", "control")],
        DAY + timedelta(days=5): [("first", "treated"), ("late", "treated")],
    }
    (found,) = effects(contacted(tmp_path, days), stored.paths([DAY]), DAY + timedelta(days=30), PLAN, 0.3)
    assert (found.treated, found.control, found.treated_buyers, found.control_buyers) == (4, 2, 1, 1)
    assert found.revenue is None  # of six shoppers
    assert effects([], [], DAY, PLAN, 0.1) == []


def test_who_was_reached_before_the_reported_days_is_not_counted_again(tmp_path: Path) -> None:
    # Cause: the first contact of the reported days was taken for the first of all. Whom the message moves to buy leaves
    # the audience, so those who came again were chosen by its effect, and only in the group that got it.
    shoppers = [(f"u{n}", "control" if n % 2 else "treated") for n in range(200)]
    again = [each for n, each in enumerate(shoppers) if n % 2 or n < 20]  # the message kept most of the treated away
    until = DAY + timedelta(days=200)
    day = contact_days(until, PLAN)[3]
    fresh = [("new", "treated"), ("other", "control")]
    stored = DayTable(tmp_path, "validated_events", EVENT_SCHEMA)
    stored.write(day, table([event_row("purchase", datetime(2026, 9, 1, tzinfo=UTC), shopper="new", value=5.0)]))
    days = contacted(tmp_path, {DAY: shoppers, day: [*again, *fresh]})
    (found,) = effects(days, stored.paths([day]), until, PLAN, 0.5)
    assert (found.treated, found.control) == (1, 1)
    assert found.as_declared
    assert effects(days[:1], stored.paths([day]), until, PLAN, 0.5) == []


def test_only_contacts_whose_outcome_is_complete_are_reported() -> None:
    days = contact_days(date(2026, 3, 31), PLAN)
    assert days[-1] + timedelta(days=PLAN.outcome_days) == date(2026, 3, 31)
    assert len(days) == PLAN.report_days


def test_money_of_several_currencies_is_not_added_up(tmp_path: Path) -> None:
    # Cause: yen and euros were one sum, and the difference of the money was that of the yen.
    shoppers = [(f"u{n}", "control" if n % 2 else "treated") for n in range(60)]
    at = datetime(2026, 3, 4, 12, tzinfo=UTC)
    rows = [event_row("purchase", at, shopper=shopper, value=10.0 + n) for n, (shopper, _) in enumerate(shoppers)]
    yen = [event_row("purchase", at, shopper=f"u{n}", number=1, value=90000.0, currency="JPY") for n in (0, 2, 4)]
    alone = [event_row("purchase", at, shopper="new", value=90000.0, currency="JPY")]
    days = contacted(tmp_path, {DAY: [*shoppers, ("new", "treated")]})
    found = []
    for name, events in (("one", rows), ("two", [*rows, *yen, *alone])):
        stored = DayTable(tmp_path / name, "validated_events", EVENT_SCHEMA)
        stored.write(DAY, table(events))
        found += effects(days, stored.paths([DAY]), DAY + timedelta(days=30), PLAN, 0.5)
    one, two = found
    assert (one.currency, one.other_purchases, two.currency, two.other_purchases) == ("EUR", 0, "EUR", 4)
    assert two.revenue == one.revenue
    assert (one.treated_buyers, two.treated_buyers) == (30, 31)
    assert str(one.as_row()["difference of the money"]).endswith(" EUR")
    assert str(two.as_row()["difference of the money"]).endswith(" EUR, without 4 in other currencies")
    assert two.as_document()["currency"] == "EUR"
