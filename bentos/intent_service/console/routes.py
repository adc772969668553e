"""The routes of the console: the page, its files, and the stream that it lives on."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bentos.intent_service.access import check_again
from bentos.intent_service.body import read_record
from bentos.intent_service.console.papers import REPORTS, Papers
from bentos.intent_service.console.stream import Streams
from bentos.intent_service.errors import ErrorCode, RequestError
from intent_tracking.events.contract import Identifier

STATIC: Final = Path(__file__).parent / "static"
PAGE_PATH: Final = "/"
FILES_PATH: Final = "/console/"
STREAM_PATH: Final = "/console/stream"
PROFILE_PATH: Final = "/console/profile"
INSIGHTS_PATH: Final = "/console/insights"

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
    "application.js",
    "recommend.js",
    "risk.js",
    "profile.js",
    "answer.js",
    "audiences.js",
    "insights.js",
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


class SessionRequest(BaseModel):
    """Which session is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    session_id: Identifier


def console_routes(streams: Streams, papers: Papers, profile_of: Callable[[str], Awaitable[BaseModel]]) -> list[Route]:
    """Routes of the page, its stream and what it asks; they are the page's own and stand in no OpenAPI document.

    `profile_of` a session: the page knows no name of a shopper, and so learns none.
    """
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

    async def profile(request: Request) -> Response:
        asked = await read_record(request, SessionRequest)
        try:
            return _json(await profile_of(asked.session_id))
        except RequestError as refusal:
            if refusal.code != ErrorCode.NOT_FOUND:
                raise
            # No failure of the page, which asks about whoever is there: null says that nothing is known.
            return Response(b"null", media_type="application/json")

    async def insights(request: Request) -> Response:
        language = request.query_params.get("language", "en")
        if language not in REPORTS:
            raise RequestError(422, ErrorCode.INVALID_REQUEST, f"language is one of {', '.join(REPORTS)}", "language")
        report = await asyncio.to_thread(papers.insights, language)
        if report is None:
            raise RequestError(404, ErrorCode.NOT_FOUND, "no report is written yet: materialize insights_report")
        return _json(report)

    return [
        Route(PROFILE_PATH, profile, methods=["POST"]),
        Route(INSIGHTS_PATH, insights, methods=["GET"]),
        Route(STREAM_PATH, stream, methods=["GET"]),
        *(Route(path, page_file, methods=["GET"]) for path in files),
    ]


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _number(given: str | None) -> int | None:
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise RequestError(
            422, ErrorCode.INVALID_REQUEST, "Last-Event-ID is a number that this stream gave", "last-event-id"
        )
    return int(given)
