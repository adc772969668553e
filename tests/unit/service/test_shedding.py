"""Too much to do is said at once, and what is under way is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from starlette.types import Message, Receive, Scope, Send

from bentos.intent_service.errors import RequestError
from bentos.intent_service.limits import MAX_BODY_BYTES
from bentos.intent_service.shedding import MAX_BODY_BYTES_IN_FLIGHT, LoadShedding

pytestmark = pytest.mark.unit


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass
class Gate:
    """An app that reads the body and answers when the gate opens."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            while (await receive()).get("more_body"):
                pass
        except RequestError as refusal:
            await refusal.response()(scope, receive, send)
            return
        await self.opened.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def _ask(
    app: LoadShedding, path: str = "/v1/intent", parts: Iterable[Message] = ()
) -> tuple[int, dict[str, str]]:
    """Status and headers of a request whose body comes in `parts`."""
    messages = iter(parts or [{"type": "http.request", "body": b"{}"}])
    started: list[Message] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            started.append(message)

    await app({"type": "http", "path": path, "method": "POST", "headers": []}, receive, send)
    headers = {name.decode(): value.decode() for name, value in started[0]["headers"]}
    return started[0]["status"], headers


def _shedding(gate: Gate, clock: Clock | None = None, *, at_once: int = 3) -> LoadShedding:
    return LoadShedding(gate, ["/v1/intent"], at_once, 2.0, clock or Clock())


def test_a_request_too_many_is_refused_at_once_and_the_others_are_answered() -> None:
    async def scenario() -> None:
        gate = Gate()
        app = _shedding(gate)
        under_way = [asyncio.create_task(_ask(app)) for _ in range(3)]
        await asyncio.sleep(0)
        status, headers = await _ask(app)
        assert (status, headers["retry-after"]) == (503, "1")
        gate.opened.set()
        assert [status for status, _ in await asyncio.gather(*under_way)] == [200] * 3
        assert (await _ask(app))[0] == 200

    asyncio.run(scenario())


def test_while_one_waits_for_long_the_next_are_told_for_how_long() -> None:
    async def scenario() -> None:
        gate, clock = Gate(), Clock()
        app = _shedding(gate, clock)
        first = asyncio.create_task(_ask(app))
        await asyncio.sleep(0)
        clock.now = 2.0
        second = asyncio.create_task(_ask(app))
        await asyncio.sleep(0)
        assert not second.done()
        clock.now = 2.5
        status, headers = await _ask(app)
        assert (status, headers["retry-after"]) == (503, "3")
        gate.opened.set()
        assert [status for status, _ in await asyncio.gather(first, second)] == [200, 200]
        assert (await _ask(app))[0] == 200

    asyncio.run(scenario())


def test_a_queue_that_grows_fast_is_noticed_before_its_first_has_waited_for_long() -> None:
    async def scenario() -> None:
        gate, clock = Gate(), Clock()
        app = _shedding(gate, clock, at_once=100)
        first = asyncio.create_task(_ask(app))
        await asyncio.sleep(0)
        clock.now = 1.0
        gate.opened.set()
        assert (await first)[0] == 200
        # One answer took a second; four wait, so the next would wait for four, above the limit of two.
        gate.opened.clear()
        under_way = [asyncio.create_task(_ask(app)) for _ in range(3)]
        await asyncio.sleep(0)
        # What waits may be much shorter than what was answered: nobody has waited long enough to tell.
        clock.now = 1.4
        under_way.append(asyncio.create_task(_ask(app)))
        await asyncio.sleep(0)
        assert not under_way[-1].done()
        clock.now = 1.6
        status, headers = await _ask(app)
        assert (status, headers["retry-after"]) == (503, "4")
        gate.opened.set()
        assert [status for status, _ in await asyncio.gather(*under_way)] == [200] * 4
        # They were answered together: the pace is known to be faster now.
        gate.opened.clear()
        again = asyncio.create_task(_ask(app))
        await asyncio.sleep(0)
        clock.now = 2.2
        last = asyncio.create_task(_ask(app))
        await asyncio.sleep(0)
        assert not last.done()
        gate.opened.set()
        assert [status for status, _ in await asyncio.gather(again, last)] == [200] * 2

    asyncio.run(scenario())


def test_a_caller_that_sends_slowly_makes_nobody_wait() -> None:
    async def scenario() -> None:
        gate, clock = Gate(), Clock()
        gate.opened.set()
        app = _shedding(gate, clock)
        rest = asyncio.Event()

        async def slowly() -> Message:
            if not rest.is_set():
                await rest.wait()
            return {"type": "http.request", "body": b"}"}

        async def sent(_: Message) -> None:
            return

        slow = asyncio.create_task(app({"type": "http", "path": "/v1/intent", "headers": []}, slowly, sent))
        await asyncio.sleep(0)
        clock.now = 60.0
        assert (await _ask(app))[0] == 200
        rest.set()
        await slow

    asyncio.run(scenario())


def test_paths_that_do_not_wait_are_answered_under_any_load() -> None:
    async def scenario() -> None:
        gate = Gate()
        app = _shedding(gate, at_once=1)
        blocked = asyncio.create_task(_ask(app))
        await asyncio.sleep(0)
        assert (await _ask(app))[0] == 503
        probe = asyncio.create_task(_ask(app, "/livez"))
        await asyncio.sleep(0)
        gate.opened.set()
        assert (await probe)[0] == 200
        await blocked

    asyncio.run(scenario())


def test_routes_that_wait_for_other_things_are_not_shed_for_one_another() -> None:
    # Cause: the oldest wait of all routes counted, so one append that hung, or one long explanation, shed every text.
    async def scenario() -> None:
        gate, clock = Gate(), Clock()
        app = LoadShedding(gate, ["/v1/track", "/v1/intent"], 2, 2.0, clock)
        hanging = [asyncio.create_task(_ask(app, "/v1/track")) for _ in range(2)]
        await asyncio.sleep(0)
        clock.now = 60.0
        assert (await _ask(app, "/v1/track"))[0] == 503
        quick = asyncio.create_task(_ask(app, "/v1/intent"))
        await asyncio.sleep(0)
        assert not quick.done()
        gate.opened.set()
        assert [status for status, _ in await asyncio.gather(quick, *hanging)] == [200] * 3

    asyncio.run(scenario())


def test_bodies_in_flight_are_bounded_together() -> None:
    async def scenario() -> None:
        gate = Gate()
        app = _shedding(gate, at_once=100)
        body = {"type": "http.request", "body": b" " * MAX_BODY_BYTES}
        room = MAX_BODY_BYTES_IN_FLIGHT // MAX_BODY_BYTES
        under_way = [asyncio.create_task(_ask(app, parts=[body])) for _ in range(room)]
        await asyncio.sleep(0)
        assert (await _ask(app))[0] == 503
        gate.opened.set()
        assert [status for status, _ in await asyncio.gather(*under_way)] == [200] * room
        assert (await _ask(app))[0] == 200

    asyncio.run(scenario())
