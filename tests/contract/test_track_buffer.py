"""Both buffers against the real app: batches, outages, restarts, and events that the service rejects."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bentos.intent_service.runtime import Runtime
from intent_tracking.client import (
    AsyncIntentClient,
    AsyncTrackBuffer,
    NotDeliveredError,
    OutboxError,
    OutboxFullError,
    RejectedEvent,
    TrackAnswer,
)
from intent_tracking.settings import Settings
from tests.fakes.client_harness import AsyncHarness, Harness, SyncHarness, harness
from tests.fakes.service_client import app_of
from tests.fakes.visitor import Visitor

pytestmark = pytest.mark.contract


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def runtime(home: Path) -> Iterator[Runtime]:
    running = Runtime(Settings(home=home))
    running.start()
    yield running
    running.close()


@pytest.fixture(params=[SyncHarness, AsyncHarness], ids=["sync", "async"])
def service(request: pytest.FixtureRequest, runtime: Runtime) -> Iterator[Harness]:
    with harness(request.param, app_of(runtime)) as made:
        yield made


@pytest.fixture
def visitor(home: Path) -> Visitor:
    return Visitor(home)


def until(is_true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.01)


def down(count: int) -> list[httpx.TransportError]:
    return [httpx.ConnectError("refused") for _ in range(count)]


def test_events_gather_until_there_are_enough(service: Harness, visitor: Visitor) -> None:
    buffer = service.buffer(size=3, seconds=60)
    buffer.add(visitor.message(1))
    buffer.add(visitor.message(2))
    time.sleep(0.1)
    assert service.app.requests == []
    buffer.add(visitor.message(3))
    until(lambda: buffer.pending == 0)
    assert len(service.app.requests) == 1
    assert visitor.numbers() == [1, 2, 3]
    buffer.close()


def test_fewer_events_do_not_wait_longer_than_they_may(service: Harness, visitor: Visitor) -> None:
    buffer = service.buffer(size=100, seconds=0.05)
    buffer.add(visitor.message(1))
    until(lambda: buffer.pending == 0)
    assert visitor.numbers() == [1]
    buffer.close()


def test_flush_and_answers(service: Harness, visitor: Visitor) -> None:
    answers: list[TrackAnswer] = []
    buffer = service.buffer(seconds=60, on_answer=answers.append)
    buffer.add(visitor.message(1))
    buffer.flush(60)
    assert buffer.pending == 0
    buffer.close()
    assert [answer.accepted for answer in answers] == [1]
    with pytest.raises(RuntimeError, match="closed"):
        buffer.add(visitor.message(2))


@pytest.mark.parametrize("on_disk", [False, True])
def test_an_outage_loses_nothing_doubles_nothing_and_keeps_the_order(
    service: Harness, visitor: Visitor, tmp_path: Path, on_disk: bool
) -> None:
    buffer = service.buffer(tmp_path / "outbox" if on_disk else None, size=1, seconds=0)
    service.app.instead = [*down(1), httpx.Response(401, json={"error": {"code": "unauthorized", "message": "no"}})]
    service.app.lost = 1
    for number in range(1200):
        buffer.add(visitor.message(number))
    buffer.flush(120)
    assert visitor.numbers() == list(range(1200))
    buffer.close()


def test_events_outlive_their_buffer(service: Harness, visitor: Visitor, tmp_path: Path) -> None:
    service.app.instead = down(1000)
    first = service.buffer(tmp_path / "outbox", size=1)
    for number in range(5):
        first.add(visitor.message(number))
    until(lambda: len(service.app.requests) > 1)  # the first has failed
    with pytest.raises(NotDeliveredError, match="5 events are not delivered yet; last failure: no answer") as caught:
        first.flush(0.1)
    assert caught.value.pending == 5
    first.close(0)
    assert visitor.numbers() == []
    # The buffer may deliver before anybody can ask what it found: the service is still away then.
    second = service.buffer(tmp_path / "outbox")
    assert second.pending == 5
    service.app.instead = []
    second.flush(60)
    assert visitor.numbers() == list(range(5))
    second.close()


def test_events_in_memory_that_close_cannot_deliver_are_reported(service: Harness, visitor: Visitor) -> None:
    service.app.instead = down(1000)
    rejected: list[RejectedEvent] = []
    buffer = service.buffer(on_rejected=rejected.append)
    buffer.add(visitor.message(1))
    buffer.close(0.05)
    assert rejected[0].event["event_id"] == visitor.event_id(1)
    assert "not delivered before the buffer closed" in rejected[0].reason


def test_a_rejected_event_is_reported_once_and_holds_nothing_up(
    service: Harness, visitor: Visitor, tmp_path: Path
) -> None:
    rejected: list[RejectedEvent] = []
    buffer = service.buffer(tmp_path / "outbox", on_rejected=rejected.append)
    for event in (visitor.message(1), {"event_id": "bad", "event_name": "nonsense"}, visitor.message(2)):
        buffer.add(event)
    buffer.flush(60)
    buffer.close()
    assert [each.event["event_id"] for each in rejected] == ["bad"]
    assert "event_name" in rejected[0].reason
    assert visitor.numbers() == [1, 2]
    again = service.buffer(tmp_path / "outbox")
    assert again.pending == 0
    again.close()


def test_an_event_that_spoils_its_whole_call_is_found_and_reported(service: Harness, visitor: Visitor) -> None:
    rejected: list[RejectedEvent] = []
    buffer = service.buffer(seconds=60, on_rejected=rejected.append)
    deep: Any = "end"
    for _ in range(40):
        deep = [deep]
    for event in (visitor.message(1), visitor.message(2), visitor.message(3) | {"params": deep}, visitor.message(4)):
        buffer.add(event)
    buffer.flush(60)
    buffer.close()
    assert [each.event["event_id"] for each in rejected] == [visitor.event_id(3)]
    assert "invalid_json" in rejected[0].reason
    assert visitor.numbers() == [1, 2, 4]


def test_a_damaged_line_on_disk_is_reported_and_holds_nothing_up(
    service: Harness, visitor: Visitor, tmp_path: Path
) -> None:
    service.app.instead = down(100)
    outbox = tmp_path / "outbox"
    first = service.buffer(outbox)
    for number in range(3):
        first.add(visitor.message(number))
    first.close(0)
    (segment,) = outbox.glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(lines[0] + b'{"event_id": "e1", "ev\x00\n' + lines[2])
    service.app.instead = []
    rejected: list[RejectedEvent] = []
    second = service.buffer(outbox, on_rejected=rejected.append)
    second.flush(60)
    second.close()
    assert visitor.numbers() == [0, 2]
    with pytest.raises(json.JSONDecodeError):
        assert rejected[0].event


def test_a_full_buffer_says_so_and_takes_events_again_when_there_is_room(
    service: Harness, visitor: Visitor, tmp_path: Path
) -> None:
    service.app.instead = down(1)
    buffer = service.buffer(tmp_path / "outbox", max_bytes=450, seconds=60)
    with pytest.raises(OutboxFullError, match="450 is the limit"):
        for number in range(10):
            buffer.add(visitor.message(number))
    assert 0 < buffer.pending < 10
    buffer.flush(60)
    buffer.add(visitor.message(11))
    buffer.close()


def test_two_buffers_do_not_share_a_folder(service: Harness, visitor: Visitor, tmp_path: Path) -> None:
    buffer = service.buffer(tmp_path / "outbox")
    with pytest.raises(OutboxError, match="used by another buffer: give each process a folder of its own"):
        service.buffer(tmp_path / "outbox")
    buffer.close()


def test_a_callback_that_fails_does_not_end_the_delivery(service: Harness, visitor: Visitor, caplog: Any) -> None:
    def fails(_: TrackAnswer) -> None:
        raise LookupError("of the caller")

    buffer = service.buffer(size=1, on_answer=fails)
    buffer.add(visitor.message(1))
    until(lambda: buffer.pending == 0)
    buffer.add(visitor.message(2))
    buffer.flush(60)
    buffer.close()
    assert visitor.numbers() == [1, 2]
    assert "a callback of the track buffer failed" in caplog.text


def undecodable() -> httpx.Response:
    return httpx.Response(200, headers={"content-encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))


def unknown() -> LookupError:
    return LookupError("of a transport")


@pytest.mark.parametrize("failure", [undecodable, unknown])
def test_nothing_that_a_call_ends_in_ends_the_delivery(
    service: Harness, visitor: Visitor, failure: Callable[[], httpx.Response | Exception]
) -> None:
    # Cause: an answer that httpx could not decode ended the thread; events then gathered, and none was ever sent.
    service.app.instead = [failure()]
    buffer = service.buffer(size=1)
    buffer.add(visitor.message(1))
    until(lambda: len(service.app.requests) > 0)
    buffer.add(visitor.message(2))
    buffer.flush(60)
    buffer.close()
    assert visitor.numbers() == [1, 2]


def test_what_stands_in_the_way_is_named(service: Harness, visitor: Visitor) -> None:
    service.app.instead = [unknown() for _ in range(1000)]
    buffer = service.buffer(size=1)
    buffer.add(visitor.message(1))
    until(lambda: len(service.app.requests) > 1)  # the first has failed
    with pytest.raises(NotDeliveredError, match="1 events are not delivered yet; last failure: of a transport"):
        buffer.flush(0.2)
    buffer.close(0)


def test_a_close_that_is_cut_off_leaves_the_folder_to_others(tmp_path: Path) -> None:
    # Cause: a task that was cancelled while it closed its buffer left the folder locked, and events in it unsent.
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    async def cut_off() -> int:
        async with AsyncIntentClient("http://127.0.0.1:3000", transport=httpx.MockTransport(refuse)) as client:
            buffer = AsyncTrackBuffer(client, tmp_path / "outbox")
            buffer.add({"event_name": "message", "anonymous_id": "a", "params": {"text": "hello"}})
            closing = asyncio.create_task(buffer.close(60))
            await asyncio.sleep(0.05)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            again = AsyncTrackBuffer(client, tmp_path / "outbox")
            waiting = again.pending
            await again.close(0)
            return waiting

    assert asyncio.run(cut_off()) == 1
