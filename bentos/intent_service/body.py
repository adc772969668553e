"""From the bytes of a request to a checked record, without trusting any of them."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from bentos.intent_service.errors import ErrorCode, RequestError, from_validation
from bentos.intent_service.limits import MAX_BODY_BYTES, MAX_DEPTH

Model = TypeVar("Model", bound=BaseModel)


async def read_record(request: Request, model: type[Model]) -> Model:
    """The body of `request` as a `model`.

    Raises:
        RequestError: the body is no JSON, is too large or too deep, or is not of the form of `model`.
    """
    _check_media_type(request)
    value = parse_json(await _read(request))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise from_validation(error) from error


def parse_json(body: bytes) -> Any:
    """The value of strict JSON: no NaN, no lone surrogates, no number beyond a double, not deeper than MAX_DEPTH.

    Raises:
        RequestError: with the place of the mistake.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, ErrorCode.INVALID_JSON, f"the body is not JSON: {error}") from error
    # Every level opens with a bracket: few brackets cannot be deep, and the walk is saved for most requests.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise RequestError(400, ErrorCode.INVALID_JSON, f"the body is nested deeper than {MAX_DEPTH} levels")
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    level = [value]
    for _ in range(levels + 1):
        level = [
            child
            for container in level
            if isinstance(container, dict | list)
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _check_media_type(request: Request) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestError(
            415, ErrorCode.UNSUPPORTED_MEDIA_TYPE, "send the header Content-Type: application/json", "content-type"
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError(
            415, ErrorCode.UNSUPPORTED_MEDIA_TYPE, "send the body without compression", "content-encoding"
        )


async def _read(request: Request) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY_BYTES:
                raise _too_large()
            parts.append(part)
    except ClientDisconnect as error:
        raise RequestError(400, ErrorCode.INVALID_REQUEST, "the connection ended before the body did") from error
    return b"".join(parts)


def _too_large() -> RequestError:
    return RequestError(
        413, ErrorCode.TOO_LARGE, f"the body is larger than {MAX_BODY_BYTES} bytes; send fewer events or texts a call"
    )
