"""Lines out of files: of logs that live processes append to, in place; of other files by a new one beside them."""

from __future__ import annotations

import gzip
import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from intent_tracking.events.adapters.base import open_log
from intent_tracking.events.segment_log import ERASED
from intent_tracking.tables import atomic_file

IsErased = Callable[[bytes], bool]
_READ_BYTES: Final = 2**20
_TORN_SECONDS: Final = 60.0  # no write takes that long: a tail as old was left by a writer that died


class FileChangedError(OSError):
    """Somebody writes a file that should be at rest; it is left as it is, and tried again later."""


def erase_log_lines(segment: Path, is_erased: IsErased) -> int:
    """Overwrite lines of an append-only segment with spaces, where they stand; how many.

    Writers only append, so no line of theirs can be lost, however many processes write meanwhile, and every other line
    keeps its place. The first byte of each line goes first, by which readers know it as erased, and reaches the disk
    before the rest follows: whatever is killed in between, no half line is ever read, and the next call ends the work.
    A torn tail is judged too once no writer can be in it any more.
    """
    found: list[tuple[int, int]] = []
    half: list[tuple[int, int]] = []
    for start, line in _placed(segment):
        if line.startswith(ERASED):
            if line.strip():
                half.append((start, len(line)))
        elif line and is_erased(line):
            found.append((start, len(line)))
    if not found and not half:
        return 0
    handle = os.open(segment, os.O_WRONLY)
    try:
        for start, _ in found:
            os.pwrite(handle, ERASED, start)
        os.fdatasync(handle)
        for start, length in (*found, *half):
            _blank(handle, start, length)
        os.fdatasync(handle)
    finally:
        os.close(handle)
    return len(found)


def _blank(handle: int, start: int, length: int) -> None:
    while length:
        written = os.pwrite(handle, ERASED * min(length, _READ_BYTES), start)
        start, length = start + written, length - written


def _placed(segment: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a segment with their first byte's place."""
    at = 0
    with segment.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") or time.time() - segment.stat().st_mtime > _TORN_SECONDS:
                yield at, line.rstrip(b"\n")
            at += len(line)


def blank_lines(path: Path, numbers: frozenset[int], encoding: str | None = None) -> None:
    """Empty the lines `numbers` (from 1) of a text file, by a new file in its place; the others keep their numbers.

    Lines end as in the readers of log files: at a newline, or with `encoding`, as of CSV, at a carriage return too.

    Raises:
        FileChangedError: the file was written to meanwhile.
    """
    with replacing(path) as temporary:
        if encoding is None:
            with open_log(path) as source, _create(path, temporary) as out:
                for number, line in enumerate(source, start=1):
                    out.write(b"\n" if number in numbers else line)
            return
        with (
            open_log(path) as source,
            io.TextIOWrapper(source, encoding, "surrogateescape", newline="") as lines,
            _create(path, temporary) as binary,
            io.TextIOWrapper(binary, encoding, "surrogateescape", newline="") as out_text,
        ):
            for number, text in enumerate(lines, start=1):
                out_text.write(text[len(text.rstrip("\r\n")) :] if number in numbers else text)


def _create(path: Path, temporary: Path) -> gzip.GzipFile | io.BufferedWriter:
    if path.suffix == ".gz":
        return gzip.GzipFile(temporary, "wb", mtime=0)
    return temporary.open("wb")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """As `atomic_file`, for a file whose writers do not ask: nothing is replaced that changed since this began.

    The new file has the time of the old one: a record without a time of its own arrived with its file.

    Raises:
        FileChangedError: the file was written to meanwhile.
    """
    before = path.stat()
    with atomic_file(path, before.st_mode & 0o777) as temporary:
        yield temporary
        now = path.stat()
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
            raise FileChangedError(f"{path}: is being written; erase again when it is complete")
        os.utime(temporary, ns=(before.st_atime_ns, before.st_mtime_ns))
