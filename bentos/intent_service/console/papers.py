"""What the applications wrote for people, as the console shows it: sizes of audiences and the report of insights.

Read from the newest day, nothing computed; no name of a shopper leaves the tables.
"""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from bentos.intent_service.console.drift import newest_day
from intent_tracking.settings import Settings

logger = logging.getLogger(__name__)

AUDIENCES: Final = "audiences"
PART: Final = "part.parquet"
REPORTS: Final = {"en": "report.md", "zh": "report.zh.md"}
MAX_REPORT_BYTES: Final = 1 << 20


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AudienceSize(_Record):
    """How many shoppers are in an audience, and how many of them are written to."""

    name: str
    shoppers: int
    written_to: int


class AudienceState(_Record):
    """The audiences of the newest day, the largest first."""

    day: date
    sizes: list[AudienceSize]


class InsightsReport(_Record):
    """The report of a day, as Markdown."""

    day: date
    markdown: str


class Papers:
    """Looks for the newest papers below a home; what has not changed is not read again."""

    def __init__(self, settings: Settings) -> None:
        self._audiences = settings.tables / AUDIENCES
        self._reports = settings.applications / "insights"
        self._seen: tuple[tuple[str, int, int], AudienceState | None] | None = None

    def audiences(self) -> AudienceState | None:
        """The newest day; None where there is none, or where it cannot be read: then the log says why, once."""
        path = newest_day(self._audiences, f"day=*/{PART}")
        if path is None:
            return None
        found = path.stat()
        mark = (str(path), found.st_mtime_ns, found.st_size)
        if self._seen is None or self._seen[0] != mark:
            try:
                state = _sizes(path)
            except (OSError, ValueError, KeyError) as error:
                logger.error("the console shows no audiences: %s cannot be read: %s", path, error)
                state = None
            self._seen = (mark, state)
        return self._seen[1]

    def insights_day(self) -> date | None:
        """The day of the newest report."""
        path = newest_day(self._reports, f"*/{REPORTS['en']}")
        return date.fromisoformat(path.parent.name) if path is not None else None

    def insights(self, language: Literal["en", "zh"]) -> InsightsReport | None:
        """The newest report in `language`, cut after a million bytes.

        Raises:
            OSError: it cannot be read.
        """
        path = newest_day(self._reports, f"*/{REPORTS[language]}")
        if path is None:
            return None
        with path.open("rb") as file:
            text = file.read(MAX_REPORT_BYTES).decode("utf-8", "replace")
        return InsightsReport(day=date.fromisoformat(path.parent.name), markdown=text)


def _sizes(path: Path) -> AudienceState:
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from intent_tracking.applications.marketing.audiences import TREATED

    table = pq.ParquetFile(path).read(columns=["audience", "group", "channel"])
    written_to = table.filter(pc.and_(pc.equal(table["group"], TREATED), pc.is_valid(table["channel"])))
    written = {row["values"]: row["counts"] for row in pc.value_counts(written_to["audience"]).to_pylist()}
    found = [
        AudienceSize(name=row["values"], shoppers=row["counts"], written_to=written.get(row["values"], 0))
        for row in pc.value_counts(table["audience"]).to_pylist()
    ]
    found.sort(key=lambda size: (-size.shoppers, size.name))
    return AudienceState(day=date.fromisoformat(path.parent.name.removeprefix("day=")), sizes=found)
