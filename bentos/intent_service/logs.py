"""One shape for every log line of the service's processes: JSON or text, with the request it belongs to.

No line holds personal data. Ours are written without texts, ids of persons and query strings; of an exception its type
and the places of its trace are logged and not its message, which may quote what a shopper wrote.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from traceback import extract_tb
from typing import Any, Literal

from bentos.intent_service.request_context import current_request

# Of an answered request, given as `extra` by the one who logs it.
ANSWER_FIELDS = ("method", "status", "ms", "model_version", "error")
OURS = ("bentos", "intent_tracking", "bentoml")
MAX_FRAMES = 20

LogFormat = Literal["json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure_logging(log_format: LogFormat, level: LogLevel) -> None:
    """Send every logger of this process to standard output in one shape, BentoML's, uvicorn's and warnings included.

    `level` holds for our own loggers and BentoML's; of all others, warnings and errors are kept.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for logger in [each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger)]:
        logger.handlers.clear()
        logger.propagate = True
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())
    logging.captureWarnings(True)


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time (UTC), level, message, logger, then those of the request and the exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; ASCII, so that no terminal, pipe or locale can spoil it."""
        return json.dumps(fields_of(record), separators=(",", ":"))


class TextFormatter(logging.Formatter):
    """A record as one line for people."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; control characters of a message are escaped, so that it stays one."""
        fields = fields_of(record)
        head = (fields.pop("time"), fields.pop("level").ljust(7), fields.pop("logger"), fields.pop("message"))
        rest = (f"{name}={value}" for name, value in fields.items())
        return " ".join((*head, *rest)).translate(_CONTROL)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says of `record`, in order; a field without a value is left out."""
    fields: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "message": _message(record),
        "logger": record.name,
    }
    request = current_request()
    if request is not None:
        fields["request_id"] = request.request_id
        fields["route"] = request.route
        if request.trace_id is not None:
            fields["trace_id"] = request.trace_id
    for name in ANSWER_FIELDS:
        value = getattr(record, name, None)
        if value is not None:
            fields[name] = value
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        fields["exception"] = " from ".join(_type_name(each) for each in _chain(error))
        fields["trace"] = [f"{at.filename}:{at.lineno} {at.name}" for at in extract_tb(error.__traceback__)][
            -MAX_FRAMES:
        ]
    return fields


def _message(record: logging.LogRecord) -> str:
    message = record.getMessage()
    # asyncio's further lines are the repr of a task, which shows the exception it ended with.
    return message.partition("\n")[0] if record.name == "asyncio" else message


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}
