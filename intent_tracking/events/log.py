"""The append-only log of the HTTP service: what was acknowledged is on disk, exactly once, whatever dies.

Each process writes segments of its own, so several workers never meet in one file. Concurrent appends share one write
and one fsync (group commit). A reader takes whole lines only: the torn tail of a killed writer was never acknowledged.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

SEGMENT_SUFFIX: Final = ".jsonl"
SEGMENT_BYTES: Final = 64 * 2**20
_READ_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log: its segment, its number in it (from 1), and its bytes without the newline."""

    segment: Path
    number: int
    data: bytes


class _Batch:
    """Lines of concurrent callers that reach the disk together."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.done = False
        self.error: OSError | None = None


class EventLog:
    """Append-only segments of lines under `root`. Thread-safe; safe beside other processes on the same `root`.

    Nothing is made on disk before the first append.
    """

    def __init__(self, root: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.root = root
        self._segment_bytes = segment_bytes
        self._queue = threading.Lock()  # guards `_batch`
        self._disk = threading.Lock()  # held by the one caller that writes
        self._batch = _Batch()
        self._handle: int | None = None
        self._size = 0
        self._pid = 0

    def append(self, lines: Sequence[bytes]) -> None:
        """Write `lines` and return when they are on disk.

        Raises:
            ValueError: a line is empty or holds a newline; nothing of this call is written.
            OSError: the disk refused; the lines are not acknowledged and the half-written ones are cut off again.
        """
        for line in lines:
            if not line or b"\n" in line:
                raise ValueError("a log line must hold text and no newline: write one JSON document a line")
        if not lines:
            return
        with self._queue:
            batch = self._batch
            batch.lines.extend(lines)
        with self._disk:
            # Whoever held the disk before may have written our lines with its own.
            if not batch.done:
                with self._queue:
                    self._batch = _Batch()
                try:
                    self._write(b"".join(line + b"\n" for line in batch.lines))
                except OSError as error:
                    batch.error = error
                batch.done = True
        if batch.error is not None:
            raise OSError(f"event log {self.root}: {batch.error}") from batch.error

    def close(self) -> None:
        """Close the open segment; a later append opens a new one."""
        with self._disk:
            self._close_segment()

    def _close_segment(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _write(self, data: bytes) -> None:
        # After a fork the child must not go on in its parent's segment.
        if self._handle is not None and (self._size >= self._segment_bytes or self._pid != os.getpid()):
            self._close_segment()
        handle = self._handle if self._handle is not None else self._open_segment()
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        except OSError:
            # After a failed fsync the kernel may have dropped the pages: this segment is not written to again.
            try:
                os.ftruncate(handle, self._size)
            finally:
                self._close_segment()
            raise
        self._size += len(data)

    def _open_segment(self) -> int:
        self.root.mkdir(parents=True, exist_ok=True)
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        name = f"{moment}-{os.getpid()}-{uuid.uuid4().hex[:8]}{SEGMENT_SUFFIX}"
        self._handle = os.open(self.root / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        folder = os.open(self.root, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._size = 0
        self._pid = os.getpid()
        return self._handle

    @staticmethod
    def segments(root: Path) -> list[Path]:
        """The segments under `root`, oldest first."""
        return sorted(root.glob(f"*{SEGMENT_SUFFIX}"))

    @staticmethod
    def read(root: Path) -> Iterator[LogLine]:
        """Every whole line of every segment, oldest segment first. A folder that is not there holds none."""
        for segment in EventLog.segments(root):
            yield from read_segment(segment)


def read_segment(segment: Path) -> Iterator[LogLine]:
    """The whole lines of one segment, streamed; a tail without a newline is cut."""
    number = 0
    rest = b""
    with segment.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                number += 1
                yield LogLine(segment, number, line)
