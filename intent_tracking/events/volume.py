"""Whether a day has the records that its shop usually sends: nothing arrived, or nothing of it could be accepted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from math import sqrt
from statistics import median
from typing import Final

import pyarrow.compute as pc

from intent_tracking.tables import DayTable

WEEKS: Final = 4
"""A day is held against the same weekday of so many weeks before: a shop that is closed on Sundays is not missed."""
HISTORY_DAYS: Final = 7 * WEEKS
SILENT_DAYS: Final = 7
"""So many empty days in a row are news whatever the weekdays were like."""
ENOUGH_RECORDS: Final = 20
"""Below so many records a day chance alone makes empty days and high shares: nothing is said of them."""
ENOUGH_DAYS: Final = 7
QUARANTINE_MARGIN: Final = 0.1
"""A share of quarantined records that is higher than usual by no more than this is no news."""


class Remark(StrEnum):
    """What is unusual about a day."""

    SILENT = "no record was accepted where the shop usually sends some"
    WHOLLY_QUARANTINED = "every record is in quarantine"
    MORE_QUARANTINED = "more is in quarantine than usual"


@dataclass(frozen=True)
class DayVolume:
    """Records of one day: what was accepted and what was set aside."""

    accepted: int
    quarantined: int

    @property
    def quarantined_share(self) -> float:
        """Of both, 0..1."""
        total = self.accepted + self.quarantined
        return self.quarantined / total if total else 0.0


def records_in(table: DayTable, day: date) -> int:
    """Log records on disk in the partition of `day`; 0 where it was never written."""
    return int(pc.sum(table.read([day], columns=["record_count"])["record_count"], min_count=0).as_py())


def weeks_before(day: date) -> list[date]:
    """The days that `day` is held against, oldest first."""
    return [day - timedelta(days=back) for back in range(HISTORY_DAYS, 0, -1)]


def is_expected(day: date, accepted: Mapping[date, int]) -> bool:
    """Whether events are missed where `day` has none.

    They are where the same weekday usually had some: the median of the last four, as far as the shop had begun, is 20
    records or more. And where the six days before had none either, once the shop had begun.

    Args:
        day: UTC.
        accepted: accepted records of the days before, `weeks_before(day)`; those never written are left out.
    """
    before = {each: accepted[each] for each in weeks_before(day) if each in accepted}
    begun = min((each for each, records in before.items() if records), default=None)
    if begun is None:
        return False
    weekday = [before[each] for each in before if each >= begun and (day - each).days % 7 == 0]
    if weekday and median(weekday) >= ENOUGH_RECORDS:
        return True
    return not any(before.get(day - timedelta(days=back)) for back in range(1, SILENT_DAYS))


def usual_share(day: date, volumes: Mapping[date, DayVolume]) -> float | None:
    """The median share of quarantined records of the days before; None where fewer than seven can tell."""
    told = [volumes[each] for each in weeks_before(day) if each in volumes]
    shares = [each.quarantined_share for each in told if each.accepted + each.quarantined >= ENOUGH_RECORDS]
    return median(shares) if len(shares) >= ENOUGH_DAYS else None


def remark_on(day: date, volumes: Mapping[date, DayVolume], *, is_over: bool) -> Remark | None:
    """What is unusual about `day`.

    Args:
        day: UTC, one of `volumes`.
        volumes: of that day and the written ones of `weeks_before(day)`.
        is_over: whether the day has ended: one that goes on may be empty yet.
    """
    own = volumes[day]
    total = own.accepted + own.quarantined
    if not own.accepted and total >= ENOUGH_RECORDS:
        return Remark.WHOLLY_QUARANTINED
    if not own.accepted:
        expected = is_expected(day, {each: volume.accepted for each, volume in volumes.items()})
        return Remark.SILENT if is_over and expected else None
    usual = usual_share(day, volumes)
    if usual is None or total < ENOUGH_RECORDS:
        return None
    chance = 3 * sqrt(usual * (1 - usual) / total)
    return Remark.MORE_QUARANTINED if own.quarantined_share > usual + QUARANTINE_MARGIN + chance else None
