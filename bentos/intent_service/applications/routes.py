"""Every route of an application: what it is to callers, and who answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from bentos.intent_service.applications import answer, profile, recommend, risk
from bentos.intent_service.openapi import Operation
from bentos.intent_service.runtime import Runtime


@dataclass(frozen=True)
class ApplicationRoute:
    """An operation, and the coroutine that answers its request: it gets the runtime and a checked `request` record."""

    operation: Operation
    answer: Callable[[Runtime, Any], Awaitable[BaseModel]]


APPLICATION_ROUTES: Final[tuple[ApplicationRoute, ...]] = (
    ApplicationRoute(answer.OPERATION, answer.answer),
    ApplicationRoute(profile.OPERATION, profile.answer_profile),
    ApplicationRoute(recommend.OPERATION, recommend.answer_recommend),
    ApplicationRoute(risk.OPERATION, risk.answer),
)
