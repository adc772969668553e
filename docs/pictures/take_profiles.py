"""Take the pictures of docs/profiles.md again: `python docs/pictures/take_profiles.py`, with Online Retail at hand.

Learns segments on October 2011 and gives them to the shoppers of each day of the month: nothing is made by hand.
"""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.applications.profiles import read_invoices, window
from intent_tracking.applications.profiles.building import day_rows, fit_segments, write_segments
from intent_tracking.applications.profiles.report import report_folder, write_day_report, write_segment_report
from intent_tracking.applications.profiles.rules import read_rules
from intent_tracking.applications.profiles.segments import Segments
from intent_tracking.datasets.folders import DataFolders
from intent_tracking.features.derived import USER_SEGMENT
from intent_tracking.settings import load_settings
from intent_tracking.tables import DayTable

FOLDER = Path(__file__).parent
LAST = date(2011, 10, 31)
DAYS = 21


def main() -> None:
    """Overview, one segment and the days."""
    events, rules = read_invoices(DataFolders.of(load_settings())), read_rules()
    with TemporaryDirectory() as name:
        root = Path(name)
        first = window(events, LAST)
        fitted = fit_segments(first.features, first.tokens, rules, LAST)
        segments = Segments.load(write_segments(root, fitted, first.features, first.tokens, rules, LAST))
        table = DayTable(root / "tables", USER_SEGMENT.table, USER_SEGMENT.schema)
        for day in (LAST - timedelta(days=back) for back in reversed(range(DAYS))):
            shoppers = window(events, day)
            table.write(day, day_rows(segments, shoppers.features, shoppers.tokens, day))
        pages = write_segment_report(root, segments)
        write_day_report(root, table, segments, LAST)
        most_traits = max(segments.segments, key=lambda segment: (len(segment.traits), segment.share))
        shutil.copy(pages / "segments.png", FOLDER / "profiles-overview.png")
        shutil.copy(pages / f"segment-{most_traits.id}.png", FOLDER / "profiles-segment.png")
        shutil.copy(report_folder(root, LAST.isoformat()) / "segments-by-day.png", FOLDER / "profiles-days.png")


if __name__ == "__main__":
    main()
