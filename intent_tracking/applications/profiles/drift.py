"""How the segments of a shop change over the days: their shares, who moves, and how much that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from math import log
from typing import Any, Final

from intent_tracking.features.derived import USER_SEGMENT
from intent_tracking.tables import DayTable

BACK: Final = 7
"""Days between the two that are compared: weekdays differ, weeks less."""
CALM, SHIFTED = 0.1, 0.25
"""Usual reading of the index (Siddiqi, Credit Risk Scorecards, 2006): nothing below the one, a shift from the other."""
_MOVES: Final = 10
# A share of nothing has no logarithm: half a shopper stands in for none.
_HALF: Final = 0.5


@dataclass(frozen=True)
class Move:
    """Shoppers who were in one segment and are in another."""

    was: str
    now: str
    shoppers: int


@dataclass(frozen=True)
class SegmentDrift:
    """The segments of a day beside those of a week before.

    Attributes:
        day: UTC date. before: the day it is compared with; None where that has no rows.
        shoppers: with a segment on the day.
        shares: of each segment, by id. shares_before: of the other day.
        psi: population stability index of the shares; None without a day before.
        common: shoppers with a segment on both days. stayed: share of them in the same segment; None without any.
        moves: the largest ones.
        versions: artifacts that said so. versions_before: of the other day; where they are others, the segments were
            learned again in between, and not the shoppers alone have moved.
    """

    day: str
    before: str | None
    shoppers: int
    shares: dict[str, float]
    shares_before: dict[str, float]
    psi: float | None
    common: int
    stayed: float | None
    moves: tuple[Move, ...]
    versions: tuple[str, ...]
    versions_before: tuple[str, ...]

    @property
    def is_learned_again(self) -> bool:
        """Whether other segments were asked on the two days."""
        return bool(self.versions and self.versions_before) and self.versions != self.versions_before

    @property
    def reading(self) -> str:
        """The index in a word: `calm`, `moving`, `shifted`, or `unknown` without a day before."""
        if self.psi is None:
            return "unknown"
        return "calm" if self.psi < CALM else "moving" if self.psi < SHIFTED else "shifted"

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"reading": self.reading, "learned_again": self.is_learned_again}


def population_stability(before: Mapping[str, int], now: Mapping[str, int]) -> float:
    """Population stability index of two counts: sum of (p - q) ln(p / q); 0 for the same shares, never negative."""
    names = sorted({*before, *now})
    shares = [[max(counts.get(name, 0), _HALF) for name in names] for counts in (before, now)]
    of_before, of_now = ([count / sum(counts) for count in counts] for counts in shares)
    return float(sum((p - q) * log(p / q) for p, q in zip(of_now, of_before, strict=True)))


def segment_drift(table: DayTable, day: date, back: int = BACK) -> SegmentDrift:
    """Compare the segments of `day` with those of `back` days before."""
    earlier = day - timedelta(days=back)
    now, versions = _segments(table, day)
    before, versions_before = _segments(table, earlier)
    counts, counts_before = Counter(now.values()), Counter(before.values())
    both = [(before[shopper], segment) for shopper, segment in now.items() if shopper in before]
    moved = Counter(pair for pair in both if pair[0] != pair[1])
    known = bool(before) and bool(now)
    return SegmentDrift(
        day=day.isoformat(),
        before=earlier.isoformat() if before else None,
        shoppers=len(now),
        shares=_shares(counts),
        shares_before=_shares(counts_before),
        psi=round(population_stability(counts_before, counts), 6) if known else None,
        common=len(both),
        stayed=round(1 - sum(moved.values()) / len(both), 6) if both else None,
        moves=tuple(
            Move(was, is_now, count)
            for (was, is_now), count in sorted(moved.items(), key=lambda each: (-each[1], each[0]))[:_MOVES]
        ),
        versions=versions,
        versions_before=versions_before,
    )


def shares_by_day(table: DayTable, last: date, days: int = 30) -> dict[date, dict[str, float]]:
    """The share of each segment on the days up to `last` that have rows."""
    found = {}
    for day in (last - timedelta(days=back) for back in reversed(range(days))):
        segments, _ = _segments(table, day)
        if segments:
            found[day] = _shares(Counter(segments.values()))
    return found


def _segments(table: DayTable, day: date) -> tuple[dict[str, str], tuple[str, ...]]:
    rows = table.read([day], columns=[USER_SEGMENT.entity.key, "segment", "segment_version"])
    shoppers, segments, versions = (rows[name].to_pylist() for name in rows.column_names)
    return dict(zip(shoppers, segments, strict=True)), tuple(sorted(set(versions)))


def _shares(counts: Counter[str]) -> dict[str, float]:
    total = counts.total()
    return {
        name: round(count / total, 6) for name, count in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    }
