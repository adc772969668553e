"""The event log of the HTTP service: what was acknowledged is kept, exactly once, whatever dies.

One interface. `segment_log` is the embedded log, files on this machine's disk; `kafka_log` writes to a broker. The same
contract suite (`tests/contract/test_event_log.py`) runs against both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from intent_tracking.settings import Settings


class LogRefusedError(OSError):
    """The log refused the lines of a call, and holds none of them. Any other OSError leaves open whether it does."""


class EventLog(Protocol):
    """An append-only log of lines that many processes write at once. Thread-safe."""

    max_line_bytes: int
    """The longest line that it takes."""

    def append(self, lines: Sequence[bytes]) -> None:
        """Write `lines` and return when they are safe.

        Raises:
            ValueError: a line is empty, holds a newline, begins with a space or is too long; nothing of this call is
                written.
            LogRefusedError: nothing of this call is in the log.
            OSError: the log failed, and it is not known whether the lines are in it.
        """
        ...

    def mark(self) -> str:
        """Who writes, and where what it appends from now on will stand: enough to find it after the writer died.

        Raises:
            OSError: the log cannot be reached.
        """
        ...

    def is_abandoned(self, mark: str) -> bool:
        """Whether nothing can be appended any more by the call that took `mark`: its writer is this very one, or dead.

        The caller knows which calls of this writer are still under way, and does not ask about their marks.
        """
        ...

    def since(self, mark: str) -> Iterator[bytes]:
        """Lines from `mark` on, among them all that its writer appended after it.

        Raises:
            OSError: the log cannot be read.
        """
        ...

    def close(self) -> None:
        """Give files and connections back."""
        ...


def open_event_log(settings: Settings) -> EventLog:
    """The log that `INTENT_EVENT_LOG_KAFKA` names, else segments under the home directory.

    Raises:
        OSError: the broker cannot be reached.
        ModuleNotFoundError: a broker is named and its client is not installed.
    """
    if settings.event_log_kafka is None:
        from intent_tracking.events.segment_log import SegmentLog

        return SegmentLog(settings.event_log)
    from intent_tracking.events.kafka_log import KafkaLog

    return KafkaLog(settings.event_log_kafka.get_secret_value())


def require_lines(lines: Sequence[bytes], max_bytes: int) -> None:
    """Refuse what would break a log of lines.

    Raises:
        ValueError: a line is empty, holds a newline, begins with a space or has more than `max_bytes`.
    """
    for line in lines:
        if not line or b"\n" in line or line.startswith(b" "):
            raise ValueError(
                "a log line must hold text, no newline and no space before it: write one JSON document a line"
            )
        if len(line) > max_bytes:
            raise ValueError(f"a log line has {len(line)} bytes, and this log takes {max_bytes}")
