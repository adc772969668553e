"""Who may call, how long a call may take, and how it is counted: plain ASGI, before any route."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Collection
from time import perf_counter

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.intent_service.errors import ErrorCode, RequestError
from bentos.intent_service.limits import REQUEST_SECONDS
from bentos.intent_service.metrics import Metrics

# A probe carries no key; what it learns is that a process runs.
OPEN_PATHS = frozenset({"/livez", "/readyz"})


class Access:
    """Asks for a bearer key; without configured keys it answers this machine alone.

    Without keys the Host header must name this machine too: a page in a browser here could otherwise reach the service
    through a name that it resolves to 127.0.0.1 (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, keys: Collection[str]) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            refusal = self._refusal(scope)
            if refusal is not None:
                await refusal.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> RequestError | None:
        headers = Headers(scope=scope)
        if self._keys:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            # Every key is compared, so that the time taken does not tell which one was near.
            matches = [hmac.compare_digest(given.strip().encode(), key) for key in self._keys]
            if scheme.lower() == "bearer" and any(matches):
                return None
            return RequestError(
                401,
                ErrorCode.UNAUTHORIZED,
                "send the header Authorization: Bearer <key> with one of the configured keys",
                "authorization",
                {"WWW-Authenticate": "Bearer"},
            )
        ends = [end[0] for end in (scope.get("client"), scope.get("server")) if end]
        if all(map(_is_loopback, ends)) and _is_loopback(_host_name(headers.get("host", ""))):
            return None
        return RequestError(
            403,
            ErrorCode.LOOPBACK_ONLY,
            "no keys are configured, so only this machine is answered: set INTENT_API_KEYS",
        )


class Deadline:
    """Answers 504 when a request takes longer than the limit."""

    def __init__(self, app: ASGIApp, seconds: float = REQUEST_SECONDS) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; what it started on disk is finished all the same."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            async with asyncio.timeout(self._seconds) as limit:
                await self._app(scope, receive, watched)
        except TimeoutError:
            if started or not limit.expired():
                raise
            late = RequestError(504, ErrorCode.TIMEOUT, f"no answer within {self._seconds:g} s; repeat the request")
            await late.response()(scope, receive, send)


class Measured:
    """Counts answers and their time by route; unknown paths share one label, so that callers cannot make new ones."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self._routes else "other"
        begin = perf_counter()
        await self._app(scope, receive, self._counting(send, route, begin))

    def _counting(self, send: Send, route: str, begin: float) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._metrics.requests.labels(route, str(message["status"])).inc()
                self._metrics.seconds.labels(route).observe(perf_counter() - begin)
            await send(message)

        return counted


def _host_name(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # A socket for both families shows an IPv4 caller as ::ffff:127.0.0.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
