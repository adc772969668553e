"""Every request is seen from the outside: it gets an id, is counted and timed, logged and traced, however it ends."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection
from time import perf_counter
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.intent_service.metrics import Metrics
from bentos.intent_service.request_context import RequestContext, handling
from bentos.intent_service.tracing import request_span

logger = logging.getLogger(__name__)

REQUEST_ID_HEADER = "x-request-id"
# Paths and methods of callers are labels only where they are known: others share one.
OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
# Asked every few seconds by machines.
QUIET = frozenset({"/livez", "/readyz", "/metrics"})
# A UUID, the same without hyphens, or a ULID. Anything wider lets names and phone numbers into the logs.
_REQUEST_ID = re.compile(
    r"[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}|[0-7][0-9a-hjkmnp-tv-z]{25}", re.I
)


class Observed:
    """Around the whole app, its answers to unexpected errors included."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: Collection[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; its id is answered in `X-Request-Id`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route = scope["path"] if scope["path"] in self._routes else OTHER
        method = scope["method"] if scope["method"] in METHODS else OTHER
        headers = Headers(scope=scope)
        answer = _Answer(send, request_id_of(headers.get(REQUEST_ID_HEADER)))
        self._metrics.in_flight.inc()
        with (
            request_span(method, route, answer.request_id, headers) as span,
            handling(
                RequestContext(answer.request_id, route, span.trace_id, headers.get("accept-language"))
            ) as request,
        ):
            try:
                await self._app(scope, receive, answer)
            except Exception:
                logger.exception("unexpected error")
                # An answer that is complete tells the caller; only one that broke off must break the connection too.
                if not answer.complete:
                    raise
            finally:
                self._metrics.in_flight.dec()
                self._count(request, answer)
                self._log(method, request, answer)
                span.answered(answer.status, request.error, request.model_version)

    def _count(self, request: RequestContext, answer: _Answer) -> None:
        if answer.status is not None:
            self._metrics.requests.labels(request.route, str(answer.status)).inc()
            self._metrics.seconds.labels(request.route).observe(answer.seconds)
        if request.error is not None:
            self._metrics.errors.labels(request.route, request.error).inc()

    @staticmethod
    def _log(method: str, request: RequestContext, answer: _Answer) -> None:
        level = logging.DEBUG if request.route in QUIET and answer.status == 200 else logging.INFO
        logger.log(
            level,
            "answered" if answer.complete else "not answered to the end",
            extra={
                "method": method,
                "status": answer.status,
                "ms": round(1000 * answer.seconds, 2),
                "model_version": request.model_version,
                "error": request.error,
            },
        )


class _Answer:
    """What is sent: its status, the time until it began, and whether it came to its end."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._begin = perf_counter()
        self._seconds: float | None = None
        self.request_id = request_id
        self.status: int | None = None
        self.complete = False

    @property
    def seconds(self) -> float:
        """From the request to the first byte of its answer, or until now where there is none."""
        return perf_counter() - self._begin if self._seconds is None else self._seconds

    async def __call__(self, message: Message) -> None:
        """Send `message`, the id among its headers."""
        if message["type"] == "http.response.start":
            self._seconds = perf_counter() - self._begin
            self.status = message["status"]
            name = (REQUEST_ID_HEADER.encode(), self.request_id.encode())
            message = {**message, "headers": [*message.get("headers", ()), name]}
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True


def request_id_of(given: str | None) -> str:
    """The caller's id of the request where it is well formed, else a new one."""
    return given if given is not None and _REQUEST_ID.fullmatch(given) else uuid4().hex
