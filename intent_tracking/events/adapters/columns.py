"""A shop's own CSV, Parquet or JSON lines, by a mapping of its columns.

A record is one log line; with `unnest` one entry of the line's list; with `group_by` all lines of a file that share
the key. A grouped record keeps its lines together in `raw`, so that validating it again under a better mapping gives
the whole event.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

from intent_tracking.events.adapters import fields as f
from intent_tracking.events.adapters.base import (
    Identity,
    Parsed,
    SourceRecord,
    Times,
    build_event,
    decode,
    identity,
    log_format,
    open_log,
    parquet_columns,
    read_lines,
    read_parquet_rows,
    refused,
    row_json,
    utc_time,
)
from intent_tracking.events.adapters.mapping import ColumnMapping, EventNames
from intent_tracking.events.adapters.rules import Row, compile_check, compile_template, is_empty, number
from intent_tracking.events.contract import MAX_NAME_LENGTH, SCENE_OF_EVENT, EventName
from intent_tracking.events.nesting import MAX_NESTING
from intent_tracking.events.quarantine import MAX_DETAIL_LENGTH, Quarantined, QuarantineReason, storable
from intent_tracking.events.scrubbing import scrub_text

_GROUP: Final = "group"  # the key of a grouped record's lines: [{"line": 7, "row": {...}}, ...]
_GROUP_NESTING: Final = 3  # what grouping puts around a row; a row at the limit must not make its group unreadable
_UNREADABLE: Final = "unreadable_line"
_BECAUSE: Final = "unreadable_because"
_SHOWN_COLUMNS: Final = 20
_EPOCH_UNITS: Final = {"s": 1, "ms": 1_000, "us": 1_000_000}
_Line = tuple[int, Row]
_NO_CELLS: Final[list[str]] = []


class ColumnsAdapter:
    """Log lines by a `ColumnMapping`."""

    def __init__(self, name: str, mapping: ColumnMapping) -> None:
        self.name = name
        self.mapping = mapping
        self.free_text = frozenset(mapping.free_text)
        self._zone = ZoneInfo(mapping.timezone)
        self._checks = [(check.reason, compile_check(check)) for check in mapping.checks]
        self._items = {field: compile_template(template) for field, template in mapping.items.items()}
        self._envelope = {
            field: compile_template(template)
            for field in ("event_id", "user_id", "anonymous_id", "guest_id", "session_id")
            if (template := getattr(mapping, field)) is not None
        }
        self._custom = {field: compile_template(template) for field, template in mapping.custom.items()}
        self._params = {name: self._params_of(name) for name in EventName}

    def _params_of(self, name: EventName) -> dict[str, Callable[[Row], str | None]]:
        """Templates of `params` that hold for events called `name`."""
        chosen = {
            field: by_name if isinstance(by_name, str) else by_name.get(name)
            for field, by_name in self.mapping.params.items()
        }
        return {field: compile_template(template) for field, template in chosen.items() if template is not None}

    def read(self, path: Path) -> Iterator[SourceRecord]:
        """As of `Adapter`; at once, before the first record is asked for, the mapping is held against the file.

        Raises:
            ValueError: the mapping names columns that a file with a header does not have.
        """
        self._check_columns(path)
        return self._records(path)

    def _check_columns(self, path: Path) -> None:
        """A misspelt column would be read as empty in every line. JSON lines may leave out what they do not have."""
        match log_format(path):
            case "csv":
                with self._csv_reader(path) as reader:
                    header = next(reader, _NO_CELLS)
            case "parquet":
                header = parquet_columns(path)
            case _:
                return
        # The entries of an unnested list have columns of their own, which only they name.
        named = {self.mapping.unnest} if self.mapping.unnest else self.mapping.columns
        if header and (missing := sorted(named - set(header))):
            # Without a header the first line is data, and may name people.
            there = [scrub_text(name[:MAX_NAME_LENGTH]) for name in header[:_SHOWN_COLUMNS]]
            more = f" and {len(header) - len(there)} more" if len(header) > len(there) else ""
            raise ValueError(
                f"{path}: mapping {self.mapping.name} names {', '.join(missing)}, which the file does not have; "
                f"its columns: {', '.join(there)}{more}. Correct the mapping, or its delimiter and encoding"
            )

    def _records(self, path: Path) -> Iterator[SourceRecord]:
        lines = self._unnested(self._lines(path)) if self.mapping.unnest else self._lines(path)
        if not self.mapping.group_by:
            for number_, row in lines:
                yield SourceRecord(raw=_text(row), source_line=number_)
            return
        # Lines of one key may lie apart, so a group is complete at the end of the file: one file is held in memory.
        groups: dict[tuple[object, ...], list[_Line]] = {}
        for number_, row in lines:
            key = (number_,) if _UNREADABLE in row else tuple(_text(row.get(name)) for name in self.mapping.group_by)
            groups.setdefault(key, []).append((number_, row))
        for members in groups.values():
            group = [{"line": number_, "row": row} for number_, row in members]
            yield SourceRecord(raw=_text({_GROUP: group}), source_line=members[0][0], record_count=len(members))

    def _lines(self, path: Path) -> Iterator[_Line]:
        match log_format(path):
            case "csv":
                yield from self._csv_lines(path)
            case "parquet":
                yield from read_parquet_rows(path)
            case _:
                for record in read_lines(path):
                    row = decode(record.raw, MAX_NESTING - _GROUP_NESTING)
                    if isinstance(row, Parsed):
                        row = _unreadable(record.raw, f"line {record.source_line}: {row.quarantined[0].detail}")
                    yield record.source_line, row

    def csv_rows(self, path: Path) -> Iterator[tuple[int, int]]:
        """First and last line of each row of a CSV file, its header included, by the numbers of `source_line`."""
        before = 0
        with self._csv_reader(path) as reader:
            while True:
                try:
                    next(reader)
                except StopIteration:
                    return
                except csv.Error:
                    pass  # quarantined where it is read; here its place is all that counts
                yield before + 1, reader.line_num
                before = reader.line_num

    def _csv_lines(self, path: Path) -> Iterator[_Line]:
        with self._csv_reader(path) as reader:
            header = next(reader, _NO_CELLS)
            while True:
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield reader.line_num, _unreadable("", f"CSV line {reader.line_num}: {error}")
                    continue
                if len(cells) == len(header):
                    yield reader.line_num, dict(zip(header, cells, strict=True))
                elif cells:
                    because = f"CSV line {reader.line_num} has {len(cells)} fields, the header has {len(header)}"
                    yield reader.line_num, _unreadable(reader.dialect.delimiter.join(cells), because)

    @contextmanager
    def _csv_reader(self, path: Path) -> Iterator[Any]:
        delimiter = "\t" if ".tsv" in path.suffixes else self.mapping.delimiter
        encoding = "utf-8-sig" if self.mapping.encoding.lower() in ("utf-8", "utf8") else self.mapping.encoding
        with open_log(path) as file, io.TextIOWrapper(file, encoding, "backslashreplace", newline="") as text:
            yield csv.reader(text, delimiter=delimiter)

    def _unnested(self, lines: Iterator[_Line]) -> Iterator[_Line]:
        """One line per entry of the list column, with the other columns of its line; the entry's own fields win."""
        for number_, row in lines:
            entries = row.get(self.mapping.unnest or "")
            if not isinstance(entries, list) or not entries:
                because = f"line {number_}: {self.mapping.unnest} holds no list of entries"
                yield number_, row if _UNREADABLE in row else _unreadable(_text(row), because)
                continue
            shared = {name: value for name, value in row.items() if name != self.mapping.unnest}
            for entry in entries:
                because = f"line {number_}: an entry of {self.mapping.unnest} is no object"
                yield number_, {**shared, **entry} if isinstance(entry, dict) else _unreadable(_text(entry), because)

    def times(self, document: object) -> Times:
        for _, row in _members(f.mapping(document)):
            if (moment := self._moment(row)) is not None:
                return Times(event_time=moment)
        return Times()

    def _moment(self, row: Row) -> datetime | None:
        rule = self.mapping.event_time
        value = row.get(rule.column)
        if is_empty(value) or isinstance(value, bool):
            return None
        try:
            if rule.unit is not None:
                count = int(str(value))
                seconds, rest = divmod(count, _EPOCH_UNITS[rule.unit])
                return utc_time(
                    datetime.fromtimestamp(seconds, UTC).replace(
                        microsecond=rest * 1_000_000 // _EPOCH_UNITS[rule.unit]
                    )
                )
            text = str(value).strip()
            moment = datetime.strptime(text, rule.format) if rule.format else datetime.fromisoformat(text)  # noqa: DTZ007
            return utc_time(moment if moment.tzinfo else moment.replace(tzinfo=self._zone))
        except (ValueError, OverflowError, OSError):
            return None

    def identities(self, document: object) -> tuple[Identity, ...]:
        found = (self._envelope_of(row) for _, row in _members(f.mapping(document)))
        return tuple(each for row in found for each in identity(row.get("user_id"), row.get("anonymous_id")))

    def parse(self, raw: str, received_time: datetime) -> Parsed:
        document = decode(raw)
        if isinstance(document, Parsed):
            return document
        members = _members(document)
        if not members:
            return refused(QuarantineReason.UNREADABLE, "a grouped record without lines")
        kept, refusals, duplicates = self._sorted_out(members)
        if not kept:
            return Parsed(event=None, quarantined=tuple(refusals), duplicates=duplicates)
        parsed = self._event([row for _, row in kept], self.times(document).event_time, received_time)
        if parsed.event is not None:
            return Parsed(parsed.event, tuple(refusals), duplicates)
        if len(kept) == len(members):
            return parsed
        first = parsed.quarantined[0]
        rest = [_refused_line(line, row, first.reason, first.detail) for line, row in kept]
        return Parsed(event=None, quarantined=(*refusals, *rest), duplicates=duplicates)

    def _sorted_out(self, members: list[_Line]) -> tuple[list[_Line], list[Quarantined], int]:
        """The lines that make the event, the refusals of single lines, and how many repeat another line exactly."""
        kept: list[_Line] = []
        refusals: list[Quarantined] = []
        seen: set[str] = set()
        duplicates = 0
        for line, row in members:
            if len(members) > 1:
                text = _text(row)
                if text in seen:
                    duplicates += 1
                    continue
                seen.add(text)
            if _UNREADABLE in row:
                # The text of the line stays in `raw`: nothing says what in it is personal.
                detail = _text(row.get(_BECAUSE) or "the line does not have the columns of the file")
                refusals.append(_refused_line(line, row, QuarantineReason.UNREADABLE, detail))
            elif (broken := next((each for each in self._checks if each[1](row)), None)) is not None:
                refusals.append(_refused_line(line, row, broken[0], f"line check {broken[0]} of {self.mapping.name}"))
            else:
                kept.append((line, row))
        return kept, refusals, duplicates

    def _event(self, rows: list[Row], moment: datetime | None, received_time: datetime) -> Parsed:
        head = rows[0]
        name = self._event_name(head)
        if name is None:
            column = getattr(self.mapping.event_name, "column", "event_name")
            return refused(QuarantineReason.UNKNOWN_EVENT, f"{column}: no event name is mapped to this value")
        if moment is None:
            column = self.mapping.event_time.column
            return refused(QuarantineReason.INVALID_VALUE, f"{column}: not a time of the form that the mapping states")
        envelope = self._envelope_of(head)
        params: dict[str, Any] = {field: read(head) for field, read in self._params[name].items()}
        if self._items:
            read_items = (
                {field: value for field, read in self._items.items() if (value := read(row)) is not None}
                for row in rows
            )
            # A line about no product, such as a chat message among clicks, has no item.
            items = params["items"] = [item for item in read_items if item]
            if self.mapping.value_from_items:
                params["value"] = _items_value(items)
        params["custom"] = {field: value for field, read in self._custom.items() if (value := read(head)) is not None}
        if "event_id" not in envelope:
            envelope["event_id"] = f.stable_id(self.mapping.name, rows)
        return build_event(
            {
                **envelope,
                "event_name": name,
                "event_time": moment,
                "received_time": received_time,
                "source": self.mapping.name,
                "scene": self.mapping.scene or SCENE_OF_EVENT[name],
                "params": f.present(params),
            }
        )

    def _envelope_of(self, row: Row) -> dict[str, str]:
        envelope = {field: value for field, read in self._envelope.items() if (value := read(row)) is not None}
        guest = envelope.pop("guest_id", None)
        if guest is not None and "user_id" not in envelope:
            envelope.setdefault("anonymous_id", guest)
        return envelope

    def _event_name(self, row: Row) -> EventName | None:
        rule = self.mapping.event_name
        if not isinstance(rule, EventNames):
            return rule
        value = row.get(rule.column)
        text = "" if value is None else str(value).strip()
        if text in rule.values:
            return rule.values[text]
        return next((pattern.name for pattern in rule.patterns if re.search(pattern.matches, text)), None)


def _unreadable(line: str, because: str) -> Row:
    return {_UNREADABLE: line, _BECAUSE: because}


def lines_of(document: object) -> tuple[int, ...]:
    """Numbers of the log lines that a grouped record holds; none for a record of one line."""
    return tuple(line for line, _ in _members(f.mapping(document)) if line)


def _text(value: object) -> str:
    return value if isinstance(value, str) else row_json(value)


def _members(document: Mapping[str, Any]) -> list[_Line]:
    """The lines of a record: those of its group, or the record itself as line 0."""
    group = document.get(_GROUP)
    if not isinstance(group, list):
        return [(0, dict(document))]
    return [
        (line if isinstance(line := entry.get("line"), int) else 0, row)
        for entry in group
        if isinstance(entry, dict) and isinstance(row := entry.get("row"), dict)
    ]


def _refused_line(line: int, row: Row, reason: str, detail: str) -> Quarantined:
    return Quarantined(
        reason=str(reason),
        detail=storable(detail[:MAX_DETAIL_LENGTH]),
        raw=orjson.dumps({_GROUP: [{"line": line, "row": row}]}).decode() if line else None,
        source_line=line or None,
        record_count=1,
    )


def _items_value(items: list[dict[str, str]]) -> float | None:
    """The sum of price x quantity, to the cent; `None` without items, or where one does not state its price."""
    if not items:
        return None
    total = 0.0
    for item in items:
        price, quantity = number(item.get("price")), number(item.get("quantity", 1))
        if price is None or quantity is None:
            return None
        total += price * quantity
    return round(total, 2)
