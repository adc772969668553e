"""Both clients against one ASGI app, called in the same way, and a connection that can be made to break."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import ASGIApp

from intent_tracking.client import AsyncIntentClient, AsyncTrackBuffer, IntentClient, TrackBuffer

URL = "http://127.0.0.1:3000"


class BreakableApp(httpx.AsyncBaseTransport):
    """Carries requests to an ASGI app in this process.

    `instead` holds what the next requests get instead of their answer: an answer or an error. `lost` is how many of the
    next answers are lost on their way back, after the app has done its work.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = httpx.ASGITransport(app, raise_app_exceptions=False, client=("127.0.0.1", 50000))
        self.instead: list[httpx.Response | Exception] = []
        self.lost = 0
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.instead:
            given = self.instead.pop(0)
            if isinstance(given, Exception):
                raise given
            return given
        answer = await self._app.handle_async_request(request)
        if self.lost:
            self.lost -= 1
            raise httpx.ReadError("the connection was reset", request=request)
        return answer


class _Threaded(httpx.BaseTransport):
    def __init__(self, app: BreakableApp, portal: BlockingPortal) -> None:
        self._app = app
        self._portal = portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._portal.call(self._send, request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        answer = await self._app.handle_async_request(request)
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        # As it is on the wire: what it is encoded with is the client's to undo.
        sent = b"".join([part async for part in answer.stream])
        return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(sent))


class Harness(Protocol):
    """A client and its buffers, synchronous for the test."""

    app: BreakableApp

    def client(self, **options: Any) -> Any:
        """Make the client that `call` and `buffer` use."""

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        """The result of a method of the client."""

    def buffer(self, *args: Any, **options: Any) -> Any:
        """A buffer whose methods are synchronous."""


class SyncHarness:
    """`IntentClient` and `TrackBuffer`."""

    def __init__(self, app: BreakableApp, portal: BlockingPortal) -> None:
        self.app = app
        self._transport = _Threaded(app, portal)
        self._client = self.client()

    def client(self, **options: Any) -> IntentClient:
        self._client = IntentClient(URL, transport=self._transport, **options)
        return self._client

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        return getattr(self._client, name)(*args, **options)

    def buffer(self, *args: Any, **options: Any) -> TrackBuffer:
        return TrackBuffer(self._client, *args, **options)


class AsyncHarness:
    """`AsyncIntentClient` and `AsyncTrackBuffer`."""

    def __init__(self, app: BreakableApp, portal: BlockingPortal) -> None:
        self.app = app
        self._portal = portal
        self._client = self.client()

    def client(self, **options: Any) -> AsyncIntentClient:
        self._client = AsyncIntentClient(URL, transport=self.app, **options)
        return self._client

    def call(self, name: str, *args: Any, **options: Any) -> Any:
        return self._portal.call(partial(getattr(self._client, name), *args, **options))

    def buffer(self, *args: Any, **options: Any) -> _PortalBuffer:
        return _PortalBuffer(self._portal, partial(AsyncTrackBuffer, self._client, *args, **options))


class _PortalBuffer:
    def __init__(self, portal: BlockingPortal, make: Callable[[], AsyncTrackBuffer]) -> None:
        self._portal = portal
        self._buffer = portal.call(self._made, make)

    async def _made(self, make: Callable[[], AsyncTrackBuffer]) -> AsyncTrackBuffer:
        return make()

    @property
    def pending(self) -> int:
        return self._buffer.pending

    def add(self, event: dict[str, Any]) -> None:
        self._portal.call(self._buffer.add, event)

    def flush(self, timeout: float = 5.0) -> None:
        self._portal.call(self._buffer.flush, timeout)

    def close(self, timeout: float = 5.0) -> None:
        self._portal.call(self._buffer.close, timeout)


@contextmanager
def harness(kind: type[SyncHarness] | type[AsyncHarness], app: ASGIApp) -> Iterator[Harness]:
    """A harness of `kind` around `app`, whose event loop runs in a thread of its own."""
    with start_blocking_portal() as portal:
        made = kind(BreakableApp(app), portal)
        yield made
        made.call("close")
