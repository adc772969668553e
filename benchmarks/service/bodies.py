"""The request bodies that the load generator sends, one a line: distinct texts, and events that nobody sent before."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from intent_tracking.events.contract import EventName, Scene
from intent_tracking.sessions.render import SessionEvent, render_session

# A shopper of the load sends this many events.
_EVENTS_OF_A_SHOPPER = 10
# Where `bodies.lua` writes how often it has been through the file.
_ROUND = "@round@"


def write_texts(path: Path, texts: Sequence[str], size: int) -> list[list[str]]:
    """Bodies of `/v1/intent` with `size` texts each; the texts of each body."""
    parts = [list(texts[start : start + size]) for start in range(0, len(texts) - size + 1, size)]
    _write(path, ({"texts": part} for part in parts))
    return parts


def write_events(path: Path, texts: Sequence[str], calls: int, size: int, *, again: bool = False) -> None:
    """Bodies of `/v1/track` with `size` new events each: messages of shoppers who send ten each.

    With `again` they are new events of other shoppers each time that the load generator begins the file anew.
    """
    _write(path, ({"events": events} for events in _calls(texts, calls, size, _ROUND if again else "")))


def session_texts(texts: Sequence[str], shoppers: int) -> list[list[str]]:
    """What the model reads of each shopper of `write_events` after the first event, the second, up to the last."""
    now = datetime.now(UTC)
    found = []
    for shopper in range(shoppers):
        numbers = range(shopper * _EVENTS_OF_A_SHOPPER, (shopper + 1) * _EVENTS_OF_A_SHOPPER)
        events = [
            SessionEvent(str(number), EventName.MESSAGE, now, Scene.CUSTOMER_SERVICE, text=texts[number % len(texts)])
            for number in numbers
        ]
        visits = (events[: 1 + place] for place in range(len(events)))
        found.append([render_session(Scene.CUSTOMER_SERVICE, visit).text for visit in visits])
    return found


def write_explanations(path: Path, texts: Sequence[str]) -> None:
    """Bodies of `/v1/explain`."""
    _write(path, ({"text": text} for text in texts))


def _calls(texts: Sequence[str], calls: int, size: int, of_round: str) -> Iterator[list[dict[str, Any]]]:
    run = uuid.uuid4().hex[:8] + of_round
    now = datetime.now(UTC).isoformat()
    for call in range(calls):
        numbers = range(call * size, (call + 1) * size)
        yield [
            {
                "event_id": f"{run}-{number}",
                "event_name": "message",
                "event_time": now,
                "anonymous_id": f"{run}-{number // _EVENTS_OF_A_SHOPPER}",
                "source": "benchmark",
                "params": {"text": texts[number % len(texts)]},
            }
            for number in numbers
        ]


def _write(path: Path, bodies: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(body) + "\n" for body in bodies)
