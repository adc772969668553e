"""Where events wait until the service has them: in memory, or in a folder that outlives the process."""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from intent_tracking.client.errors import OutboxError, OutboxFullError

logger = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 1 << 20
_SUFFIX: Final = ".jsonl"


class Outbox(Protocol):
    """Lines in the order they came. One thread at a time."""

    def append(self, line: bytes) -> None:
        """Take `line` in, without a line end.

        Raises:
            OutboxFullError: it would hold more than it may.
            OSError: the disk refuses.
        """

    def oldest(self, most: int) -> Sequence[bytes]:
        """At most `most` of the oldest lines, and at least one where there is any.

        Raises:
            OutboxError: lines are gone from where they were.
            OSError: the disk refuses.
        """

    def remove(self, count: int) -> None:
        """Forget the `count` oldest lines.

        Raises:
            OSError: the disk refuses; they may come again.
        """

    def __len__(self) -> int:
        """How many lines wait."""

    def close(self) -> None:
        """Let others use it."""


class MemoryOutbox:
    """Lines that end with the process."""

    def __init__(self, max_bytes: int) -> None:
        self._lines: deque[bytes] = deque()
        self._room = _Room(max_bytes)

    def append(self, line: bytes) -> None:
        """See `Outbox`."""
        self._room.take(len(line) + 1)
        self._lines.append(line)

    def oldest(self, most: int) -> Sequence[bytes]:
        """See `Outbox`."""
        return tuple(islice(self._lines, most))

    def remove(self, count: int) -> None:
        """See `Outbox`."""
        for _ in range(count):
            self._room.give(len(self._lines.popleft()) + 1)

    def __len__(self) -> int:
        return len(self._lines)

    def close(self) -> None:
        """See `Outbox`."""


class DiskOutbox:
    """Lines in append-only files of one folder, and the position of the oldest that is still to be delivered.

    A line is with the operating system when `append` returns: it outlives the process, kill -9 included, though not a
    power cut at that moment. The position is written after a delivery: a process that is killed in between delivers
    lines twice, and never loses one. One process uses a folder at a time.

    Raises:
        OutboxError: another process uses the folder.
        OSError: the folder cannot be written.
    """

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._room = _Room(max_bytes)
        self._lock = _locked(folder / "lock")
        self._head, self._offset = self._read_position()
        self._tail: tuple[int, int] | None = None  # number and descriptor of the file that is written
        self._tail_size = 0
        self._count = 0
        numbers = self._segments()
        for number in numbers:
            if number < self._head:  # a kill between the new position and the removal of the file
                self._path(number).unlink()
                continue
            lines = self._lines_of(number, self._offset if number == self._head else 0)
            self._count += len(lines)
            self._room.hold(sum(len(line) + 1 for line in lines))
        self._next = max([*numbers, self._head]) + 1

    def append(self, line: bytes) -> None:
        """See `Outbox`."""
        self._room.take(len(line) + 1)
        try:
            if self._tail is None or self._tail_size >= self._segment_bytes:
                self._begin_segment()
            assert self._tail is not None  # noqa: S101 - just begun
            written = os.write(self._tail[1], line + b"\n")
            if written <= len(line):
                raise OSError(f"{self._path(self._tail[0])}: the disk took {written} of {len(line) + 1} bytes")
        except OSError:
            # What a failed write left has no line end and the next line begins a new file: it is never read.
            self._room.give(len(line) + 1)
            self._end_segment()
            raise
        self._tail_size += written
        self._count += 1

    def oldest(self, most: int) -> Sequence[bytes]:
        """See `Outbox`; the lines are of one file."""
        while self._count:
            lines = self._lines_of(self._head, self._offset, most)
            if lines:
                return lines
            if self._head >= self._next - 1:
                lost, self._count = self._count, 0
                raise OutboxError(f"{self._folder}: {lost} events that waited here are gone, their files were removed")
            self._next_head()
        return ()

    def remove(self, count: int) -> None:
        """See `Outbox`."""
        size = sum(len(line) + 1 for line in self._lines_of(self._head, self._offset, count))
        self._write_position(self._head, self._offset + size)
        self._offset += size
        self._count -= count
        self._room.give(size)
        if not self._count:
            self._end_segment()
            self._next_head()

    def __len__(self) -> int:
        return self._count

    def close(self) -> None:
        """See `Outbox`."""
        self._end_segment()
        os.close(self._lock)

    def _begin_segment(self) -> None:
        self._end_segment()
        path = self._path(self._next)
        self._tail = (self._next, os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600))
        self._tail_size = 0
        self._next += 1

    def _end_segment(self) -> None:
        if self._tail is not None:
            os.close(self._tail[1])
            self._tail = None

    def _next_head(self) -> None:
        following = min((number for number in self._segments() if number > self._head), default=self._next)
        self._write_position(following, 0)
        self._path(self._head).unlink(missing_ok=True)
        self._head, self._offset = following, 0

    def _lines_of(self, number: int, offset: int, most: int | None = None) -> list[bytes]:
        try:
            with self._path(number).open("rb") as file:
                file.seek(offset)
                return [line[:-1] for line in islice(file, most) if line.endswith(b"\n")]
        except FileNotFoundError:
            return []

    def _segments(self) -> list[int]:
        names = (path.stem for path in self._folder.glob(f"*{_SUFFIX}"))
        return sorted(int(name) for name in names if name.isascii() and name.isdigit())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:012d}{_SUFFIX}"

    def _read_position(self) -> tuple[int, int]:
        path = self._folder / "position.json"
        first = min(self._segments(), default=1)
        if not path.exists():
            return first, 0
        try:
            position = json.loads(path.read_bytes())
            return int(position["segment"]), int(position["offset"])
        except (ValueError, KeyError, TypeError) as error:
            # A power cut may leave it empty. Events that were delivered come again, and change nothing at the service.
            logger.warning("%s is damaged (%s): all that is in the folder is sent again", path, error)
            return first, 0

    def _write_position(self, segment: int, offset: int) -> None:
        path = self._folder / "position.json"
        new = path.with_suffix(".new")
        new.write_text(json.dumps({"segment": segment, "offset": offset}))
        new.replace(path)


class _Room:
    """Counts bytes that wait against the most that may."""

    def __init__(self, max_bytes: int) -> None:
        self._max = max_bytes
        self._held = 0

    def hold(self, size: int) -> None:
        """Count what is there already, over the limit or not."""
        self._held += size

    def take(self, size: int) -> None:
        """Count `size` more bytes, or raise OutboxFullError."""
        if self._held + size > self._max:
            raise OutboxFullError(
                f"{self._held} bytes of events wait for the service, and {self._max} is the limit (max_bytes): "
                "this event is not taken in"
            )
        self._held += size

    def give(self, size: int) -> None:
        """Count `size` bytes less."""
        self._held -= size


def _locked(path: Path) -> int:
    import fcntl  # POSIX alone has it, and a buffer in memory does without

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise OutboxError(f"{path.parent} is used by another buffer: give each process a folder of its own") from error
    return descriptor
