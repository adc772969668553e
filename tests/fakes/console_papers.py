"""What the applications of a shop wrote, for the console to show: audiences, a report, a stored profile."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import pyarrow as pa

from intent_tracking.applications.marketing.audiences import AUDIENCE_SCHEMA, CONTROL, TREATED
from intent_tracking.features.derived import USER_SEGMENT
from intent_tracking.settings import Settings
from intent_tracking.tables import DayTable, atomic_write_text
from tests.fakes.online_store import put_online

DAY: Final = date(2026, 3, 8)
REPORT: Final = """# What the shop learned on {day}

[中文](report.zh.md)

## Rising words

![Rising words](rising.png)

| word | z |
|---|---|
| {word} | 8.4 |
"""


def write_audiences(home: Path) -> None:
    """Three shoppers: two lapse, of whom one is in the control group, and one may not be written to."""
    rows = [
        {"shopper_id": f"u{number}", "audience": audience, "group": group, "channel": channel}
        for number, (audience, group, channel) in enumerate(
            [("lapsing", TREATED, "email"), ("lapsing", CONTROL, "email"), ("bargain_hunter", TREATED, None)]
        )
    ]
    table = pa.Table.from_pylist([dict.fromkeys(AUDIENCE_SCHEMA.names) | row for row in rows], schema=AUDIENCE_SCHEMA)
    DayTable(Settings(home=home).tables, "audiences", AUDIENCE_SCHEMA).write(DAY, table)


def write_report(home: Path, word: str, day: date = DAY) -> None:
    """A report as the asset writes it, in both languages."""
    folder = Settings(home=home).applications / "insights" / day.isoformat()
    folder.mkdir(parents=True)
    for name, said in (("report.md", word), ("report.zh.md", f"{word} 词")):
        atomic_write_text(folder / name, REPORT.format(day=day, word=said))


def store_profile(home: Path, shopper: str) -> None:
    """The shopper is a big spender, by the segments of `released_applications`."""
    trait = {
        "trait": "user_spend_30d",
        "level": "high",
        "label": None,
        "value": 50.0,
        "typical": 10.0,
        "percentile": 90.0,
    }
    values = {"segment": "big-spenders", "segment_version": "v1", "distance": 0.1, "traits": json.dumps([trait])}
    now = datetime.now(UTC)
    put_online(Settings(home=home).feast / "online.db", USER_SEGMENT.name, shopper, values, now)
