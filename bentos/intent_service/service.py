"""The BentoML service: packaging, worker processes and shutdown around our own ASGI app.

BentoML's endpoint layer is left aside (docs/adr/0005-own-http-surface.md): it has no request limit, answers errors in
two shapes, and logs the values of requests that it refuses. Every HTTP request goes to `create_app`.
"""

from __future__ import annotations

import sys
from typing import Any, Final

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from bentos.intent_service.logs import configure_logging
from bentos.intent_service.parent import announce_parent, end_with_parent
from bentos.intent_service.tracing import start_tracing, stop_tracing
from intent_tracking.settings import load_settings

SWITCH_SECONDS: Final = 0.0005


class OwnSurface:
    """Hands every HTTP request to the app of the running service; only the start and stop of BentoML's app remain."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer from our own app."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        else:
            await bentoml.get_current_service().app(scope, receive, send)


# Read when BentoML reads this file: how many processes it starts is for it to know before there is one.
@bentoml.service(
    workers=load_settings().workers,
    # The app counts by itself: BentoML's figures take any path of a caller as a label, its log a line for each request.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class IntentService:
    """Tracks shopping sessions live and answers what each shopper wants."""

    @bentoml.on_deployment
    @staticmethod
    def prepare() -> None:
        """In BentoML's parent process, before its workers: its log lines have the shape of theirs."""
        announce_parent()
        settings = load_settings()
        configure_logging(settings.log_format, settings.log_level)

    def __init__(self) -> None:
        # Here, because BentoML's parent process imports this module too and has no use for torch.
        from bentos.intent_service.app import create_app
        from bentos.intent_service.runtime import Runtime

        settings = load_settings()
        configure_logging(settings.log_format, settings.log_level)
        end_with_parent()
        # A request passes between the event loop, the storage threads and the model's. Each of them waits for the
        # interpreter for up to this long where another thread is busy in it, as the prediction log's is every two
        # seconds: with Python's own five milliseconds a request would wait for twenty.
        sys.setswitchinterval(SWITCH_SECONDS)
        worker = bentoml.server_context.worker_index or 1
        self.runtime = Runtime(settings, worker=worker)
        if settings.otlp_endpoint:
            start_tracing(settings.otlp_endpoint, settings.trace_share, worker)
        self.runtime.start()
        self.app = create_app(self.runtime, settings)

    @bentoml.on_shutdown
    def close(self) -> None:
        """Finish and write what is under way."""
        self.runtime.close()
        stop_tracing()


class _Outermost(type(IntentService)):  # type: ignore[misc]
    """BentoML's service with our surface around everything of BentoML's, where `add_asgi_middleware` puts it inside.

    What BentoML wraps around its middlewares costs a request as much as all of ours together, answers in shapes of its
    own, and keeps a timer and a future of every request until its time-out has passed: memory that grows for an hour,
    and that each full garbage collection walks (bentoml 1.4.39, TimeoutMiddleware and OpenTelemetryMiddleware).
    """

    __slots__ = ()

    def to_asgi(self, *args: Any, **options: Any) -> ASGIApp:
        """The app that a worker serves."""
        return OwnSurface(super().to_asgi(*args, **options))


IntentService.__class__ = _Outermost
