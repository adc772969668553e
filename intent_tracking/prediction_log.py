"""What the live model answered, kept for the drift check: buffered JSON-line segments, one folder a day.

The service appends and never waits for the disk; the drift assets read whole days. A crash loses at most what was
answered since the last flush: a sample for statistics, not a record of events (those are in the event log).
"""

from __future__ import annotations

import logging
import math
import os
import re
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from intent_tracking.events.segment_log import ERASED
from intent_tracking.tables import ROW_GROUP_ROWS

logger = logging.getLogger(__name__)

_COLUMNS: Mapping[str, pa.DataType] = {
    "prediction_id": pa.string(),
    "event_time": pa.timestamp("us", tz="UTC"),
    "served_at": pa.timestamp("us", tz="UTC"),
    "kind": pa.string(),
    "session_id": pa.string(),
    "shopper_id": pa.string(),
    "scene": pa.string(),
    "language": pa.string(),
    "text": pa.string(),
    "intent": pa.string(),
    "confidence": pa.float64(),
    "out_of_scope": pa.bool_(),
    "purchase_probability": pa.float64(),
    "text_length": pa.int64(),
    "word_count": pa.int64(),
    "unknown_share": pa.float64(),
    "non_letter_share": pa.float64(),
    "event_count": pa.int64(),
    "embedding": pa.list_(pa.float32()),
    "model_version": pa.string(),
}
PREDICTION_SCHEMA = pa.schema(list(_COLUMNS.items()))
# Four digits keep cosines to 1e-4 and halve the size of a segment.
EMBEDDING_DIGITS = 4
_TIMES = ("event_time", "served_at")
# Where a prediction stands: the byte at which its line begins in the segment of that number.
_PLACE: Mapping[str, pa.DataType] = {"segment": pa.int32(), "offset": pa.int64()}
_INDEX = pa.schema([*((name, _COLUMNS[name]) for name in ("event_time", "prediction_id")), *_PLACE.items()])
# As Python objects a row takes ten times its size in Arrow, most of it for the embedding.
_PARSED_ROWS = 4096
_AS_LINE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
# A Chinese character counts as a word: Chinese puts no spaces between words.
_WORD = re.compile(r"[㐀-鿿豈-﫿]|[^\W㐀-鿿豈-﫿]+")


class PredictionLogError(Exception):
    """A segment holds a line that is no prediction; the message names file and line."""


@dataclass(frozen=True, slots=True)
class TextDescriptors:
    """Surface figures of a text; `non_letter_share` is 0..1 of the characters that are not white space."""

    text_length: int
    word_count: int
    non_letter_share: float


def describe_text(text: str) -> TextDescriptors:
    """The figures that the drift check compares, computed alike for what was served and for the reference."""
    visible = "".join(text.split())
    letters = sum(map(str.isalpha, visible))
    share = 1.0 - letters / len(visible) if visible else 0.0
    return TextDescriptors(len(text), len(_WORD.findall(text)), share)


@dataclass(frozen=True, slots=True)
class ServedPrediction:
    """One answer of the service, as PREDICTION_SCHEMA names its fields; `text` is already scrubbed."""

    event_time: datetime
    kind: Literal["track", "intent"]
    session_id: str | None
    shopper_id: str | None
    scene: str
    language: str
    text: str
    intent: str
    confidence: float
    out_of_scope: bool
    purchase_probability: float
    unknown_share: float
    event_count: int
    embedding: Sequence[float] | npt.NDArray[np.float32]
    model_version: str

    def as_row(self, served_at: datetime) -> dict[str, Any]:
        """The row that is logged; a figure that is not finite (no outcome head) becomes null."""
        described = describe_text(self.text)
        return {
            "prediction_id": uuid.uuid4().hex,
            "event_time": self.event_time,
            "served_at": served_at,
            "kind": self.kind,
            "session_id": self.session_id,
            "shopper_id": self.shopper_id,
            "scene": self.scene,
            "language": self.language,
            "text": self.text,
            "intent": self.intent,
            "confidence": self.confidence,
            "out_of_scope": self.out_of_scope,
            "purchase_probability": self.purchase_probability if math.isfinite(self.purchase_probability) else None,
            "text_length": described.text_length,
            "word_count": described.word_count,
            "unknown_share": self.unknown_share,
            "non_letter_share": described.non_letter_share,
            "event_count": self.event_count,
            # As an array, which is rounded and written without a Python number for each of its hundreds of values.
            "embedding": np.round(np.asarray(self.embedding, np.float64), EMBEDDING_DIGITS).astype(np.float32),
            "model_version": self.model_version,
        }


class PredictionLog:
    """Collects predictions and writes them from a thread of its own, so that no answer waits for the disk.

    When the disk cannot take them, or falls behind by `max_buffered`, predictions are dropped, counted in `dropped`,
    told to `on_drop` and logged: the service must go on answering.
    """

    def __init__(
        self,
        root: Path,
        *,
        flush_seconds: float = 2.0,
        max_buffered: int = 20_000,
        segment_bytes: int = 64 << 20,
        on_drop: Callable[[int], object] | None = None,
    ) -> None:
        self._root = root
        self._flush_seconds = flush_seconds
        self._max_buffered = max_buffered
        self._segment_bytes = segment_bytes
        self._on_drop = on_drop
        # A segment has one writer: a restarted or second worker starts its own.
        self._writer = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._segment = 0
        self._buffer: list[tuple[datetime, ServedPrediction]] = []
        self._buffer_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()
        self.dropped = 0

    def append(self, predictions: Sequence[ServedPrediction]) -> None:
        """Take `predictions` for the next flush; never blocks on the disk."""
        now = datetime.now(UTC)
        with self._buffer_lock:
            room = self._max_buffered - len(self._buffer)
            self._buffer.extend((now, prediction) for prediction in predictions[:room])
        self._drop(len(predictions) - room)

    def flush(self) -> None:
        """Write what is buffered.

        Raises:
            OSError: the disk refused; what was buffered is dropped and counted.
        """
        with self._write_lock:
            with self._buffer_lock:
                taken, self._buffer = self._buffer, []
            lines: dict[date, list[bytes]] = {}
            for served_at, prediction in taken:
                day = prediction.event_time.astimezone(UTC).date()
                row = orjson.dumps(prediction.as_row(served_at), option=_AS_LINE)
                lines.setdefault(day, []).append(row)
            unwritten = len(taken)
            try:
                for day, rows in lines.items():
                    self._write(day, b"".join(rows))
                    unwritten -= len(rows)
            finally:
                self._drop(unwritten)

    def close(self) -> None:
        """Write the rest and end the thread.

        Raises:
            OSError: the disk refused the rest.
        """
        self._stop.set()
        self._thread.join()
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _drop(self, count: int) -> None:
        if count > 0:
            with self._buffer_lock:
                self.dropped += count
            if self._on_drop is not None:
                self._on_drop(count)

    def _run(self) -> None:
        while not self._stop.wait(self._flush_seconds):
            try:
                self.flush()
            except OSError as error:
                logger.error("prediction log %s: %s; predictions dropped so far: %d", self._root, error, self.dropped)

    def _write(self, day: date, block: bytes) -> None:
        folder = self._root / f"day={day.isoformat()}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self._writer}-{self._segment:04d}.jsonl"
        try:
            with path.open("ab") as segment:
                segment.write(block)
                full = segment.tell() >= self._segment_bytes
        except OSError:
            # A part of the block may be there. Readers skip a torn line at the end of a segment, nowhere else.
            self._segment += 1
            raise
        if full:
            self._segment += 1


def read_predictions(root: Path, days: Sequence[date]) -> pa.Table:
    """The rows of `prediction_batches` for `days`, all in memory."""
    return pa.Table.from_batches([batch for day in days for batch in prediction_batches(root, day)], PREDICTION_SCHEMA)


def prediction_batches(root: Path, day: date, rows: int = ROW_GROUP_ROWS) -> Iterator[pa.RecordBatch]:
    """What was served for events of `day`: PREDICTION_SCHEMA, ordered by (event_time, prediction_id), `rows` at a time.

    The lines are put in order by their time and id alone, then read where they stand: a day need not fit in memory.
    A segment whose last line is torn, by a crash or a full disk, is read up to that line.

    Raises:
        PredictionLogError: a whole line is no prediction.
    """
    paths = _segments(root, day)
    index = pa.concat_tables([_INDEX.empty_table(), *(_index(path, number) for number, path in enumerate(paths))])
    index = index.sort_by([("event_time", "ascending"), ("prediction_id", "ascending")])
    for start in range(0, len(index), rows):
        end = min(start + rows, len(index))
        parts = [_read(paths, index.slice(at, min(_PARSED_ROWS, end - at))) for at in range(start, end, _PARSED_ROWS)]
        yield pa.concat_batches(parts)


def prediction_days(root: Path) -> list[date]:
    """Days for which something was served, oldest first."""
    return sorted(date.fromisoformat(folder.name.removeprefix("day=")) for folder in root.glob("day=*"))


def prediction_segments(root: Path) -> Iterator[tuple[date, Path]]:
    """Every segment with the day of its events, oldest day first."""
    for day in prediction_days(root):
        for path in _segments(root, day):
            yield day, path


def _segments(root: Path, day: date) -> list[Path]:
    return sorted((root / f"day={day.isoformat()}").glob("*.jsonl"))


def _index(path: Path, segment: int) -> pa.Table:
    """Time, id and place of each prediction of a segment."""
    found: list[dict[str, Any]] = []
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            if not line.startswith(ERASED):
                try:
                    row = _row(line)
                    known = {name: row[name] for name in ("event_time", "prediction_id")}
                except (ValueError, KeyError, TypeError) as error:
                    raise PredictionLogError(
                        f"{path}:{number}: is no prediction ({error}); move the segment away to go on without it"
                    ) from error
                found.append({**known, "segment": segment, "offset": offset})
            offset += len(line)
    return pa.Table.from_pylist(found, schema=_INDEX)


def _read(paths: Sequence[Path], index: pa.Table) -> pa.RecordBatch:
    """The predictions that `index` names, in its order."""
    segments, offsets = index["segment"].to_numpy(), index["offset"].to_numpy()
    rows: dict[int, dict[str, Any]] = {}
    for segment in np.unique(segments):
        with paths[segment].open("rb") as file:
            for place in np.flatnonzero(segments == segment):
                file.seek(offsets[place])
                line = file.readline()
                if not line.startswith(ERASED):  # since it was indexed
                    rows[int(place)] = _row(line)
    return pa.RecordBatch.from_pylist([rows[place] for place in sorted(rows)], schema=PREDICTION_SCHEMA)


def _row(line: bytes) -> dict[str, Any]:
    row = orjson.loads(line)
    return {**row, **{name: datetime.fromisoformat(row[name]) for name in _TIMES}}
