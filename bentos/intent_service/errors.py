"""The one shape of every error answer: `{"error": {"code", "message", "field"?}}`."""

from __future__ import annotations

from enum import StrEnum

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from bentos.intent_service.request_context import note_error
from intent_tracking.events.problems import field_of, in_words


class ErrorCode(StrEnum):
    """What went wrong, for programs; the message is for people."""

    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    LOOPBACK_ONLY = "loopback_only"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    TOO_MANY_REQUESTS = "too_many_requests"
    NO_MODEL = "no_model"
    NOT_RELEASED = "not_released"
    NOT_CONFIGURED = "not_configured"
    STORAGE = "storage"
    TIMEOUT = "timeout"
    OVERLOADED = "overloaded"
    INTERNAL = "internal"


class ErrorDetail(BaseModel):
    """One error; `field` is the path of the offending field where there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: ErrorCode
    message: str
    error_field: str | None = Field(default=None, alias="field")


class ErrorAnswer(BaseModel):
    """The body of every answer that is not 2xx."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    error: ErrorDetail


class RequestError(Exception):
    """Refuses a request with `status` and the one error shape."""

    def __init__(
        self,
        status: int,
        code: ErrorCode,
        message: str,
        field: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = headers

    def response(self) -> Response:
        """The answer."""
        return error_response(self.status, self.code, self.message, self.field, self.headers)


def error_response(
    status: int, code: ErrorCode, message: str, field: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    """An error answer in the one shape; the current request is counted and logged with its code."""
    note_error(code.value)
    detail = {"code": code.value, "message": message} | ({"field": field} if field else {})
    return Response(orjson.dumps({"error": detail}), status, headers, media_type="application/json")


def from_validation(error: ValidationError) -> RequestError:
    """The refusal for a body of the wrong form: its first problem. Values are left out, they may be personal data."""
    first = error.errors(include_url=False, include_input=False)[0]
    # A list over its limit is a request that is too large, not a malformed one.
    too_large = first["type"] in ("too_long", "string_too_long")
    return RequestError(
        413 if too_large else 422,
        ErrorCode.TOO_LARGE if too_large else ErrorCode.INVALID_REQUEST,
        in_words(first),
        field_of(first) or None,
    )
