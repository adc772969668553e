"""Who may be written to, on which channel: what the shop says, and how often it was done already.

Consents are files that the shop lands below `<home>/marketing/consents/`, CSV or Parquet, with the columns `shopper_id,
channel, given_at, withdrawn_at`; times are ISO 8601 with an offset. Nobody is written to who is not in one. What is
wrong in a consent leads to no message, and what is wrong in a withdrawal must not lead to one either.
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
from intent_tracking.tables import where_not_utf8

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
class UnknownChannel:
    """A channel in consent files that has no cap: the place of its first row, `file:line`, and how often it occurs."""

    first: str
    rows: int = 0
    withdrawals: int = 0


@dataclass(frozen=True)
class Consents:
    """By (shopper, channel): when consent was given, and when it was withdrawn, in any order.

    Attributes:
        everywhere: by shopper the withdrawals on a channel that nobody knows. They withdraw every channel: `emial` was
            meant to stop something.
        unknown: by name, each channel that has no cap.
    """

    given: Mapping[tuple[str, str], tuple[datetime, ...]]
    withdrawn: Mapping[tuple[str, str], tuple[datetime, ...]]
    everywhere: Mapping[str, tuple[datetime, ...]] = field(default_factory=dict)
    unknown: Mapping[str, UnknownChannel] = field(default_factory=dict)

    def holds(self, shopper_id: str, channel: str, moment: datetime) -> bool:
        """Whether the shopper may be written to: a consent given by `moment` that was not withdrawn since.

        A withdrawal counts from when it is known, also for a day that is made again; at equal times it wins.
        """
        key = _key(shopper_id, channel)
        last = max((at for at in self.given.get(key, ()) if at <= moment), default=None)
        ends = (*self.withdrawn.get(key, ()), *self.everywhere.get(key[0], ()))
        return last is not None and all(at < last for at in ends)

    @property
    def withdrawn_without_consent(self) -> int:
        """Shoppers who withdrew and never consented to anything: their consent may stand under another id."""
        return len(({shopper for shopper, _ in self.withdrawn} | self.everywhere.keys()) - {s for s, _ in self.given})

    def unknown_channels(self, rules: MarketingRules) -> list[str]:
        """What is said of each channel without a cap: the place of its first row, and what its withdrawals do.

        Of many different ones the places alone: then ids may stand where channels belong.
        """
        if len(self.unknown) > _MOST_NAMED:
            first = next(iter(self.unknown.values())).first
            withdrawals = sum(each.withdrawals for each in self.unknown.values())
            return [
                f"{first}: {len(self.unknown):,} different channels that have no cap{_effect_of(withdrawals)}; are "
                "columns in their place?"
            ]
        known = ", ".join(sorted(rules.caps))
        return [
            f"{each.first}: the channel {name!r} has no cap ({each.rows:,} rows{_effect_of(each.withdrawals)}); those "
            f"that have one: {known}"
            for name, each in self.unknown.items()
        ]

    def __len__(self) -> int:
        return len(self.given.keys() | self.withdrawn.keys())


def _effect_of(withdrawals: int) -> str:
    return f", {withdrawals:,} withdrawals, each of every channel of its shopper" if withdrawals else ""


def _key(shopper_id: str, channel: str) -> tuple[str, str]:
    # Ids in events have no white space around them, and names of channels in the rules are in small letters.
    return shopper_id.strip(), channel.strip().casefold()


def read_consents(folder: Path, rules: MarketingRules) -> Consents:
    """Every consent file below `folder` (`Settings.marketing / CONSENT_FOLDER`); no file: nobody has consented.

    White space around an id or a channel does not count, nor do capitals in a channel. Channels are known that have a
    cap in `rules`.

    Raises:
        MarketingError: a file is no CSV in UTF-8, a column is missing, a time cannot be read or has no offset; the
            message names file and line.
    """
    given: dict[tuple[str, str], list[datetime]] = {}
    withdrawn: dict[tuple[str, str], list[datetime]] = {}
    everywhere: dict[str, list[datetime]] = {}
    unknown: dict[str, UnknownChannel] = {}
    for path in sorted([*folder.glob("*.csv"), *folder.glob("*.parquet")]):
        for number, row in _rows(path):
            where = f"{path}:{number}"
            shopper, channel = _key(str(row["shopper_id"] or ""), str(row["channel"] or ""))
            if not shopper or not channel:
                raise MarketingError(f"{where}: shopper_id and channel must both be there")
            begins, ends = (_moment(row[name], f"{where}, {name}") for name in ("given_at", "withdrawn_at"))
            if begins is not None:
                given.setdefault((shopper, channel), []).append(begins)
            if channel not in rules.caps:
                seen = unknown.get(channel, UnknownChannel(where))
                unknown[channel] = UnknownChannel(seen.first, seen.rows + 1, seen.withdrawals + (ends is not None))
                if ends is not None:
                    everywhere.setdefault(shopper, []).append(ends)
            elif ends is not None:
                withdrawn.setdefault((shopper, channel), []).append(ends)
    return Consents(
        given={key: tuple(times) for key, times in given.items()},
        withdrawn={key: tuple(times) for key, times in withdrawn.items()},
        everywhere={shopper: tuple(times) for shopper, times in everywhere.items()},
        unknown=unknown,
    )


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.suffix == ".parquet":
        _require(path, pq.read_schema(path).names)
        batches = pq.ParquetFile(path).iter_batches(columns=list(CONSENT_COLUMNS))
        yield from enumerate((row for batch in batches for row in batch.to_pylist()), start=1)
        return
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            _require(path, reader.fieldnames or ())
            for row in reader:
                if any(row[name] is None for name in CONSENT_COLUMNS):
                    raise MarketingError(f"{path}:{reader.line_num}: has fewer cells than the first line has columns")
                yield reader.line_num, row
        except UnicodeDecodeError as error:
            raise MarketingError(f"{path}: {where_not_utf8(path)}") from error
        except csv.Error as error:
            raise MarketingError(f"{path}:{reader.reader.line_num}: is no CSV: {error}") from error


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
        rows: days of CONTACT_SCHEMA rows; who stands twice in a day on one channel is written to once.
        """
        self._days: dict[tuple[str, str], set[date]] = {}
        for day, table in rows:
            for shopper, channel in zip(table["shopper_id"].to_pylist(), table["channel"].to_pylist(), strict=True):
                self._days.setdefault((shopper, channel), set()).add(day)

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
