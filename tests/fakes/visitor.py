"""A shopper of its own for each test, so that tests may share a service."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

from tests.fakes.service_client import logged, message

_NUMBERS = count(0, 10_000)


class Visitor:
    """Writes messages to the desk of the service at `home`, numbered by the test, with ids that no other test uses."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._base = next(_NUMBERS)
        self.name = f"visitor-{self._base}"

    def message(self, number: int) -> dict[str, Any]:
        """An event; the same number is the same event."""
        return message(self._base + number, shopper=self.name)

    def event_id(self, number: int) -> str:
        """The id of the event of that number."""
        return f"e{self._base + number}"

    def in_log(self) -> list[dict[str, Any]]:
        """The events of this shopper in the event log of the service, in its order."""
        return [event for event in logged(self._home) if event.get("anonymous_id") == self.name]

    def numbers(self) -> list[int]:
        """The numbers of the events in the log."""
        return [int(event["event_id"][1:]) - self._base for event in self.in_log()]
