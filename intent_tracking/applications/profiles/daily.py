"""The segments of some days, from the tables that are read to those that are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pyarrow as pa

from intent_tracking.applications.profiles.building import day_rows
from intent_tracking.applications.profiles.drift import SegmentDrift
from intent_tracking.applications.profiles.refresh import Refreshed, refresh
from intent_tracking.applications.profiles.report import write_day_report, write_segment_report
from intent_tracking.applications.profiles.rules import read_rules
from intent_tracking.applications.profiles.segments import Segments
from intent_tracking.applications.profiles.space import profile_features
from intent_tracking.applications.profiles.taste import taste_tokens
from intent_tracking.features.declaration import longest_window
from intent_tracking.settings import Settings
from intent_tracking.tables import DayTable


@dataclass(frozen=True)
class SegmentTables:
    """The day tables of the same names."""

    user_features: DayTable
    validated_events: DayTable
    served_predictions: DayTable
    user_segments: DayTable

    def known(self, day: date) -> tuple[pa.Table, pa.Table]:
        """The features of `day`, and the tokens of what shoppers dealt with in the longest window, which ends on it."""
        days = longest_window(profile_features()).days
        window = [day - timedelta(days=back) for back in reversed(range(days))]
        tokens = taste_tokens(self.validated_events.paths(window), self.served_predictions.paths(window))
        return self.user_features.read([day]), tokens


@dataclass(frozen=True)
class Segmented:
    """What was written.

    Attributes:
        refreshed: whether segments were learned, and why not.
        segments: that hold; None where there are none, and the days are empty.
        drifts: of each day beside a week before.
    """

    refreshed: Refreshed
    segments: Segments | None
    drifts: tuple[SegmentDrift, ...]


def segment_days(
    settings: Settings, tables: SegmentTables, days: Sequence[date], *, force: bool = False, fresh: bool = False
) -> Segmented:
    """Learn segments on the last of `days` where that is due, and write the rows and the report of each day.

    Raises:
        RulesError: the shop's file of rules holds what it must not.
        ArtifactError: the live segments cannot be read; `fresh` learns without them.
    """
    last = days[-1]
    newest, rules = tables.known(last), read_rules(settings.segment_rules)
    refreshed = refresh(settings, *newest, rules, last, force=force, fresh=fresh)
    if refreshed.folder is None:
        for day in days:
            tables.user_segments.write(day, tables.user_segments.schema.empty_table())
        return Segmented(refreshed, None, ())
    segments = Segments.load(refreshed.folder)
    drifts = []
    for day in days:
        rows = day_rows(segments, *(newest if day == last else tables.known(day)), day)
        tables.user_segments.write(day, rows)
        drifts.append(write_day_report(settings.applications, tables.user_segments, segments, day))
    write_segment_report(settings.applications, segments)
    return Segmented(refreshed, segments, tuple(drifts))
