"""What every `EventLog` does; each implementation runs all of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from intent_tracking.events.kafka_log import KafkaLog
from intent_tracking.events.log import EventLog
from intent_tracking.events.segment_log import SegmentLog
from tests.fakes.kafka_broker import kafka_broker

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def broker() -> Iterator[str]:
    with kafka_broker() as address:
        yield address


class Logs:
    """Opens logs of one kind on one place."""

    def __init__(self, kind: str, root: Path, broker: str, topic: str) -> None:
        self._kind, self._root, self._address = kind, root, f"kafka://{broker}/{topic}"
        self._opened: list[EventLog] = []

    def open(self) -> EventLog:
        self._opened.append(SegmentLog(self._root) if self._kind == "segments" else KafkaLog(self._address))
        return self._opened[-1]

    def close(self) -> None:
        for log in self._opened:
            log.close()


@pytest.fixture(params=["segments", "kafka"])
def logs(request: pytest.FixtureRequest, tmp_path: Path, broker: str) -> Iterator[Logs]:
    opened = Logs(request.param, tmp_path / "log", broker, f"events-{request.node.name.partition('[')[0][:60]}")
    yield opened
    opened.close()


def test_what_was_appended_is_there_once_when_the_call_returns(logs: Logs) -> None:
    log = logs.open()
    begin = log.mark()
    log.append([b"one", "zwei \u7ea2".encode()])
    log.append([])
    log.append([b"three"])
    assert sorted(log.since(begin)) == sorted([b"one", "zwei \u7ea2".encode(), b"three"])


@pytest.mark.parametrize("line", [b"", b"a\nb"])
def test_a_line_that_would_break_the_log_is_refused_with_its_call(logs: Logs, line: bytes) -> None:
    log = logs.open()
    begin = log.mark()
    with pytest.raises(ValueError, match="newline"):
        log.append([b"good", line])
    log.append([b"after"])
    assert list(log.since(begin)) == [b"after"]


def test_a_line_is_taken_up_to_the_length_that_the_log_names(logs: Logs) -> None:
    # Cause: a line that the broker's client refuses was sent again for ever, and others of its call were logged twice.
    log = logs.open()
    begin = log.mark()
    longest = b"x" * log.max_line_bytes
    with pytest.raises(ValueError, match="bytes"):
        log.append([b"good", longest + b"x"])
    log.append([longest])
    assert list(log.since(begin)) == [longest]


def test_a_mark_finds_what_its_writer_appended_after_it_from_any_process(logs: Logs) -> None:
    writer, other = logs.open(), logs.open()
    writer.append([b"before"])
    mark = writer.mark()
    assert list(other.since(mark)) == []
    writer.append([b"after-%d" % number for number in range(50)])
    found = list(other.since(mark))
    assert sorted(found) == sorted(b"after-%d" % number for number in range(50))


def test_a_call_of_this_writer_is_over_and_that_of_another_is_not(logs: Logs) -> None:
    log, other = logs.open(), logs.open()
    assert log.is_abandoned(log.mark())
    assert not log.is_abandoned(other.mark())


def test_concurrent_callers_lose_and_double_nothing(logs: Logs) -> None:
    opened = [logs.open(), logs.open()]
    marks = [log.mark() for log in opened]

    def write(caller: int) -> None:
        for number in range(25):
            opened[caller % 2].append([b"%d-%d-a" % (caller, number), b"%d-%d-b" % (caller, number)])

    threads = [threading.Thread(target=write, args=(caller,)) for caller in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [line for log, mark in zip(opened, marks, strict=True) for line in log.since(mark)]
    expected = {
        b"%d-%d-%s" % (caller, number, half) for caller in range(6) for number in range(25) for half in (b"a", b"b")
    }
    assert set(found) == expected
    # A topic is one for all its writers: each of the two marks finds all of it.
    assert len(found) in (len(expected), 2 * len(expected))
