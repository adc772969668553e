"""What an adapter is, what it gives, and the reading of log files that all adapters share."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Final, Protocol

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter, ValidationError

from intent_tracking.events.contract import Event, UtcTime
from intent_tracking.events.nesting import MAX_NESTING, TooDeepError, loads
from intent_tracking.events.quarantine import Quarantined, QuarantineReason, from_validation_error, refuse

MAX_LINE_BYTES: Final = 8 * 2**20
_PARQUET_BATCH: Final = 4096
_READ_AT_ONCE: Final = 1 << 20
_TIME: Final[TypeAdapter[datetime]] = TypeAdapter(UtcTime)


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """One raw record: its text, its first line in the file (from 1), and how many log lines it holds."""

    raw: str
    source_line: int
    record_count: int = 1


@dataclass(frozen=True, slots=True)
class Times:
    """When a record says it happened and was received; `None` where it does not say so readably."""

    event_time: datetime | None = None
    received_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a log line is about, by the ids that an event has of its shopper; at least one."""

    user_id: str | None
    anonymous_id: str | None

    @property
    def shopper_id(self) -> str:
        """As `contract.shopper_id` of the event."""
        return self.user_id if self.user_id is not None else f"anonymous:{self.anonymous_id}"


@dataclass(frozen=True, slots=True)
class Parsed:
    """What became of one record: an event, refusals, and the number of its log lines that repeat another of its lines.

    Without an event the refusals cover the whole record; with one, each covers the log lines that it names.
    """

    event: Event | None
    quarantined: tuple[Quarantined, ...] = ()
    duplicates: int = 0


class Adapter(Protocol):
    """One log format. No method raises on data: what cannot be read is quarantined with a reason."""

    @property
    def name(self) -> str:
        """The spec that `get_adapter` takes."""
        ...

    @property
    def free_text(self) -> frozenset[str]:
        """Names of further fields that hold free text, beside those that ingestion always scrubs."""
        ...

    def read(self, path: Path) -> Iterator[SourceRecord]:
        """The records of a log file, streamed, in file order.

        Raises:
            ValueError: the file as a whole is not of this format; before the first record.
        """
        ...

    def times(self, document: object) -> Times:
        """When the record of a decoded JSON `document` happened; the same times that `parse` gives its event."""
        ...

    def identities(self, document: object) -> tuple[Identity, ...]:
        """Whom a decoded JSON `document` is about, one for each of its log lines that says so readably.

        The same ids that `parse` gives its event, also where the record would be refused.
        """
        ...

    def parse(self, raw: str, received_time: datetime) -> Parsed:
        """The event of `raw`, received at `received_time` (UTC)."""
        ...


def refused(reason: QuarantineReason | str, detail: str) -> Parsed:
    """A record that gives no event."""
    return Parsed(event=None, quarantined=(refuse(reason, detail),))


def identity(user_id: object, anonymous_id: object) -> tuple[Identity, ...]:
    """The identity of one log line as the contract reads its ids; none where neither is a text."""
    user, anonymous = (each.strip() or None if isinstance(each, str) else None for each in (user_id, anonymous_id))
    return (Identity(user, anonymous),) if user or anonymous else ()


def build_event(fields: dict[str, Any]) -> Parsed:
    """The event of contract `fields`, or why they break the contract."""
    try:
        return Parsed(event=Event.model_validate(fields))
    except ValidationError as error:
        return Parsed(event=None, quarantined=(from_validation_error(error),))


def decode(raw: str, limit: int = MAX_NESTING) -> dict[str, Any] | Parsed:
    """The JSON object of `raw`, or the refusal of what is none or nested more than `limit` levels deep."""
    try:
        document = loads(raw, limit)
    except orjson.JSONDecodeError as error:
        return refused(QuarantineReason.UNREADABLE, f"not JSON: {error.msg} at character {error.pos}")
    except TooDeepError as error:
        return refused(QuarantineReason.UNREADABLE, str(error))
    if not isinstance(document, dict):
        return refused(QuarantineReason.UNREADABLE, f"a JSON {type(document).__name__} is not an object")
    return document


def utc_time(value: object) -> datetime | None:
    """A contract time (ISO 8601 with an offset, or epoch seconds or milliseconds); `None` for anything else."""
    try:
        return _TIME.validate_python(value)
    except ValidationError:
        return None


def open_log(path: Path) -> IO[bytes]:
    """The bytes of a log file, decompressed where its name ends in `.gz`."""
    if path.suffix == ".gz":
        # GzipFile is no subclass of IO[bytes] to the type checker, and is one to every reader.
        return gzip.open(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


def log_format(path: Path) -> str:
    """`csv`, `parquet` or `json` (one JSON document a line), by the name of the file."""
    suffix = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return {".csv": "csv", ".tsv": "csv", ".parquet": "parquet"}.get(suffix.lower(), "json")


def read_lines(path: Path) -> Iterator[SourceRecord]:
    """Every line that is not blank. Bytes that are not UTF-8 become `\\xNN`, which is no JSON and so is quarantined.

    A line above `MAX_LINE_BYTES` is cut there: memory stays bounded, and the cut line is quarantined as unreadable.
    """
    with open_log(path) as file:
        number = 0
        while chunk := file.readline(MAX_LINE_BYTES):
            number += 1
            line = chunk
            while not chunk.endswith(b"\n") and (chunk := file.readline(MAX_LINE_BYTES)):
                pass
            text = line.decode("utf-8-sig" if number == 1 else "utf-8", "backslashreplace").strip()
            if text:
                yield SourceRecord(raw=text, source_line=number)


def parquet_columns(path: Path) -> list[str]:
    """Names of the columns of a Parquet file."""
    return list(pq.read_schema(path).names)


def read_parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows of a Parquet file, numbered from 1."""
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
            for row in batch.to_pylist():
                number += 1
                yield number, row


UNREADABLE: Final = (OSError, EOFError, zlib.error, pa.ArrowInvalid)
"""What reading a log file raises that ends early, is not what its name says, or is gone."""


def require_whole(path: Path) -> None:
    """Nothing where a file of a binary format can be read to its end.

    Raises:
        UNREADABLE: it cannot.
    """
    if log_format(path) == "parquet":
        parquet_columns(path)
    elif path.suffix == ".gz":
        with open_log(path) as file:
            while file.read(_READ_AT_ONCE):
                pass


def read_json_records(path: Path) -> Iterator[SourceRecord]:
    """Records of an adapter of JSON documents: lines of a text file, or rows of a Parquet file as JSON."""
    if log_format(path) != "parquet":
        yield from read_lines(path)
        return
    for number, row in read_parquet_rows(path):
        yield SourceRecord(raw=row_json(row), source_line=number)


def row_json(row: object) -> str:
    """`row` as JSON. Times become ISO 8601 in UTC; what JSON has no form for becomes its text."""
    return orjson.dumps(row, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_NAIVE_UTC).decode()
