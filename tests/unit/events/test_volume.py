"""What is missed is what the shop usually sends, whatever its weekdays, its age and its size."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.events.volume import DayVolume, Remark, is_expected, remark_on, weeks_before

pytestmark = pytest.mark.unit

MONDAY = date(2026, 3, 2)
SUNDAY = 6


def shop(days: int, records: int = 200, share: float = 0.05, closed: frozenset[int] = frozenset()):
    """Volumes of `days` before MONDAY."""
    found = {}
    for back in range(days, 0, -1):
        day = MONDAY - timedelta(days=back)
        total = 0 if day.weekday() in closed else records
        found[day] = DayVolume(total - round(total * share), round(total * share))
    return found


def said_of(volumes, accepted: int, quarantined: int = 0, day: date = MONDAY, *, is_over: bool = True):
    return remark_on(day, {**volumes, day: DayVolume(accepted, quarantined)}, is_over=is_over)


def test_a_day_without_a_record_is_missed_once_it_is_over():
    assert said_of(shop(28), 0) is Remark.SILENT
    assert said_of(shop(28), 0, is_over=False) is None


def test_a_shop_is_not_missed_on_the_weekday_on_which_it_is_closed():
    volumes = shop(28, closed=frozenset({SUNDAY}))
    sunday = MONDAY - timedelta(days=1)
    assert said_of({day: volumes[day] for day in volumes if day < sunday}, 0, day=sunday) is None
    assert said_of(volumes, 0) is Remark.SILENT


@given(st.integers(0, 6), st.integers(0, 6))
def test_a_shop_that_has_just_begun_is_not_missed_on_a_weekday_that_it_has_not_shown(days, empty_days):
    # Partitions begin before the shop does; six empty days in its first week may be its closed ones.
    volumes = {**dict.fromkeys(weeks_before(MONDAY), DayVolume(0, 0)), **shop(days)}
    volumes |= {MONDAY - timedelta(days=back): DayVolume(0, 0) for back in range(1, min(empty_days, days))}
    assert said_of(volumes, 0) is None


def test_a_shop_of_a_week_is_missed_on_its_eighth_day():
    assert said_of(shop(7), 0) is Remark.SILENT


def test_one_lost_week_does_not_hide_the_next():
    volumes = shop(28)
    volumes |= {MONDAY - timedelta(days=back): DayVolume(0, 0) for back in (7, 8, 9)}
    assert said_of(volumes, 0) is Remark.SILENT


def test_a_shop_of_few_records_is_missed_after_a_week_of_silence_and_not_before():
    volumes = shop(28, records=3)
    for silent in range(1, 9):
        volumes |= {MONDAY - timedelta(days=back): DayVolume(0, 0) for back in range(1, silent)}
        assert (said_of(volumes, 0) is Remark.SILENT) == (silent >= 7)


def test_what_was_never_written_is_not_known_to_be_empty():
    volumes = shop(28)
    del volumes[MONDAY - timedelta(days=7)], volumes[MONDAY - timedelta(days=14)]
    assert is_expected(MONDAY, {day: volume.accepted for day, volume in volumes.items()})


def test_a_day_wholly_in_quarantine_is_told_from_the_first_day_on_but_not_of_a_few_stray_records():
    assert said_of({}, 0, 100) is Remark.WHOLLY_QUARANTINED
    assert said_of(shop(28, closed=frozenset({0})), 0, 3) is None


def test_a_share_far_above_the_usual_is_told_and_one_that_is_high_every_day_is_not():
    assert said_of(shop(28), 100, 100) is Remark.MORE_QUARANTINED
    assert said_of(shop(28, share=0.6), 80, 120) is None
    assert said_of(shop(6), 100, 100) is None


def test_chance_alone_raises_no_remark():
    generator = np.random.default_rng(0)
    remarks = 0
    for total in (20, 60, 500):
        volumes = {}
        for number in range(150):
            day = MONDAY + timedelta(days=number)
            quarantined = int(generator.binomial(total, 0.2))
            volumes[day] = DayVolume(total - quarantined, quarantined)
            remarks += remark_on(day, volumes, is_over=True) is not None
    assert remarks == 0
