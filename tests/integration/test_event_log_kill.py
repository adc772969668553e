"""A writer that dies in the middle of a write: every acknowledged line is there, exactly once."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from intent_tracking.events.segment_log import SegmentLog, read_log, segments

pytestmark = pytest.mark.integration

# Four threads append batches and acknowledge each line on stdout only after `append` has returned.
WRITER = """
import os, sys, threading
from pathlib import Path
from intent_tracking.events.segment_log import SegmentLog, read_log, segments
log = SegmentLog(Path(sys.argv[1]), segment_bytes=20_000)
def write(thread):
    number = 0
    while True:
        lines = [b"%d-%d-%d-" % (os.getpid(), thread, number + at) + b"x" * 200 for at in range(3)]
        log.append(lines)
        os.write(1, b"".join(line.split(b"-x")[0] + b"\\n" for line in lines))
        number += 3
for thread in range(4):
    threading.Thread(target=write, args=(thread,), daemon=True).start()
threading.Event().wait()
"""


def test_what_was_acknowledged_survives_kill_nine_exactly_once(tmp_path: Path) -> None:
    root, acknowledged = tmp_path / "log", tmp_path / "acknowledged"
    for round_ in range(3):
        count = 1 + round_ % 2
        with ExitStack() as running:
            answers = running.enter_context(acknowledged.open("ab"))
            before = acknowledged.stat().st_size
            for _ in range(count):
                writer = subprocess.Popen([sys.executable, "-c", WRITER, str(root)], stdout=answers)
                running.enter_context(writer)
                running.callback(writer.kill)
            deadline = time.monotonic() + 240
            while acknowledged.stat().st_size < before + 4_000 * count and time.monotonic() < deadline:
                time.sleep(0.01)
    # The acknowledgement itself may be torn by the kill: only whole lines were received.
    known = acknowledged.read_bytes()[: acknowledged.read_bytes().rfind(b"\n")].split(b"\n")
    stored = [line.data.split(b"-x")[0] for line in read_log(root)]
    assert len(known) > 100
    assert len(stored) == len(set(stored))
    assert set(known) <= set(stored)
    assert len(segments(root)) > 3


def test_a_tail_cut_at_every_byte_leaves_the_whole_lines(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path / "log")
    log.append([b'{"event_id":"1"}', b'{"event_id":"2"}'])
    (segment,) = segments(tmp_path / "log")
    whole = segment.read_bytes()
    for length in range(len(whole) + 1):
        segment.write_bytes(whole[:length])
        assert [line.data for line in read_log(tmp_path / "log")] == whole[:length].split(b"\n")[:-1]
