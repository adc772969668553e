"""Log files into raw records by day: each file is read once for a range of days, streamed, and scrubbed on the way."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa

from intent_tracking.events.adapters import Adapter, SourceRecord, Times, get_adapter
from intent_tracking.events.adapters.base import UNREADABLE
from intent_tracking.events.adapters.mapping import mapping_path
from intent_tracking.events.arrival import arrival_of_dated, file_dates, partition_day
from intent_tracking.events.erased import erased_by
from intent_tracking.events.nesting import TooDeepError, loads
from intent_tracking.events.quarantine import RAW_SCHEMA
from intent_tracking.events.scrubbing import scrub_record
from intent_tracking.events.segment_log import read_segment
from intent_tracking.events.sources import LogFile, log_files
from intent_tracking.tables import DayTable, atomic_write_text
from intent_tracking.tombstones import Erasures, Tombstones

Progress = Callable[[str, int, int], None]
"""Called with (file, files done, files to read) before each file and once at the end."""

SPOOL_ROWS: Final = 100_000  # rows held in memory before they go to disk, about 100 MB of Python objects
INDEX_VERSION: Final = 2
_SPOOL_PREFIX: Final = ".collect."


def days_of(home: Path, source: str, files: Iterable[Path]) -> dict[date, int]:
    """Records by partition day in landed files of `source`; each is read once and remembered."""
    wanted = set(files)
    tombstones = Erasures(home).tombstones()
    total: Counter[date] = Counter()
    for file in log_files(home):
        if file.source == source and file.path in wanted:
            total.update(_days_in(home, file, tombstones))
    return dict(sorted(total.items()))


def collect(
    home: Path,
    days: Sequence[date],
    *,
    progress: Progress | None = None,
    spool_rows: int = SPOOL_ROWS,
    erased: Counter[date] | None = None,
) -> Iterator[tuple[date, pa.Table]]:
    """The raw records of each of `days` (RAW_SCHEMA), oldest day first; a day without records has an empty table.

    Records of shoppers who were erased are left out, and counted in `erased` by day.

    Rows stand in the order of source, file and line. Files that cannot hold a record of these days are not read:
    by their arrival date, or by what was found in them when they were read before. Memory holds one day and
    `spool_rows` rows, not the range.

    Raises:
        ValueError: a source is not configured; the message names the file and the remedy.
    """
    wanted = sorted(set(days))
    if not wanted:
        return
    files = [file for file in log_files(home) if _may_hold(home, file, wanted)]
    home.mkdir(parents=True, exist_ok=True)
    _remove_stale_spools(home)
    with tempfile.TemporaryDirectory(prefix=_SPOOL_PREFIX, dir=home) as folder:
        spool = _Spool(Path(folder), frozenset(wanted), spool_rows)
        tombstones = Erasures(home).tombstones()
        left_out = Counter[date]() if erased is None else erased
        for done, file in enumerate(files):
            if progress is not None:
                progress(file.name, done, len(files))
            for day, row in _records_indexed(home, file, tombstones, Counter(), left_out):
                spool.add(day, row)
        if progress is not None:
            progress("", len(files), len(files))
        for day in wanted:
            yield day, spool.take(day)


def overlooked(home: Path, raw: DayTable, days: Sequence[date]) -> dict[str, list[date]]:
    """Those of `days` of which a log file has more records than `raw` holds of it, by the file's name.

    The file landed, or grew, when no run made these days any more, or it was read by a run of other days. A file that
    was not read since it changed is read here; that it has other records, but not more, is not seen.

    Args:
        home: the home folder.
        raw: `raw_events`, which alone tells what was taken in.
        days: what is looked at.
    """
    wanted = sorted(set(days))
    if not wanted:
        return {}
    tombstones = Erasures(home).tombstones()
    found: dict[date, dict[str, int]] = {day: {} for day in wanted}
    for file in log_files(home):
        if _may_hold(home, file, wanted):
            for day, records in _days_in(home, file, tombstones).items():
                if day in found:
                    found[day][file.name] = records
    missed: dict[str, list[date]] = {}
    for day in wanted:
        taken = _records_by_file(raw, day) if found[day] else {}
        for name, records in found[day].items():
            if records > taken.get(name, 0):
                missed.setdefault(name, []).append(day)
    return missed


def _records_by_file(raw: DayTable, day: date) -> dict[str, int]:
    rows = raw.read([day], ["source_file", "record_count"])
    names, records = rows.group_by("source_file").aggregate([("record_count", "sum")]).to_pydict().values()
    return dict(zip(names, records, strict=True))


def _remove_stale_spools(home: Path) -> None:
    """Remove what killed runs left; a spool of the last day may belong to a run that goes on."""
    for folder in home.glob(f"{_SPOOL_PREFIX}*"):
        if _modified(folder) < datetime.now(UTC) - timedelta(days=1):
            shutil.rmtree(folder, ignore_errors=True)


def _may_hold(home: Path, file: LogFile, days: list[date]) -> bool:
    """Whether a file can have a record of `days`, by its name or by what was found when it was read before."""
    if file.received == "file_date" and file.arrival is not None:
        first, last = file_dates(days)
        return first <= file.arrival <= last
    known = _indexed_days(home, file)
    return known is None or not known.keys().isdisjoint(days)


def _days_in(home: Path, file: LogFile, tombstones: Tombstones) -> Counter[date]:
    """Records by partition day in a file, which is read where it was not since it changed."""
    known = _indexed_days(home, file)
    if known is None:
        known = Counter()
        for _ in _records_indexed(home, file, tombstones, known, Counter()):
            pass
    return known


def _records_indexed(
    home: Path, file: LogFile, tombstones: Tombstones, found: Counter[date], erased: Counter[date]
) -> Iterator[tuple[date, dict[str, Any]]]:
    """As `_records`, and remember the days that were found, so that the next run knows whether it needs the file."""
    # Taken before reading: what a live writer appends meanwhile must make the index stale, not part of it.
    fingerprint = _fingerprint(file)
    yield from _records(file, found, tombstones, erased)
    days = {day.isoformat(): count for day, count in sorted(found.items())}
    index = orjson.dumps({"fingerprint": fingerprint, "days": days}).decode()
    atomic_write_text(_index_path(home, file), index)


def _records(
    file: LogFile, found: Counter[date], tombstones: Tombstones, erased: Counter[date]
) -> Iterator[tuple[date, dict[str, Any]]]:
    """The rows of a file with their days; `found` counts the log lines of each day, `erased` those that are left out.

    A day whose lines are all left out is found with 0.
    """
    adapter = get_adapter(file.adapter)
    arrivals = Arrivals(file)
    for record in read_file(adapter, file):
        raw, document = scrub_record(record.raw, adapter.free_text)
        times = adapter.times(document)
        received = arrivals.of(times)
        day = partition_day(times.event_time, received)
        found[day] += 0
        if erased_by(tombstones, adapter, record.raw, document, times.event_time, received) is not None:
            erased[day] += record.record_count
            continue
        found[day] += record.record_count
        yield (
            day,
            {
                "raw": raw,
                "adapter": file.adapter,
                "source_file": file.name,
                "source_line": record.source_line,
                "record_count": record.record_count,
                "received_time": received,
                "event_time": times.event_time,
            },
        )


def decoded(raw: str) -> object:
    """The JSON document of a record; None where it is unreadable: no JSON, or too deep."""
    try:
        return loads(raw)
    except (orjson.JSONDecodeError, TooDeepError):
        return None


class Arrivals:
    """When the records of a file arrived, asked for in their order."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._last: datetime | None = None

    def of(self, times: Times) -> datetime:
        """The arrival of the next record, which says `times` of itself."""
        told = {"file_date": None, "event_time": times.event_time, "field": times.received_time}[self._file.received]
        # A record that does not say when it arrived came with its neighbours: the file's date, else the record before.
        if told is None and self._file.arrival is not None:
            told = arrival_of_dated(times.event_time, self._file.arrival)
        self._last = told or self._last or _modified(self._file.path)
        return self._last


def read_file(adapter: Adapter, file: LogFile) -> Iterator[SourceRecord]:
    """The records of a log file or a segment, in file order.

    Raises:
        ValueError: a log file is damaged; the message names it and the remedy.
    """
    if not file.is_segment:
        try:
            yield from adapter.read(file.path)
        except UNREADABLE as error:
            raise ValueError(
                f"{file.path}: cannot be read: {error}; put the whole file in its place, or take it out of the folder, "
                "and run the days again that wait for it"
            ) from error
        return
    for line in read_segment(file.path):
        yield SourceRecord(raw=line.data.decode("utf-8", "backslashreplace"), source_line=line.number)


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


class _Spool:
    """Rows by day, in memory up to a limit and beyond that in Arrow files, in the order in which they came."""

    def __init__(self, folder: Path, days: frozenset[date], limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._rows: dict[date, list[dict[str, Any]]] = {day: [] for day in days}
        self._parts: dict[date, list[Path]] = {day: [] for day in days}
        self._held = 0

    def add(self, day: date, row: dict[str, Any]) -> None:
        if day not in self._rows:
            return
        self._rows[day].append(row)
        self._held += 1
        if self._held >= self._limit:
            self._flush()

    def _flush(self) -> None:
        for day, rows in self._rows.items():
            if rows:
                path = self._folder / f"{day}-{len(self._parts[day])}.arrow"
                with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, RAW_SCHEMA) as writer:
                    writer.write_table(_table(rows))
                self._parts[day].append(path)
                rows.clear()
        self._held = 0

    def take(self, day: date) -> pa.Table:
        tables = []
        for path in self._parts[day]:
            with pa.OSFile(str(path), "rb") as part:
                tables.append(pa.ipc.open_file(part).read_all())
        return pa.concat_tables([RAW_SCHEMA.empty_table(), *tables, _table(self._rows.pop(day))])


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=RAW_SCHEMA)


def _index_path(home: Path, file: LogFile) -> Path:
    return home / "ingest_index" / f"{file.name}.json"


def _fingerprint(file: LogFile) -> str:
    """Changes when the file or the way it is read changes."""
    stat = file.path.stat()
    _, _, mapping = file.adapter.partition(":")
    rules = hashlib.sha256(mapping_path(mapping).read_bytes()).hexdigest() if mapping else ""
    return f"{INDEX_VERSION} {stat.st_size} {stat.st_mtime_ns} {file.adapter} {file.received} {rules}"


def _indexed_days(home: Path, file: LogFile) -> Counter[date] | None:
    """Log lines by day that were found when this very file was read before; `None` where it was not."""
    path = _index_path(home, file)
    if not path.is_file():
        return None
    index = orjson.loads(path.read_bytes())
    if index["fingerprint"] != _fingerprint(file):
        return None
    return Counter({date.fromisoformat(day): count for day, count in index["days"].items()})
