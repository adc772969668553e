"""What the service removes at once: live sessions, online features, and the segments that it writes itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final

import orjson

from intent_tracking.erasure.lines import erase_log_lines
from intent_tracking.events.erased import Told, erases_line, told_by
from intent_tracking.events.segment_log import ERASED, read_segment, segments
from intent_tracking.features.declaration import Entity
from intent_tracking.features.online import remove_online
from intent_tracking.prediction_log import prediction_segments
from intent_tracking.sessions.feed import SessionFeed
from intent_tracking.sessions.state import SessionStore
from intent_tracking.settings import Settings
from intent_tracking.tombstones import ANONYMOUS, Erasure, Erasures, Tombstones

SESSION_STATE: Final = "session_state"
CONSOLE_FEED: Final = "console_feed"
ONLINE_FEATURES: Final = "online_features"
EVENT_LOG: Final = "event_log"
PREDICTION_LOG: Final = "prediction_log"
HANDOVERS: Final = "handovers"
LEFT_TO_JOB: Final = ("landing", "annotations", "tables", "training")
LIVE_SECONDS: Final = 10.0
"""How long a request may search and erase segments; what it does not reach is left to the erasure job."""


@dataclass(frozen=True)
class Removed:
    """How many records (rows, log lines) went from a place, and whether all of it was gone through."""

    place: str
    records: int
    complete: bool = True


def erase_live(
    settings: Settings, sessions: SessionStore, user_id: str, at: datetime, *, seconds: float = LIVE_SECONDS
) -> tuple[Erasure, tuple[Removed, ...]]:
    """Accept the erasure of a person up to `at`, and remove what the service holds.

    The request is on the disk before anything is removed, and so are the devices of the person, which the removed
    lines alone may tell: whatever is interrupted, the erasure job finds it and goes on. What shows or answers the
    person goes first; the search through the logs ends after `seconds`, and what it did not reach is not `complete`.

    Raises:
        OSError, sqlite3.Error: a store refuses; the same request may be sent again.
    """
    erasures = Erasures(settings.home)
    erasure = erasures.request(user_id, at)
    tombstones = erasures.tombstones()
    until = time.monotonic() + seconds
    person = Person(erasure.request, _written(user_id))
    state = Removed(SESSION_STATE, sessions.erase(user_id).events)
    shown = erase_feed(settings, [user_id])
    online = Removed(ONLINE_FEATURES, remove_online(settings.feast / "online.db", Entity.USER, [user_id]))
    devices: set[str] = set()

    def erase_logged(segment: Path) -> dict[str, int]:
        told = _told_by(segment, user_id)
        erasures.note(erasure.request, devices=told.devices, event_ids=told.event_ids, session_ids=told.session_ids)
        devices.update(told.devices)
        return erase_events(segment, tombstones, person)

    logged = _erased(EVENT_LOG, segments(settings.event_log), user_id, until, erase_logged)
    shown += erase_feed(settings, [f"{ANONYMOUS}{device}" for device in sorted(devices)])
    days = {path: day for day, path in prediction_segments(settings.prediction_log)}
    predicted = _erased(
        PREDICTION_LOG, days, user_id, until, lambda path: erase_predictions(path, days[path], tombstones, person)
    )
    handed = {path: day for day, path in prediction_segments(settings.handovers)}
    handovers = _erased(
        HANDOVERS, handed, user_id, until, lambda path: erase_predictions(path, handed[path], tombstones, person)
    )
    removed = (state, Removed(CONSOLE_FEED, shown), online, logged, predicted, handovers)
    erasures.note(erasure.request, removed={each.place: each.records for each in removed if each.records})
    return erasure, removed


@dataclass(frozen=True)
class Person:
    """One request, and how the service's own logs write the user: a line without that is not looked into."""

    request: str
    written: bytes


def erase_feed(settings: Settings, shoppers: Sequence[str]) -> int:
    """Remove what the console shows of shoppers; how many moments.

    Raises:
        sqlite3.Error: the feed cannot be written.
    """
    if not settings.console_feed.is_file():
        return 0
    with closing(SessionFeed(settings.console_feed)) as feed:
        return feed.erase(shoppers)


def erase_events(segment: Path, tombstones: Tombstones, person: Person | None = None) -> dict[str, int]:
    """Erase events of one segment of the event log, those of `person` alone where one is given; lines by request."""
    counts: dict[str, int] = {}

    def is_erased(line: bytes) -> bool:
        if person is not None and person.written not in line:
            return False
        return _counted(counts, erases_line(tombstones, line), person)

    erase_log_lines(segment, is_erased)
    return counts


def erase_predictions(segment: Path, day: date, tombstones: Tombstones, person: Person | None = None) -> dict[str, int]:
    """Erase the predictions of one segment, of events of `day`; lines by request."""
    counts: dict[str, int] = {}

    def is_erased(line: bytes) -> bool:
        if person is not None and person.written not in line:
            return False
        document = _decoded(line)
        shopper = document.get("shopper_id") if isinstance(document, dict) else None
        return _counted(counts, tombstones.derived(shopper, day), person)

    erase_log_lines(segment, is_erased)
    return counts


def _counted(counts: dict[str, int], found: str | None, person: Person | None) -> bool:
    if found is None or (person is not None and person.request != found):
        return False
    counts[found] = counts.get(found, 0) + 1
    return True


def _erased(
    place: str, segments: Iterable[Path], user_id: str, until: float, erase: Callable[[Path], dict[str, int]]
) -> Removed:
    """Search and erase one segment after the other, until the time is over."""
    records = 0
    for segment in segments:
        if time.monotonic() > until:
            return Removed(place, records, complete=False)
        if _names(segment, user_id):
            records += sum(erase(segment).values())
    return Removed(place, records)


def _told_by(segment: Path, user_id: str) -> Told:
    needle = _written(user_id)
    lines = (line.data for line in read_segment(segment) if needle in line.data)
    return told_by(lines, lambda user: user == user_id)


def _names(segment: Path, user_id: str) -> bool:
    """Whether a segment holds the name at all: most hold it not, and are read by far faster than line by line."""
    needle = _written(user_id)
    rest = b""
    with segment.open("rb") as file:
        while chunk := file.read(1 << 22):
            if needle in rest + chunk:
                return True
            rest = chunk[-len(needle) :]
    return False


def _written(user_id: str) -> bytes:
    """How the service's own logs write an id."""
    return orjson.dumps(user_id)[1:-1]


def _decoded(line: bytes) -> object:
    if line.startswith(ERASED):
        return None
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
