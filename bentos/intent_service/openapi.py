"""The OpenAPI document, made from the records that the routes check against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import intent_tracking
from bentos.intent_service.errors import ErrorAnswer
from intent_tracking.access.keys import Scope

_REFERENCE = "#/components/schemas/{model}"
_JSON = "application/json"
_ERRORS: Mapping[int, str] = {
    400: "The body is not JSON, or is nested too deep.",
    401: "A key is missing or unknown.",
    403: "The key lacks the scope, or no keys are configured and the caller is not on this machine.",
    404: "Nothing is known of what is asked about.",
    408: "The body did not come in time.",
    413: "The body or a list or text in it is over a limit.",
    415: "The body is not application/json.",
    422: "A field is missing, unknown or of the wrong form.",
    429: "The key sends too many requests; wait as Retry-After says.",
    503: "No model is released yet, the storage refuses, or there is too much to do; wait as Retry-After says.",
    504: "The answer took too long; repeat the request.",
}


@dataclass(frozen=True)
class Operation:
    """One route of the interface; `scope` is what a key must allow, None where none is asked for."""

    path: str
    method: str
    name: str
    summary: str
    description: str
    answer: type[BaseModel] | str
    scope: Scope | None
    request: type[BaseModel] | None = None
    example: Mapping[str, Any] | None = None
    errors: tuple[int, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether its requests wait for one another, so that too many of them are shed."""
        return self.method == "post" and self.scope in (Scope.TRACK, Scope.READ)


def openapi_document(operations: tuple[Operation, ...]) -> dict[str, Any]:
    """The document of `operations`, OpenAPI 3.1."""
    models: set[type[BaseModel]] = {ErrorAnswer}
    for operation in operations:
        models |= {model for model in (operation.request, operation.answer) if not isinstance(model, str | None)}
    _, schemas = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template=_REFERENCE,
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Intent service",
            "version": intent_tracking.__version__,
            "description": "Tracks shopping sessions live and answers what each shopper wants.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    content = (
        {operation.answer: {"schema": {"type": "string"}}}
        if isinstance(operation.answer, str)
        else {_JSON: {"schema": _reference(operation.answer)}}
    )
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": operation.description,
        "responses": {
            "200": {"description": "The answer.", "content": content},
            **{
                str(status): {
                    "description": _ERRORS[status],
                    "content": {_JSON: {"schema": _reference(ErrorAnswer)}},
                }
                for status in sorted({*operation.errors, *(() if operation.scope is None else (401, 403, 429)), 504})
            },
        },
    }
    if operation.request is not None:
        body: dict[str, Any] = {"schema": _reference(operation.request)}
        if operation.example is not None:
            body["example"] = operation.example
        described["requestBody"] = {"required": True, "content": {_JSON: body}}
    # Keys are asked for only where some are configured; a bearer scheme lists what the key must allow.
    described["security"] = [] if operation.scope is None else [{}, {"key": [operation.scope.value]}]
    return described


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model.__name__)}
