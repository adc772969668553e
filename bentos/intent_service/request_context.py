"""The request that this code works for, known to its log lines, counts and spans in every thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

_LONGEST_HEADER = 1_000
_QUALITY = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.I)

Given = ParamSpec("Given")
Result = TypeVar("Result")


@dataclass(slots=True)
class RequestContext:
    """One request while it is answered; `model_version` and `error` (an error code) are noted on the way."""

    request_id: str
    route: str
    trace_id: str | None = None
    accept_language: str | None = None
    model_version: str | None = None
    error: str | None = None


_CURRENT: ContextVar[RequestContext | None] = ContextVar("request", default=None)


def current_request() -> RequestContext | None:
    """The request that the caller works for; None in threads of the process itself and in shared batches."""
    return _CURRENT.get()


@contextmanager
def handling(request: RequestContext) -> Iterator[RequestContext]:
    """Make `request` the current one, also of what is started inside."""
    token = _CURRENT.set(request)
    try:
        yield request
    finally:
        _CURRENT.reset(token)


def note_model(version: str | None) -> None:
    """Say which model answers the current request."""
    request = _CURRENT.get()
    if request is not None:
        request.model_version = version


def note_error(code: str) -> None:
    """Say with which error code the current request is answered."""
    request = _CURRENT.get()
    if request is not None:
        request.error = code


def preferred_language(offered: Sequence[str], default: str) -> str:
    """Which of `offered` the caller of the current request prefers by Accept-Language (RFC 9110, 12.5.4).

    Primary tags are compared: zh-CN takes zh. `default` where the header is absent, unreadable, or names none of them.
    """
    request = _CURRENT.get()
    header = request.accept_language if request is not None else None
    best, weight = default, 0.0
    for part in (header or "")[:_LONGEST_HEADER].split(","):
        tag, _, parameter = part.strip().partition(";")
        found = _QUALITY.fullmatch(parameter.strip())
        quality = 1.0 if not parameter else float(found.group(1)) if found else 0.0
        primary = tag.strip().partition("-")[0].lower()
        primary = default if primary == "*" else primary
        if primary in offered and quality > weight:
            best, weight = primary, quality
    return best


class RequestExecutor(ThreadPoolExecutor):
    """Threads that work for the request which gave them the work: an event loop's executors forget it."""

    def submit(self, fn: Callable[Given, Result], /, *args: Given.args, **kwargs: Given.kwargs) -> Future[Result]:
        """Run `fn` in a thread, in a copy of the caller's context."""
        return super().submit(copy_context().run, partial(fn, *args, **kwargs))
