"""An answer has a limit of time until its last byte; a stream of events has none."""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from bentos.intent_service.middleware import Deadline

pytestmark = pytest.mark.unit

SECONDS = 0.05
REQUEST = {"type": "http", "method": "GET", "path": "/", "headers": []}


async def _nothing_comes() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("nothing is ever received")


def _slow_answer(media_type: bytes, pause: float) -> Deadline:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", media_type)]})
        await asyncio.sleep(pause)
        await send({"type": "http.response.body", "body": b"end"})

    return Deadline(app, SECONDS)


async def _sent(app: Deadline) -> list[Message]:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(REQUEST, _nothing_comes, send)
    return sent


def test_whoever_reads_too_slowly_is_broken_off() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(_sent(_slow_answer(b"application/json", 10)))


def test_a_stream_of_events_goes_on() -> None:
    sent = asyncio.run(_sent(_slow_answer(b"text/event-stream; charset=utf-8", 4 * SECONDS)))
    assert sent[-1]["body"] == b"end"


def test_no_answer_in_time_is_a_504() -> None:
    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.sleep(10)

    sent = asyncio.run(_sent(Deadline(app, SECONDS)))
    assert sent[0]["status"] == 504
