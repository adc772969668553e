"""The routes of the console: the page, its files, and the stream that it lives on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bentos.intent_service.access import check_again
from bentos.intent_service.console.stream import Streams
from bentos.intent_service.errors import ErrorCode, RequestError

STATIC: Final = Path(__file__).parent / "static"
PAGE_PATH: Final = "/"
FILES_PATH: Final = "/console/"
STREAM_PATH: Final = "/console/stream"

_FILES: Final = (
    "index.html",
    "icon.svg",
    "console.css",
    "console.js",
    "stream.js",
    "sessions.js",
    "views.js",
    "chart.js",
    "panels.js",
    "language.js",
    "words.js",
    "shopper.js",
    "dom.js",
)
_PLACES: Final = {PAGE_PATH if name == "index.html" else FILES_PATH + name: STATIC / name for name in _FILES}
PAGE_PATHS: Final = tuple(_PLACES)
_MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """A file of the page, in memory."""

    content: bytes
    media_type: str
    tag: str

    def answer(self, request: Request) -> Response:
        """The file, or 304 where the browser has it."""
        # No cache but the browser's own, and that one asks each time: a new release of the service is a new page.
        headers = {"ETag": self.tag, "Cache-Control": "no-cache"}
        if self.tag in request.headers.get("if-none-match", ""):
            # With its type, by which it gets its policy: a browser takes the headers of a 304 for those it has kept.
            return Response(status_code=304, headers=headers, media_type=self.media_type)
        return Response(self.content, headers=headers, media_type=self.media_type)


def page_files() -> dict[str, PageFile]:
    """The files of the page by path. Fixed at start: no path of a caller ever reaches the disk."""
    files: dict[str, PageFile] = {}
    for path, place in _PLACES.items():
        content = place.read_bytes()
        tag = f'"{hashlib.sha256(content).hexdigest()[:20]}"'
        files[path] = PageFile(content, _MEDIA_TYPES[place.suffix], tag)
    return files


def console_routes(streams: Streams) -> list[Route]:
    """Routes of the page and of its stream; they are the page's own and stand in no OpenAPI document."""
    files = page_files()

    async def page_file(request: Request) -> Response:
        return files[request.url.path].answer(request)

    async def stream(request: Request) -> Response:
        after = _number(request.headers.get("last-event-id"))
        streams.admit()
        return StreamingResponse(
            streams.events(after, check_again(request.scope)),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"},
        )

    return [
        Route(STREAM_PATH, stream, methods=["GET"]),
        *(Route(path, page_file, methods=["GET"]) for path in files),
    ]


def _number(given: str | None) -> int | None:
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise RequestError(
            422, ErrorCode.INVALID_REQUEST, "Last-Event-ID is a number that this stream gave", "last-event-id"
        )
    return int(given)
