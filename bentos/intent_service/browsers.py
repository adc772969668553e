"""What browsers are told: which pages may read an answer (CORS), and what they must not do with one."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.intent_service.errors import ErrorCode, error_response

_PREFLIGHT_SECONDS = 3600
_NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
# A page of ours: its own files and calls, nothing inline, nothing from elsewhere, in nobody's frame.
_OWN_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# Answers are about shoppers: no cache keeps them, no browser guesses their type, no link tells where it stood.
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": _NO_PAGE,
}

# As ASGI has them, since every answer gets them.
_OF_ANSWERS = [(name.lower().encode(), value.encode()) for name, value in SAFE_HEADERS.items()]
_OF_PAGES = [*_OF_ANSWERS[:-1], (b"content-security-policy", _OWN_PAGE.encode())]


class SafeHeaders:
    """Adds SAFE_HEADERS to every answer; one that sets such a header itself keeps its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete the headers of its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def completed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                present = dict(headers)
                is_page = present.get(b"content-type", b"").startswith(b"text/html")
                added = _OF_PAGES if is_page else _OF_ANSWERS
                message["headers"] = headers + [header for header in added if header[0] not in present]
            await send(message)

        await self._app(scope, receive, completed)


class Cors(CORSMiddleware):
    """Lets pages of exactly these origins call, without cookies; a preflight request carries no key and needs none."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=sorted(origins),
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Type", "X-Request-ID", "traceparent"),
            expose_headers=("Retry-After", "X-Request-ID"),
            max_age=_PREFLIGHT_SECONDS,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to the question whether a page may send a request; a refusal in our own shape."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        message = "this origin, method or header is not allowed here: INTENT_CORS_ORIGINS lists the origins"
        return error_response(403, ErrorCode.FORBIDDEN, message, headers={"Vary": "Origin"})
