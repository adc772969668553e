"""What the service logs, as its operator reads it: the process's standard output."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bentos.intent_service.logs import OURS, LogFormat, LogLevel, configure_logging


class LogLines:
    """Lines so far, since the last `take`."""

    def __init__(self) -> None:
        self.output = io.StringIO()

    def take(self) -> str:
        """The text of the lines."""
        text = self.output.getvalue()
        self.output.seek(0)
        self.output.truncate()
        return text

    def records(self) -> list[dict[str, Any]]:
        """The lines, each a JSON object."""
        return [json.loads(line) for line in self.take().splitlines()]


@contextmanager
def logging_configured(log_format: LogFormat = "json", level: LogLevel = "info") -> Iterator[LogLines]:
    """Log as the service does, and give the test's own logging back on leaving."""
    for name in OURS:
        logging.getLogger(name)  # else those made below would keep their level
    loggers = [each for each in logging.root.manager.loggerDict.values() if isinstance(each, logging.Logger)]
    before = [(each, each.level, list(each.handlers), each.propagate) for each in (logging.root, *loggers)]
    lines, stdout = LogLines(), sys.stdout
    sys.stdout = lines.output
    try:
        configure_logging(log_format, level)
        yield lines
    finally:
        sys.stdout = stdout
        logging.captureWarnings(False)
        for logger, old_level, handlers, propagate in before:
            logger.setLevel(old_level)
            logger.handlers[:] = handlers
            logger.propagate = propagate
