"""`EventLog` in append-only segments on disk: the embedded log of the HTTP service.

Each process writes segments of its own, so several workers never meet in one file. Concurrent appends share one write
and one fsync (group commit). A reader takes whole lines only: the torn tail of a killed writer was never acknowledged.
A writer holds the lock of a hidden file of its own as long as it lives, which the kernel gives back however it dies.
A line that begins with a space is erased (`intent_tracking.erasure.lines`): it keeps its place and is read no more.
"""

from __future__ import annotations

import fcntl
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from intent_tracking.events.adapters.base import MAX_LINE_BYTES
from intent_tracking.events.log import LogRefusedError, require_lines

SEGMENT_SUFFIX: Final = ".jsonl"
SEGMENT_BYTES: Final = 64 * 2**20
ERASED: Final = b" "  # how an erased line begins; `require_lines` lets none be appended that does
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


class SegmentLog:
    """Append-only segments of lines under `root`. Thread-safe; safe beside other processes on the same `root`.

    Nothing is made on disk before the first append or mark. A segment is `<moment>-<writer>-<number>.jsonl`.
    """

    def __init__(self, root: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.root = root
        self._segment_bytes = segment_bytes
        self.max_line_bytes = MAX_LINE_BYTES  # what its readers take
        self._queue = threading.Lock()  # guards `_batch`
        self._disk = threading.Lock()  # held by the one caller that writes
        self._batch = _Batch()
        self._writer = ""
        self._pid = 0
        self._lock_handle: int | None = None
        self._handle: int | None = None
        # What a mark names: read without a lock, so replaced as one.
        self._place = (1, 0)  # number of the segment that is written, or comes next; bytes in it

    def append(self, lines: Sequence[bytes]) -> None:
        """Write `lines` and return when they are on disk.

        Raises:
            ValueError: a line is empty, holds a newline or is too long; nothing of this call is written.
            LogRefusedError: the disk refused; what was half written is cut off again.
            OSError: the disk refused, and to cut it off as well.
        """
        require_lines(lines, self.max_line_bytes)
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
            raise type(batch.error)(f"event log {self.root}: {batch.error}") from batch.error

    def mark(self) -> str:
        """The name of this writer, and the segment and byte at which it stands."""
        if self._pid != os.getpid():
            with self._disk:
                self._enlist()
        number, size = self._place
        return f"{self._writer} {number} {size}"

    def is_abandoned(self, mark: str) -> bool:
        """Whether the writer of `mark` is this one, or dead: then nobody holds its lock."""
        writer = mark.split(" ")[0]
        return writer == self._writer or _is_dead(self._lock_path(writer))

    def since(self, mark: str) -> Iterator[bytes]:
        """The lines of the writer of `mark` from there on."""
        writer, number, size = mark.split(" ")
        for segment in sorted(self.root.glob(f"*-{writer}-*{SEGMENT_SUFFIX}"), key=_number_of):
            if _number_of(segment) >= int(number):
                skipped = int(size) if _number_of(segment) == int(number) else 0
                for line in read_segment(segment, skipped):
                    yield line.data

    def close(self) -> None:
        """Close the open segment and give up the writer's lock; a later append begins as a new writer."""
        with self._disk:
            self._close_segment()
            if self._lock_handle is not None:
                if self._pid == os.getpid():
                    self._lock_path(self._writer).unlink(missing_ok=True)
                os.close(self._lock_handle)
                self._lock_handle = None
            self._pid = 0

    def _lock_path(self, writer: str) -> Path:
        return self.root / f".writer-{writer}"

    def _enlist(self) -> None:
        """Become a writer with a name and a lock of its own; a forked child must not go on as its parent."""
        if self._pid == os.getpid():
            return
        self.root.mkdir(parents=True, exist_ok=True)
        for path in self.root.glob(".writer-*"):
            _is_dead(path)  # and then its file is removed
        writer = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        # Locked before it has its name, so that nobody takes a writer for dead that is about to begin.
        unnamed = self.root / f".new-{writer}"
        handle = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        unnamed.rename(self._lock_path(writer))
        self._close_segment()
        if self._lock_handle is not None:
            os.close(self._lock_handle)
        self._lock_handle, self._writer, self._place = handle, writer, (1, 0)
        self._pid = os.getpid()

    def _close_segment(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
            self._place = (self._place[0] + 1, 0)

    def _write(self, data: bytes) -> None:
        try:
            self._enlist()
            if self._handle is not None and self._place[1] >= self._segment_bytes:
                self._close_segment()
            handle = self._handle if self._handle is not None else self._open_segment()
        except OSError as error:
            raise LogRefusedError(str(error)) from error
        number, size = self._place
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        except OSError as error:
            # After a failed fsync the kernel may have dropped the pages: this segment is not written to again.
            try:
                os.ftruncate(handle, size)
            finally:
                self._close_segment()
            raise LogRefusedError(str(error)) from error
        self._place = (number, size + len(data))

    def _open_segment(self) -> int:
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        name = f"{moment}-{self._writer}-{self._place[0]:06d}{SEGMENT_SUFFIX}"
        self._handle = os.open(self.root / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        folder = os.open(self.root, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return self._handle


def segments(root: Path) -> list[Path]:
    """The segments under `root`, oldest first."""
    return sorted(root.glob(f"*{SEGMENT_SUFFIX}"))


def read_log(root: Path) -> Iterator[LogLine]:
    """Every whole line of every segment, oldest segment first. A folder that is not there holds none."""
    for segment in segments(root):
        yield from read_segment(segment)


def read_segment(segment: Path, skipped: int = 0) -> Iterator[LogLine]:
    """The whole lines of one segment, streamed; a tail without a newline is cut, erased lines are left out.

    Where a line ends at byte `skipped`, reading begins there; else (the segment was rewritten) at its start. Numbers
    count from where reading began.
    """
    number = 0
    rest = b""
    with segment.open("rb") as file:
        if skipped:
            file.seek(skipped - 1)
            if file.read(1) != b"\n":
                file.seek(0)
        while chunk := file.read(_READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                number += 1
                if not line.startswith(ERASED):
                    yield LogLine(segment, number, line)


def _number_of(segment: Path) -> int:
    return int(segment.stem.rpartition("-")[2])


def _is_dead(lock: Path) -> bool:
    """Whether nobody holds `lock`; the file that a dead writer left is removed."""
    try:
        handle = os.open(lock, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        lock.unlink(missing_ok=True)
        return True
    finally:
        os.close(handle)
