"""What a call can end in, other than its answer."""

from __future__ import annotations


class IntentClientError(Exception):
    """A call to the intent service failed. Catch this one to catch them all."""


class ServiceError(IntentClientError):
    """The service answered with an error: `{"error": {"code", "message", "field"?}}`.

    Attributes:
        status: the HTTP status.
        code: what went wrong, for programs; `http_<status>` where something before the service answered.
        message: the same for people.
        field: the path of the offending field, where there is one.
        retry_after: seconds after which the service wants to be asked again, where it says so.
    """

    def __init__(
        self, status: int, code: str, message: str, field: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{status} {code}: {message}" + (f" (field {field})" if field else ""))
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.retry_after = retry_after


class NoAnswerError(IntentClientError):
    """No answer came: the service cannot be reached, the connection broke, or the time was up."""


class UnexpectedAnswerError(IntentClientError):
    """The answer is not what the operation answers: something else than the service, or another version, is there."""


class NotDeliveredError(IntentClientError):
    """A buffer still holds events after the time it was given. They stay in it.

    Attributes:
        pending: how many.
    """

    def __init__(self, pending: int, cause: Exception | None) -> None:
        super().__init__(f"{pending} events are not delivered yet; last failure: {cause or 'none'}")
        self.pending = pending


class EventError(ValueError):
    """An event cannot be sent as JSON; the message names the field."""


class OutboxError(RuntimeError):
    """The folder of a buffer cannot be used."""


class OutboxFullError(OutboxError):
    """The buffer holds as much as it may, and the event was not taken in."""
