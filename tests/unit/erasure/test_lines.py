"""Lines out of logs that others append to, and out of files at rest."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from intent_tracking.erasure import lines
from intent_tracking.erasure.lines import FileChangedError, blank_lines, erase_log_lines, replacing
from intent_tracking.events.segment_log import SegmentLog, read_log, read_segment, segments

pytestmark = pytest.mark.unit


def names_ann(line: bytes) -> bool:
    return b"ann" in line


def test_an_erased_line_leaves_the_others_where_they_were(tmp_path: Path) -> None:
    SegmentLog(tmp_path).append([b"bob-1", b"ann-2", b"bob-3", b"ann-4"])
    (segment,) = segments(tmp_path)
    size = segment.stat().st_size
    assert erase_log_lines(segment, names_ann) == 2
    assert [(line.number, line.data) for line in read_segment(segment)] == [(1, b"bob-1"), (3, b"bob-3")]
    assert segment.stat().st_size == size
    assert b"ann" not in segment.read_bytes()
    assert erase_log_lines(segment, names_ann) == 0


def test_nothing_that_is_appended_looks_erased(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="space"):
        SegmentLog(tmp_path).append([b" ann"])


def test_writers_go_on_while_their_segments_are_erased(tmp_path: Path) -> None:
    logs = [SegmentLog(tmp_path, segment_bytes=3_000) for _ in range(2)]
    stop = threading.Event()
    written: list[list[bytes]] = [[], []]

    def write(number: int) -> None:
        while not stop.is_set():
            at = len(written[number])
            batch = [b"bob-%d-%d" % (number, at), b"ann-%d-%d" % (number, at + 1)]
            logs[number].append(batch)
            written[number] += batch

    writers = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 120
    while min(map(len, written)) < 200 and time.monotonic() < deadline:
        for segment in segments(tmp_path):
            erase_log_lines(segment, names_ann)
    stop.set()
    for writer in writers:
        writer.join()
    for segment in segments(tmp_path):
        erase_log_lines(segment, names_ann)
    found = sorted(line.data for line in read_log(tmp_path))
    assert found == sorted(line for lines_ in written for line in lines_ if b"bob" in line)
    assert len(found) >= 200


@pytest.mark.parametrize("done", range(6))
def test_an_erasure_that_was_killed_is_never_read_by_halves_and_is_ended_by_the_next(tmp_path: Path, done: int) -> None:
    SegmentLog(tmp_path).append([b"ann-1", b"bob-2"])
    (segment,) = segments(tmp_path)
    whole = segment.read_bytes()
    segment.write_bytes(b" " * done + whole[done:])  # the first byte reaches the disk before any other
    expected = [b"bob-2"] if done else [b"ann-1", b"bob-2"]
    assert [line.data for line in read_segment(segment)] == expected
    erase_log_lines(segment, names_ann)
    assert segment.read_bytes() == b"     \nbob-2\n"


ERASER = """
import sys
from pathlib import Path
from intent_tracking.erasure.lines import erase_log_lines
print("begin", flush=True)
erase_log_lines(Path(sys.argv[1]), lambda line: line.startswith(b"ann"))
"""


def test_kill_nine_in_the_middle_loses_nothing_of_others(tmp_path: Path) -> None:
    segment = tmp_path / "s.jsonl"
    kept = b"bob" + b"x" * 5_000
    content = (b"ann" + b"y" * 9_000 + b"\n" + kept + b"\n") * 3_000
    for wait in (0.0, 0.01, 0.03):
        segment.write_bytes(content)
        process = subprocess.Popen([sys.executable, "-c", ERASER, str(segment)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(wait)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        left = [line.data for line in read_segment(segment)]
        assert {line for line in left if not line.startswith(b"ann")} == {kept}
        assert len([line for line in left if line == kept]) == 3_000
        assert all(line == kept or line == b"ann" + b"y" * 9_000 for line in left)
    erase_log_lines(segment, names_ann)
    assert b"ann" not in segment.read_bytes()
    assert b"y" not in segment.read_bytes()


def test_a_torn_tail_is_left_to_its_writer_and_erased_after_its_death(tmp_path: Path) -> None:
    segment = tmp_path / "s.jsonl"
    segment.write_bytes(b"bob\nann and mo")
    assert erase_log_lines(segment, names_ann) == 0
    long_ago = time.time() - lines._TORN_SECONDS - 1
    os.utime(segment, (long_ago, long_ago))
    assert erase_log_lines(segment, names_ann) == 1
    assert segment.read_bytes() == b"bob\n          "


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_file_keeps_its_line_numbers_and_its_time(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    content = b"one\ntwo\nthree"
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    os.utime(path, (1_000_000, 1_000_000))
    blank_lines(path, frozenset({2}))
    read = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
    assert read == b"one\n\nthree"
    assert path.stat().st_mtime == 1_000_000


def test_csv_lines_end_as_the_csv_reader_says_and_unreadable_bytes_stay(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfh1,h2\r\n1,\xff\r2,b\r\n3,c\n")
    blank_lines(path, frozenset({3}), "utf-8")
    assert path.read_bytes() == b"\xef\xbb\xbfh1,h2\r\n1,\xff\r\r\n3,c\n"


def test_a_file_that_somebody_still_writes_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\n")
    with pytest.raises(FileChangedError, match="being written"), replacing(path) as temporary:
        temporary.write_bytes(b"")
        with path.open("ab") as writer:
            writer.write(b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"
    assert list(tmp_path.iterdir()) == [path]
