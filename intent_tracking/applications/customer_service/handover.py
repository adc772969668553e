"""What a person gets to know who takes over: the question, what was understood, and what happened before."""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import orjson

from intent_tracking.applications.customer_service.answering import Answer
from intent_tracking.events.segment_log import ERASED
from intent_tracking.inference import ModelInput, Prediction
from intent_tracking.prediction_log import prediction_segments
from intent_tracking.sessions.render import SessionEvent, scrubbed_text
from intent_tracking.sessions.state import LiveSession

EVENTS_SHOWN: Final = 10
_ITEMS_SHOWN: Final = 3
_INTENTS_SHOWN: Final = 3


class HandoverError(Exception):
    """A line of the log of handovers is none; the message names file and line."""


@dataclass(frozen=True)
class Handover:
    """One conversation that a person takes over; every text in it is clean and without personal data."""

    handover_id: str
    time: datetime
    shopper_id: str | None
    session_id: str | None
    language: str
    question: str
    intent: str | None
    intents: tuple[tuple[str, float], ...]
    key_information: tuple[tuple[str, str], ...]
    said: str
    passages: tuple[tuple[str, float], ...]
    events: tuple[dict[str, Any], ...]


def summary(
    answer: Answer,
    question: str,
    entry: ModelInput,
    prediction: Prediction,
    session: LiveSession | None,
    now: datetime,
) -> Handover:
    """What the person reads who takes over from `answer`: the `question` as it was written, less personal data."""
    return Handover(
        handover_id=uuid.uuid4().hex,
        time=now.astimezone(UTC),
        shopper_id=session.shopper_id if session else None,
        session_id=session.session_id if session else None,
        language=entry.language,
        question=scrubbed_text(question),
        intent=answer.intent,
        intents=tuple((each.name, round(each.probability, 4)) for each in prediction.intents[:_INTENTS_SHOWN]),
        # Of the text as the model read it, in which personal data is masked.
        key_information=tuple((each.name, each.value) for each in prediction.key_information),
        # A template says what the shopper gave, as the shopper wrote it.
        said=scrubbed_text(answer.text),
        passages=tuple((found.passage.id, round(found.score, 4)) for found in answer.candidates),
        events=tuple(map(_event, session.events[-EVENTS_SHOWN:])) if session else (),
    )


class HandoverLog:
    """Handovers in lines of JSON, `day=YYYY-MM-DD/<writer>.jsonl`: on the disk when `append` returns."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._segment = _new_segment()

    def append(self, handover: Handover) -> None:
        """Keep one handover.

        Raises:
            OSError: the disk refuses; nothing of the handover is kept.
        """
        folder = self._root / f"day={handover.time:%Y-%m-%d}"
        line = orjson.dumps(asdict(handover), option=orjson.OPT_APPEND_NEWLINE)
        with self._lock:
            folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder / f"{self._segment}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
            try:
                written = 0
                while written < len(line):
                    written += os.write(handle, line[written:])
                os.fsync(handle)
            except OSError:
                # A part of the line may be there. Readers skip a torn line at the end of a segment, nowhere else.
                self._segment = _new_segment()
                raise
            finally:
                os.close(handle)


def read_handovers(root: Path) -> Iterator[dict[str, Any]]:
    """Every handover below `root` as a document, oldest day first; erased ones are left out.

    Raises:
        HandoverError: a whole line is no JSON object.
    """
    for _, path in prediction_segments(root):
        whole, _, _ = path.read_bytes().rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), start=1):
            if line.startswith(ERASED):
                continue
            try:
                yield dict(json.loads(line))
            except (ValueError, TypeError) as error:
                raise HandoverError(f"{path}:{number}: is no handover ({error}); move the file away") from error


def _new_segment() -> str:
    """A name that no other writer has, nor this one had before."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


def _event(event: SessionEvent) -> dict[str, Any]:
    """An event as a person reads it; its words were made clean when the session took it in."""
    items: Sequence[str | None] = [item.item_name or item.item_id for item in event.items[:_ITEMS_SHOWN]]
    words = event.text or event.search_term
    return {
        "time": event.event_time.isoformat(),
        "event": str(event.event_name),
        **({"words": words} if words else {}),
        **({"items": [name for name in items if name]} if any(items) else {}),
    }
