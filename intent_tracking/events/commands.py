"""What `intent-tracking ingest` does; the command line only names its arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from intent_tracking.events.ingest import collect, days_of
from intent_tracking.events.landing import land
from intent_tracking.events.quarantine import RAW_SCHEMA
from intent_tracking.events.sources import Received
from intent_tracking.events.validate import validate
from intent_tracking.tables import DayTable


def ingest_command(
    files: Sequence[Path],
    *,
    home: Path,
    source: str,
    adapter: str = "native",
    mapping: str | None = None,
    received: Received = "file_date",
    first_day: date | None = None,
    console: Console | None = None,
) -> dict[str, int]:
    """Land `files` as `source`, write `raw_events` of every day that they touch, and print what is in them.

    What validation will say of these days is counted and shown, so that a wrong mapping shows itself here; the tables
    of accepted and quarantined events are written by the orchestration.

    Args:
        first_day: first day of the partitions; days before it are named, since no partition takes them.

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
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with shown.status("collecting") as status:
        for day, rows in collect(
            home, list(days), progress=lambda name, done, total: status.update(f"{done}/{total} files  {name}")
        ):
            table.write(day, rows)
            checked = validate(rows, day)
            outcomes["accepted"] += checked.records_accepted
            outcomes["duplicate"] += checked.duplicates
            reasons.update(checked.reasons)
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
    shown.print(f"On these days, all sources: {outcomes['accepted']:,} accepted, {outcomes['duplicate']:,} duplicates")
    for reason, count in reasons.most_common():
        shown.print(f"  to quarantine: {count:,} {reason}")
    early = [day for day in days if first_day is not None and day < first_day]
    if early:
        shown.print(
            f"[yellow]{len(early)} days lie before {first_day}: set INTENT_FIRST_DAY={min(early)} to process them[/]"
        )
    shown.print(f"In {home}. Next: materialize these days from raw_events on (make dev, with INTENT_HOME={home})")
    return {day.isoformat(): count for day, count in days.items()}
