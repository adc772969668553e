"""Who may be written to, on which channel: what the shop says, and how often it was done already.

Consents are files that the shop lands below `<home>/marketing/consents/`, CSV or Parquet, with the columns `shopper_id,
channel, given_at, withdrawn_at`; times are ISO 8601 with an offset. Nobody is written to who is not in one.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from intent_tracking.applications.marketing.rules import Cap, MarketingError, MarketingRules

CONSENT_COLUMNS: Final = ("shopper_id", "channel", "given_at", "withdrawn_at")
CONSENT_FOLDER: Final = "consents"
_MOST_NAMED: Final = 5

CONTACT_SCHEMA: Final = pa.schema(
    [
        ("shopper_id", pa.string()),
        ("channel", pa.string()),
        ("campaign", pa.string()),
        ("audience", pa.string()),
        # The control group is written to by nobody; its rows say when it would have been, and count as contacts do, so
        # that both groups are chosen alike.
        ("group", pa.string()),
    ]
)


@dataclass(frozen=True)
class Consents:
    """By (shopper, channel): when consent was given, and when it was withdrawn, in any order.

    `channels`: of each channel the place of its first row, `file:line`, and how many rows there are.
    """

    given: Mapping[tuple[str, str], tuple[datetime, ...]]
    withdrawn: Mapping[tuple[str, str], tuple[datetime, ...]]
    channels: Mapping[str, tuple[str, int]] = field(default_factory=dict)

    def holds(self, shopper_id: str, channel: str, moment: datetime) -> bool:
        """Whether the shopper may be written to: a consent given by `moment` that was not withdrawn since.

        A withdrawal counts from when it is known, also for a day that is made again; at equal times it wins.
        """
        key = (shopper_id, channel)
        last = max((at for at in self.given.get(key, ()) if at <= moment), default=None)
        return last is not None and all(at < last for at in self.withdrawn.get(key, ()))

    def unknown_channels(self, rules: MarketingRules) -> list[str]:
        """Each channel that no audience writes on, with the place of its first row; nobody is ever written to on it.

        Of many different ones the places alone: then ids may stand where channels belong.
        """
        used = {channel for audience in rules.audiences.values() for channel in audience.channels}
        unknown = {name: seen for name, seen in self.channels.items() if name not in used}
        if len(unknown) > _MOST_NAMED:
            first = next(iter(unknown.values()))[0]
            return [f"{first}: {len(unknown):,} different channels that no audience uses; are columns in their place?"]
        known = ", ".join(sorted(used))
        return [
            f"{place}: no audience uses the channel {name!r} ({rows:,} rows); those in use: {known}"
            for name, (place, rows) in unknown.items()
        ]

    def __len__(self) -> int:
        return len(self.given.keys() | self.withdrawn.keys())


def read_consents(folder: Path) -> Consents:
    """Every consent file below `folder` (`Settings.marketing / CONSENT_FOLDER`); no file: nobody has consented.

    Raises:
        MarketingError: a column is missing, a time cannot be read or has no offset; the message names file and line.
    """
    given: dict[tuple[str, str], list[datetime]] = {}
    withdrawn: dict[tuple[str, str], list[datetime]] = {}
    channels: dict[str, tuple[str, int]] = {}
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*.parquet")]):
        for number, row in _rows(path):
            where = f"{path}:{number}"
            if not row["shopper_id"] or not row["channel"]:
                raise MarketingError(f"{where}: shopper_id and channel must both be there")
            key = (str(row["shopper_id"]), str(row["channel"]))
            first, seen = channels.get(key[1], (where, 0))
            channels[key[1]] = (first, seen + 1)
            for column, times in (("given_at", given), ("withdrawn_at", withdrawn)):
                moment = _moment(row[column], f"{where}, {column}")
                if moment is not None:
                    times.setdefault(key, []).append(moment)
    return Consents(
        given={key: tuple(times) for key, times in given.items()},
        withdrawn={key: tuple(times) for key, times in withdrawn.items()},
        channels=channels,
    )


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.suffix == ".parquet":
        _require(path, pq.read_schema(path).names)
        batches = pq.ParquetFile(path).iter_batches(columns=list(CONSENT_COLUMNS))
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        _require(path, reader.fieldnames or ())
        for row in reader:
            if any(row[name] is None for name in CONSENT_COLUMNS):
                raise MarketingError(f"{path}:{reader.line_num}: has fewer cells than the first line has columns")
            yield reader.line_num, row


def _require(path: Path, names: Iterable[str]) -> None:
    missing = sorted(set(CONSENT_COLUMNS) - set(names))
    if missing:
        raise MarketingError(f"{path}: column {', '.join(missing)} is missing; it needs {', '.join(CONSENT_COLUMNS)}")


def _moment(value: object, where: str) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise MarketingError(f"{where}: {value!r} is no time; write it as 2026-01-31T09:00:00+00:00") from error
    if moment.tzinfo is None:
        raise MarketingError(f"{where}: {value!r} has no offset; write it as 2026-01-31T09:00:00+00:00")
    return moment.astimezone(UTC)


class Contacts:
    """How often who was written to on which channel, on the days around one."""

    def __init__(self, rows: Iterable[tuple[date, pa.Table]]) -> None:
        """Args:
        rows: days of `audience_contacts` (CONTACT_SCHEMA).
        """
        self._days: dict[tuple[str, str], list[date]] = {}
        for day, table in rows:
            for shopper, channel in zip(table["shopper_id"].to_pylist(), table["channel"].to_pylist(), strict=True):
                self._days.setdefault((shopper, channel), []).append(day)

    def room(self, shopper_id: str, channel: str, day: date, cap: Cap) -> bool:
        """Whether one more contact on `day` stays under the cap; what is stored of the day itself does not count.

        So it must in every stretch of `cap.days` that holds the day: one that is drawn late has days after it.
        """
        whole = timedelta(days=cap.days - 1)
        stored = self._days.get((shopper_id, channel), ())
        others = [each for each in stored if each != day and day - whole <= each <= day + whole]
        begins = [day, *(each for each in others if each < day)]
        return all(sum(begin <= each <= begin + whole for each in others) < cap.contacts for begin in begins)


def days_under_caps(caps: Mapping[str, Cap], day: date) -> Sequence[date]:
    """The other days that any cap looks at together with `day`, oldest first."""
    longest = max((cap.days for cap in caps.values()), default=1)
    return [day + timedelta(days=away) for away in range(1 - longest, longest) if away]
