"""The HTTP surface: routes, their order of checks, and one shape for every error."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus

import orjson
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bentos.intent_service.access import Access, may
from bentos.intent_service.applications.profile import profile_of_session
from bentos.intent_service.applications.routes import APPLICATION_ROUTES, ApplicationRoute
from bentos.intent_service.batching import QueueFullError
from bentos.intent_service.body import read_record
from bentos.intent_service.browsers import SAFE_HEADERS, Cors, SafeHeaders
from bentos.intent_service.console.routes import PAGE_PATHS, console_routes
from bentos.intent_service.errors import ErrorCode, RequestError, error_response
from bentos.intent_service.limits import MAX_EVENTS, MAX_TEXTS
from bentos.intent_service.middleware import Deadline
from bentos.intent_service.observed import Observed
from bentos.intent_service.openapi import Operation, openapi_document
from bentos.intent_service.rates import RateLimit
from bentos.intent_service.request_context import note_model
from bentos.intent_service.runtime import Runtime
from bentos.intent_service.schemas import (
    EraseAnswer,
    EraseRequest,
    ExplainAnswer,
    ExplainRequest,
    Health,
    IntentAnswer,
    IntentRequest,
    ReleaseAnswer,
    TrackAnswer,
    TrackRequest,
)
from bentos.intent_service.shedding import LoadShedding
from bentos.intent_service.snippet import MEDIA_TYPE, SNIPPET_PATH, Snippet
from bentos.intent_service.tracking import StillHeldError
from intent_tracking.access.keys import Scope
from intent_tracking.access.ring import KeyRing
from intent_tracking.settings import Settings

logger = logging.getLogger(__name__)

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Handler = Callable[[Request], Awaitable[Response]]

_CORE = (
    Operation(
        path="/v1/track",
        method="post",
        name="track",
        summary="Record events; learn what their shoppers want.",
        description=(
            f"At most {MAX_EVENTS} events of any sessions, in any order. An accepted event is on disk before "
            "the answer leaves; one with a known event_id is counted as a duplicate and changes nothing; its "
            "session is answered. Each event is checked alone: `rejected` names those that were not accepted, by index "
            "and reason; an event more than three days old, or of a day to come, is one of them. "
            "Offsets in `key_information` count in the newest free text of the session, cleaned and without personal "
            "data. While no model is released, events are accepted all the same, `sessions` is empty "
            "and `model_version` null. It is empty too for a key without the scope `read`, such as one in a web page."
        ),
        request=TrackRequest,
        answer=TrackAnswer,
        scope=Scope.TRACK,
        example={
            "events": [
                {
                    "event_id": "e-1",
                    "event_name": "message",
                    "event_time": "2026-03-02T09:30:00Z",
                    "anonymous_id": "visitor-1",
                    "source": "web",
                    "params": {"text": "where is my parcel?"},
                }
            ]
        },
        errors=(400, 408, 413, 415, 422, 503),
    ),
    Operation(
        path="/v1/intent",
        method="post",
        name="intent",
        summary="Say what texts want.",
        description=(
            f"At most {MAX_TEXTS} texts of one scene; the predictions come in their order. Offsets in "
            "`key_information` count in the text as it was sent."
        ),
        request=IntentRequest,
        answer=IntentAnswer,
        scope=Scope.READ,
        example={"texts": ["where is my parcel?", "我想退货"], "scene": "customer_service"},
        errors=(400, 408, 413, 415, 422, 503),
    ),
    Operation(
        path="/v1/explain",
        method="post",
        name="explain",
        summary="Say which words of a text speak for its intent.",
        description=(
            "One text, as of /v1/intent. `weight` is what a word counts for the intent, in probability: above 0 it "
            "speaks for it, below 0 against it. Offsets count in the text as it was sent; `behaviour` names what the "
            "model was told beside the words. It takes the model the time of up to 131 texts of /v1/intent."
        ),
        request=ExplainRequest,
        answer=ExplainAnswer,
        scope=Scope.READ,
        example={"text": "where is my parcel?", "scene": "customer_service"},
        errors=(400, 408, 413, 415, 422, 503),
    ),
    Operation(
        path="/v1/erase",
        method="post",
        name="erase",
        summary="Remove one person.",
        description=(
            "Everything up to now: at once from live sessions, online features, and the logs of the service itself; by "
            "the erasure job, which starts by itself, from every other place in `left_to_job`; then it searches all "
            "files for what is left. The request is on disk before the answer leaves. A repeat is the same request, "
            "with a later moment. Events of the time before, which come late or again, are refused from now on."
        ),
        request=EraseRequest,
        answer=EraseAnswer,
        scope=Scope.ADMIN,
        example={"user_id": "u-1842"},
        errors=(400, 413, 415, 422, 503),
    ),
    Operation(
        path="/v1/release",
        method="get",
        name="release",
        summary="Name the release that is served.",
        description="What this process serves now, and why a newer release is not served where one was refused.",
        answer=ReleaseAnswer,
        scope=Scope.READ,
        errors=(503,),
    ),
    Operation(
        path="/livez",
        method="get",
        name="livez",
        summary="Say whether the process works.",
        description="Restart the process when this fails.",
        answer=Health,
        scope=None,
        errors=(503,),
    ),
    Operation(
        path="/readyz",
        method="get",
        name="readyz",
        summary="Say whether a model serves.",
        description="Send requests elsewhere while this fails.",
        answer=Health,
        scope=None,
        errors=(503,),
    ),
    Operation(
        path="/metrics",
        method="get",
        name="metrics",
        summary="Give the figures for Prometheus.",
        description="In the Prometheus text format.",
        answer="text/plain",
        scope=Scope.READ,
    ),
    Operation(
        path=SNIPPET_PATH,
        method="get",
        name="snippet",
        summary="Give the script for the pages of a shop.",
        description="It sends what shoppers do to /v1/track.",
        answer=MEDIA_TYPE,
        scope=None,
    ),
)
OPERATIONS = (*_CORE, *(route.operation for route in APPLICATION_ROUTES))


def create_app(runtime: Runtime, settings: Settings) -> ASGIApp:
    """The service as an ASGI app around `runtime`, which the caller starts and closes; keys open it to others.

    Raises:
        KeyFileError: the key file cannot be read.
    """

    async def track(request: Request) -> Response:
        answer = await runtime.track((await read_record(request, TrackRequest)).events)
        if not may(request, Scope.READ):
            # Whoever has the key of a web page could ask for anybody's session by sending an event to it.
            answer = answer.model_copy(update={"sessions": []})
        return _json(answer)

    async def intent(request: Request) -> Response:
        answer = await runtime.intent(await read_record(request, IntentRequest))
        note_model(answer["model_version"])
        return Response(orjson.dumps(answer), media_type="application/json")

    async def explain(request: Request) -> Response:
        return _json(await runtime.explain(await read_record(request, ExplainRequest)))

    async def erase(request: Request) -> Response:
        return _json(await runtime.erase((await read_record(request, EraseRequest)).user_id))

    async def release(_: Request) -> Response:
        return _json(runtime.release())

    async def livez(_: Request) -> Response:
        runtime.require_alive()
        return _json(Health(status="alive"))

    async def readyz(_: Request) -> Response:
        runtime.require_model()
        return _json(Health(status="ready"))

    async def metrics(_: Request) -> Response:
        return Response(await runtime.render_metrics(), media_type=METRICS_TYPE)

    script = Snippet()

    async def snippet(request: Request) -> Response:
        return script.answer(request)

    def application(route: ApplicationRoute) -> Handler:
        async def answer(request: Request) -> Response:
            assert route.operation.request is not None  # noqa: S101 - every application asks something
            return _json(await route.answer(runtime, await read_record(request, route.operation.request)))

        return answer

    document = orjson.dumps(openapi_document(OPERATIONS))

    async def docs(_: Request) -> Response:
        return Response(document, media_type="application/json")

    handlers: dict[str, Handler] = {
        "track": track,
        "intent": intent,
        "explain": explain,
        "erase": erase,
        "release": release,
        "livez": livez,
        "readyz": readyz,
        "metrics": metrics,
        "snippet": snippet,
        **{route.operation.name: application(route) for route in APPLICATION_ROUTES},
    }
    routes = [
        Route(operation.path, handlers[operation.name], methods=[operation.method.upper()]) for operation in OPERATIONS
    ]
    routes.append(Route("/docs.json", docs, methods=["GET"]))
    routes += console_routes(runtime.console.streams, runtime.console.papers, partial(profile_of_session, runtime))
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(SafeHeaders),
            Middleware(Cors, origins=settings.origins),
            Middleware(
                Access,
                ring=KeyRing(settings.key_file, settings.keys),
                # The files of the page hold no data, and the page is where a person gives a key.
                scopes={operation.path: operation.scope for operation in OPERATIONS} | dict.fromkeys(PAGE_PATHS),
            ),
            Middleware(RateLimit, settings.requests_per_second, settings.public_requests_per_second),
            Middleware(
                LoadShedding,
                [operation.path for operation in OPERATIONS if operation.waits],
                settings.max_in_flight,
                settings.max_wait_seconds,
            ),
            Middleware(Deadline, settings.request_seconds),
        ],
        exception_handlers={
            RequestError: _refused,
            QueueFullError: _queue_full,
            HTTPException: _http_error,
            StillHeldError: _still_held,
            OSError: _storage_error,
            sqlite3.Error: _storage_error,
            Exception: _unexpected,
        },
    )
    # A path that is nearly right is wrong: a redirect would lead where the Host header of the caller says.
    app.router.redirect_slashes = False
    return Observed(app, runtime.metrics, [route.path for route in routes])


def _json(answer: BaseModel) -> Response:
    note_model(getattr(answer, "model_version", None))
    # A record of ours holds nothing that JSON cannot: pydantic checked it when it was made.
    return Response(answer.model_dump_json(by_alias=True), media_type="application/json")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101 - registered for this class alone
    return error.response()


async def _queue_full(_: Request, error: Exception) -> Response:
    return error_response(
        503, ErrorCode.OVERLOADED, f"{error}: send the request again later", headers={"Retry-After": "1"}
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    known = {
        HTTPStatus.NOT_FOUND: (ErrorCode.NOT_FOUND, f"there is no {request.url.path[:200]}; see /docs.json"),
        HTTPStatus.METHOD_NOT_ALLOWED: (
            ErrorCode.METHOD_NOT_ALLOWED,
            f"{request.url.path[:200]} does not take {request.method[:20]}",
        ),
    }
    default = (ErrorCode.INVALID_REQUEST if error.status_code < 500 else ErrorCode.INTERNAL, error.detail)
    code, message = known.get(HTTPStatus(error.status_code), default)
    return error_response(error.status_code, code, message, headers=dict(error.headers or {}))


async def _still_held(_: Request, error: Exception) -> Response:
    return error_response(503, ErrorCode.STORAGE, str(error), headers={"Retry-After": "5"})


async def _storage_error(_: Request, error: Exception) -> Response:
    # A full or failing disk: nothing was accepted, and saying so in time lets the caller keep its events.
    logger.error("storage refuses: %s", error)
    return error_response(
        503,
        ErrorCode.STORAGE,
        "the storage refuses to write; nothing of this request is accepted, send it again later",
        headers={"Retry-After": "5"},
    )


async def _unexpected(_: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, so that it is logged with its trace.
    # It is sent outside of our middleware, so it brings its own headers.
    return error_response(
        500,
        ErrorCode.INTERNAL,
        f"unexpected {type(error).__name__}; the service's log has the trace",
        headers=dict(SAFE_HEADERS),
    )
