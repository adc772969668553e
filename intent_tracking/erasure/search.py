"""The search for names in every file below a folder, as the proof that an erasure left none."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from intent_tracking.erasure import databases
from intent_tracking.events.adapters.base import log_format, open_log

# Numbers without text; a short name occurs in them by chance.
UNREAD_SUFFIXES: Final = frozenset({".safetensors", ".onnx", ".png", ".pt", ".npy", ".so", ".pyc"})
_LINE_SUFFIXES: Final = frozenset({".jsonl", ".ndjson", ".json", ".log"})
_CHUNK: Final = 1 << 22
_WORD: Final = rb"[0-9A-Za-z_\-\x80-\xff]"
# The fields that say when something happened or was received, in the formats of the platform and its sources.
MOMENTS: Final = (
    "event_time", "received_time", "served_at", "started_at", "event_timestamp", "cutoff_time", "event_ts", "time",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hit:
    """A name that was found: in which field, and whether the record is of the time after its erasure."""

    name: str
    where: str
    later: bool


class Names:
    """Names to look for, each with the moment of its erasure.

    A name is found where it stands alone, not inside a longer word, in the ways in which JSON writes it too.
    """

    def __init__(self, until: Mapping[str, datetime]) -> None:
        self.until = until
        self._name_of: dict[bytes, str] = {}
        for name in until:
            escaped = orjson.dumps(name)[1:-1]
            ascii_ = json.dumps(name)[1:-1].encode()
            for written in (name.encode(), escaped, escaped.replace(b"/", b"\\/"), ascii_):
                self._name_of[written] = name
        self.longest = max(map(len, self._name_of), default=0)
        choices = b"|".join(re.escape(each) for each in sorted(self._name_of, key=len, reverse=True))
        self._alone = re.compile(rb"(?<!" + _WORD + rb")(?:" + choices + rb")(?!" + _WORD + rb")")

    def alone(self, text: bytes) -> Iterator[tuple[int, str]]:
        """Where in `text` which name stands alone."""
        return ((found.start(), self._name_of[found.group()]) for found in self._alone.finditer(text))

    def within(self, text: bytes) -> list[str]:
        """The names that stand in `text`, as often as they do."""
        return [name for _, name in self.alone(text)]

    def occur(self, text: bytes) -> str | None:
        """A name whose characters occur in `text`, also inside a longer word."""
        return next((name for written, name in self._name_of.items() if written in text), None)

    def is_later(self, name: str, record: Mapping[str, Any]) -> bool:
        """Whether everything that `record` says of its time lies after the erasure of `name`."""
        moments = [moment for field in MOMENTS if (moment := _moment(record.get(field))) is not None]
        return bool(moments) and min(moments) > self.until[name]


@dataclass(frozen=True)
class Searched:
    """What a search read, and where it found which name: `remaining` by (name, path, field), `later` by name."""

    files: int
    megabytes: float
    unread: dict[str, int]
    remaining: Counter[tuple[str, str, str]]
    later: Counter[str]


def search(folder: Path, names: Names, leave_out: frozenset[Path] = frozenset()) -> Searched:
    """Look for `names` in the path and the content of every file below `folder`.

    Parquet, Arrow, gzip and SQLite files are read as what they are, and in a database the freed pages too. Files of
    numbers (`UNREAD_SUFFIXES`) are counted and not read; a link is not followed.
    """
    files, size = 0, 0
    unread: Counter[str] = Counter()
    remaining: Counter[tuple[str, str, str]] = Counter()
    later: Counter[str] = Counter()
    for path in _files(folder, leave_out):
        shown = str(path.relative_to(folder))
        try:
            size += path.stat().st_size
            hits = [Hit(name, "its name", later=False) for name in names.within(os.fsencode(shown))]
            if path.suffix in UNREAD_SUFFIXES:
                unread[path.suffix] += 1
            else:
                hits += _of_file(path, names)
        except FileNotFoundError:
            continue  # removed meanwhile, by whoever made it
        files += 1
        for hit in hits:
            if hit.later:
                later[hit.name] += 1
            else:
                remaining[hit.name, _without_names(shown, names), hit.where] += 1
    return Searched(files, size / 2**20, dict(unread), remaining, later)


def _files(folder: Path, leave_out: frozenset[Path]) -> Iterator[Path]:
    for parent, folders, found in os.walk(folder):
        folders.sort()
        for name in sorted(found):
            path = Path(parent, name)
            if path.is_file() and not path.is_symlink() and path not in leave_out:
                yield path


def _without_names(text: str, names: Names) -> str:
    for name in names.until:
        text = text.replace(name, "***")
    return text


def _of_file(path: Path, names: Names) -> Iterator[Hit]:
    if databases.is_database(path):
        yield from _of_database(path, names)
    elif databases.belongs_to_database(path):
        return  # read with its database
    elif log_format(path) == "parquet":
        for batch in pq.ParquetFile(path).iter_batches():
            yield from _of_batch(batch, names)
    elif path.suffix == ".arrow":
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            for number in range(reader.num_record_batches):
                yield from _of_batch(reader.get_batch(number), names)
    elif Path(path.stem if path.suffix == ".gz" else path.name).suffix in _LINE_SUFFIXES:
        yield from _of_lines(path, names)
    else:
        yield from _of_bytes(path, names)


def _of_bytes(path: Path, names: Names) -> Iterator[Hit]:
    text, judged = b"", 0
    with open_log(path) as file:
        while True:
            chunk = file.read(_CHUNK)
            text += chunk
            if chunk and names.occur(text) is None:  # far faster than to look whether one stands alone
                if (cut := len(text) - names.longest - 1) > 0:
                    text, judged = text[cut:], 1
                continue
            # A name may go on in the next chunk, and the character after it tells whether it stands alone.
            end = max(judged, len(text) - names.longest - 1) if chunk else len(text)
            for start, name in names.alone(text):
                if judged <= start < end:
                    yield Hit(name, "bytes", later=False)
            if not chunk:
                return
            cut = max(0, end - 1)  # so does the character before it
            text, judged = text[cut:], end - cut


def _occurs(path: Path, names: Names) -> bool:
    rest = b""
    with open_log(path) as file:
        while chunk := file.read(_CHUNK):
            if names.occur(rest + chunk) is not None:
                return True
            rest = chunk[-names.longest :]
    return False


def _of_lines(path: Path, names: Names) -> Iterator[Hit]:
    if not _occurs(path, names):
        return
    with open_log(path) as file:
        for line in file:
            found = names.within(line)
            if not found:
                continue
            try:
                document = orjson.loads(line)
            except orjson.JSONDecodeError:
                document = None
            if not isinstance(document, dict):
                yield from (Hit(name, "text", later=False) for name in found)
                continue
            for where, text in _texts(document):
                for name in names.within(text.encode("utf-8", "backslashreplace")):
                    yield Hit(name, where, later=names.is_later(name, document))


def _texts(value: object, where: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield where, key
            yield from _texts(each, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each, where)
    elif isinstance(value, str):
        yield where, value
    elif isinstance(value, int) and not isinstance(value, bool):
        yield where, str(value)


def _of_batch(batch: pa.RecordBatch, names: Names) -> Iterator[Hit]:
    for column in batch.schema.names:
        for where, values, is_flat in _text_arrays(column, batch[column]):
            for name in names.until:
                rows = pc.indices_nonzero(pc.fill_null(pc.match_substring(values, name), False)).to_pylist()
                for row in rows:
                    hits = [found for found in names.within(str(values[row].as_py()).encode()) if found == name]
                    if hits:
                        record = {f: batch[f][row].as_py() for f in MOMENTS if is_flat and f in batch.schema.names}
                        yield from (Hit(name, where, later=names.is_later(name, record)) for _ in hits)


def _text_arrays(where: str, values: pa.Array) -> Iterator[tuple[str, pa.Array, bool]]:
    """The texts inside a column, however nested; and whether they stand in its rows themselves."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        yield from _text_arrays(where, values.dictionary_decode())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield where, values, True
    elif pa.types.is_integer(kind):
        yield where, values.cast(pa.string()), True
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        for name, inner, _ in _text_arrays(where, values.flatten()):
            yield name, inner, False
    elif pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            for name, inner, is_flat in _text_arrays(f"{where}.{kind.field(number).name}", values.field(number)):
                yield name, inner, is_flat
    elif pa.types.is_map(kind):
        for part, inner in (("key", values.keys), ("value", values.items)):
            for name, texts, _ in _text_arrays(f"{where}.{part}", inner):
                yield name, texts, False


def _of_database(path: Path, names: Names) -> Iterator[Hit]:
    left = databases.left_in(path, names)
    if left is None:
        return
    held = False
    for table, record in databases.rows(path):
        for column, value in record.items():
            text = value if isinstance(value, bytes) else str(value).encode("utf-8", "backslashreplace")
            held = held or names.occur(text) is not None
            for name in names.within(text):
                yield Hit(name, f"{table}.{column}", later=names.is_later(name, record))
    if not held:
        # In no row, so in what a deletion left behind.
        yield Hit(left, "freed pages", later=False)


def _moment(value: object) -> datetime | None:
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, int) and not isinstance(value, bool) and value > 10**8:
        seconds = value / next(unit for unit in (10**6, 10**3, 1) if value > 10**8 * unit)
        return datetime.fromtimestamp(seconds, UTC)
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
