"""The append-only log: order, rotation, torn tails, several writers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from intent_tracking.events.segment_log import SegmentLog, read_log, read_segment, segments

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]


def lines(root: Path) -> list[bytes]:
    return [line.data for line in read_log(root)]


def test_what_was_appended_is_read_in_order_with_its_place(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path / "log")
    assert not (tmp_path / "log").exists()
    log.append([b"one", b"two"])
    log.append([])
    log.append([b"three"])
    found = list(read_log(tmp_path / "log"))
    assert [(line.number, line.data) for line in found] == [(1, b"one"), (2, b"two"), (3, b"three")]
    assert len({line.segment for line in found}) == 1


@pytest.mark.parametrize("line", [b"", b"a\nb"])
def test_a_line_that_would_break_the_log_is_refused_and_nothing_of_its_call_is_written(
    tmp_path: Path, line: bytes
) -> None:
    log = SegmentLog(tmp_path)
    with pytest.raises(ValueError, match="newline"):
        log.append([b"good", line])
    assert lines(tmp_path) == []


def test_a_full_segment_is_followed_by_another(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path, segment_bytes=10)
    for number in range(5):
        log.append([b"line-%d" % number])
    assert len(segments(tmp_path)) == 3
    assert lines(tmp_path) == [b"line-%d" % number for number in range(5)]


def test_a_torn_tail_is_cut_and_a_new_writer_does_not_touch_it(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path)
    log.append([b"kept"])
    (segment,) = segments(tmp_path)
    with segment.open("ab") as file:
        file.write(b'{"half')
    assert lines(tmp_path) == [b"kept"]
    SegmentLog(tmp_path).append([b"next"])
    assert lines(tmp_path) == [b"kept", b"next"]
    assert segment.read_bytes() == b'kept\n{"half'


def test_long_lines_are_read_across_read_blocks(tmp_path: Path) -> None:
    long = b"x" * (3 * 2**20)
    SegmentLog(tmp_path).append([long, b"end"])
    (segment,) = segments(tmp_path)
    assert [line.data for line in read_segment(segment)] == [long, b"end"]


def test_concurrent_callers_lose_nothing_and_keep_their_lines_together(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path, segment_bytes=2000)

    def write(caller: int) -> None:
        for number in range(25):
            log.append([b"%d-%d-a" % (caller, number), b"%d-%d-b" % (caller, number)])

    threads = [threading.Thread(target=write, args=(caller,)) for caller in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = lines(tmp_path)
    assert len(found) == len(set(found)) == 6 * 25 * 2
    for caller in range(6):
        own = [line for line in found if line.startswith(b"%d-" % caller)]
        assert own == [b"%d-%d-%s" % (caller, number, half) for number in range(25) for half in (b"a", b"b")]


def test_a_full_disk_is_an_error_and_not_an_acknowledgement(tmp_path: Path) -> None:
    # A folder where the log should be a folder's parent: opening a segment fails as a full or read-only disk does.
    (tmp_path / "file").write_bytes(b"")
    log = SegmentLog(tmp_path / "file" / "log")
    with pytest.raises(OSError, match="event log"):
        log.append([b"lost"])


def test_a_mark_finds_what_its_writer_appended_after_it_and_nothing_of_others(tmp_path: Path) -> None:
    log, other = SegmentLog(tmp_path, segment_bytes=10), SegmentLog(tmp_path)
    first = log.mark()
    log.append([b"one"])
    other.append([b"of another"])
    second = log.mark()
    for number in range(4):
        log.append([b"line-%d" % number])
    assert list(log.since(first)) == [b"one", *(b"line-%d" % number for number in range(4))]
    assert list(other.since(second)) == [b"line-%d" % number for number in range(4)]
    assert list(other.since(other.mark())) == []


def test_a_mark_into_a_segment_that_was_rewritten_finds_too_much_rather_than_too_little(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path)
    log.append([b"erase me", b"keep"])
    mark = log.mark()
    log.append([b"wanted"])
    (segment,) = segments(tmp_path)
    segment.write_bytes(b"keep\nwanted\n")
    assert b"wanted" in list(log.since(mark))


def test_a_writer_is_abandoned_when_it_closed_and_alive_before(tmp_path: Path) -> None:
    log, other = SegmentLog(tmp_path), SegmentLog(tmp_path)
    mark = other.mark()
    assert not log.is_abandoned(mark)
    assert log.is_abandoned(log.mark())
    other.close()
    assert log.is_abandoned(mark)
    assert other.mark().split()[0] != mark.split()[0]


def test_a_writer_that_was_killed_is_abandoned_at_once_and_leaves_no_lock(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom intent_tracking.events.segment_log import SegmentLog\n"
        "log = SegmentLog(Path(sys.argv[1]))\nprint(log.mark(), flush=True)\nlog.append([b'written'])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    mark = done.stdout.strip()
    assert done.returncode == -signal.SIGKILL
    log = SegmentLog(tmp_path)
    assert log.is_abandoned(mark)
    assert list(log.since(mark)) == [b"written"]
    log.mark()
    assert len(list(tmp_path.glob(".*"))) == 1


def test_a_forked_child_opens_a_segment_of_its_own(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path)
    log.append([b"parent"])
    child = os.fork()
    if child == 0:
        log.append([b"child"])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    log.append([b"parent again"])
    assert sorted(lines(tmp_path)) == [b"child", b"parent", b"parent again"]
    assert len(segments(tmp_path)) == 2
