"""What `intent-tracking ingest` does; the command line only names its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from intent_tracking.events.ingest import collect, days_of, land
from intent_tracking.events.quarantine import RAW_SCHEMA
from intent_tracking.events.sources import Received
from intent_tracking.tables import DayTable


def ingest_command(
    files: Sequence[Path],
    *,
    home: Path,
    source: str,
    adapter: str = "native",
    mapping: str | None = None,
    received: Received = "file_date",
    console: Console | None = None,
) -> dict[str, int]:
    """Land `files` as `source`, write `raw_events` of every day that they touch, and print what was read.

    Returns:
        Records of this source's files by day (ISO date).

    Raises:
        ValueError: a file, the mapping or the source is wrong; the message names it and the remedy.
    """
    shown = console or Console()
    landed = land(files, source, adapter, home=home, mapping=mapping, received=received)
    with shown.status("reading the days of the files"):
        days = days_of(home, source, landed.files)
    table = DayTable(home / "tables", "raw_events", RAW_SCHEMA)
    with shown.status("collecting") as status:
        for day, rows in collect(
            home, list(days), progress=lambda name, done, total: status.update(f"{done}/{total} files  {name}")
        ):
            table.write(day, rows)
    report = Table(title=f"{source} ({adapter})")
    report.add_column("files", justify="right")
    report.add_column("landed before", justify="right")
    report.add_column("records", justify="right")
    report.add_column("days", justify="right")
    report.add_column("from")
    report.add_column("to")
    report.add_row(
        str(len(landed.files)),
        str(len(landed.unchanged)),
        f"{sum(days.values()):,}",
        str(len(days)),
        min(days).isoformat() if days else "-",
        max(days).isoformat() if days else "-",
    )
    shown.print(report)
    return {day.isoformat(): count for day, count in days.items()}
