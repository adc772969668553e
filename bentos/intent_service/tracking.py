"""Events in: checked, scrubbed, on disk, and taken into their sessions, before anything is answered."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bentos.intent_service.metrics import Metrics
from intent_tracking.events.adapters.native import parse_document
from intent_tracking.events.arrival import arrival_problem, arrival_refusal
from intent_tracking.events.contract import Event
from intent_tracking.events.log import EventLog
from intent_tracking.events.scrubbing import scrub_record
from intent_tracking.inference import ModelInput
from intent_tracking.sessions.render import render_session
from intent_tracking.sessions.state import LiveSession, SessionStore, SqliteSessionStore
from intent_tracking.settings import Settings


@dataclass(frozen=True)
class Touched:
    """A session that got events, new ones or repeats, as the model is to read it.

    `event_time` is that of its newest event, or the time of arrival where that event is filed under its arrival.
    """

    session_id: str
    shopper_id: str
    entry: ModelInput
    event_time: datetime
    event_count: int


@dataclass(frozen=True)
class Refused:
    """An event that is not accepted: its index in the batch, the first reason, and all of them in words."""

    index: int
    reason: str
    explanation: str


@dataclass(frozen=True)
class Tracked:
    """What became of a batch."""

    accepted: int
    duplicates: int
    rejected: tuple[Refused, ...]
    touched: tuple[Touched, ...]


class Tracker:
    """The event log and the session state behind `/v1/track`. Safe for several threads."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._keep_received_time = settings.trust_received_time
        self._log = EventLog(settings.event_log)
        self._sessions: SessionStore = SqliteSessionStore(settings.session_state)
        self._under_way: set[str] = set()
        self._changed = threading.Condition()

    def track(self, documents: Sequence[Any], received_time: datetime) -> Tracked:
        """Take in decoded JSON `documents` that arrived at `received_time`.

        The log comes before the sessions: a crash in between leaves an event that was never answered in the log, and a
        repeat of it there too, which validation takes out; the other way round it would be lost.

        Raises:
            OSError: the disk refuses; no event of the batch is accepted.
        """
        events: dict[str, Event] = {}
        duplicates = 0
        rejected: list[Refused] = []
        for index, document in enumerate(documents):
            parsed = parse_document(document, received_time, keep_received_time=self._keep_received_time)
            refusals = parsed.quarantined
            if parsed.event is not None:
                # What validation would quarantine later is refused while the sender can still hear of it.
                refusal = arrival_refusal(parsed.event.event_time, parsed.event.received_time)
                refusals = () if refusal is None else (refusal,)
            if parsed.event is None or refusals:
                explanation = "; ".join(f"{each.reason}: {each.detail}" for each in refusals)
                rejected.append(Refused(index, refusals[0].reason, explanation))
            elif parsed.event.event_id in events:
                duplicates += 1
            else:
                events[parsed.event.event_id] = parsed.event
        with self._alone_with(events):
            known = self._sessions.known(events)
            touched = self._take_in(list(events.values()), known) if events else ()
        return Tracked(len(events) - len(known), duplicates + len(known), tuple(rejected), touched)

    def expire(self, before: datetime) -> int:
        """Forget the sessions without activity since `before`; how many. Their events stay in the log.

        Raises:
            sqlite3.Error: the session state cannot be written.
        """
        return self._sessions.expire(before)

    def session_count(self) -> int:
        """Live sessions.

        Raises:
            sqlite3.Error: the session state cannot be read.
        """
        return self._sessions.size()

    def close(self) -> None:
        """Close the files."""
        self._log.close()
        self._sessions.close()

    def _take_in(self, events: Sequence[Event], known: Collection[str]) -> tuple[Touched, ...]:
        new = [event for event in events if event.event_id not in known]
        if new:
            lines = [_log_line(event) for event in new]
            with self._metrics.log_append_seconds.time():
                self._log.append(lines)
            self._metrics.log_bytes.inc(sum(map(len, lines)) + len(lines))
        # The store knows a repeat too: it changes nothing, and names the session, so that a caller whose first answer
        # was lost gets one.
        appended = self._sessions.append(events)
        received: dict[str, datetime] = {}
        for event, session_id in zip(events, appended.session_ids, strict=True):
            received[session_id] = max(event.received_time, received.get(session_id, event.received_time))
        # A session may be evicted between the two calls when the store is full: it is not answered then.
        sessions = ((self._sessions.read(session_id), moment) for session_id, moment in received.items())
        return tuple(_touched(session, moment) for session, moment in sessions if session is not None)

    @contextmanager
    def _alone_with(self, event_ids: Collection[str]) -> Iterator[None]:
        """Wait until no other thread handles one of `event_ids`: a repeat sent at once must not enter the log twice."""
        wanted = set(event_ids)
        with self._changed:
            self._changed.wait_for(lambda: self._under_way.isdisjoint(wanted))
            self._under_way |= wanted
        try:
            yield
        finally:
            with self._changed:
                self._under_way -= wanted
                self._changed.notify_all()


def _log_line(event: Event) -> bytes:
    raw, _ = scrub_record(event.model_dump_json(exclude_none=True))
    return raw.encode()


def _touched(session: LiveSession, received_time: datetime) -> Touched:
    newest = session.last_event_at
    in_time = arrival_problem(newest, received_time) is None
    return Touched(
        session_id=session.session_id,
        shopper_id=session.shopper_id,
        entry=render_session(session.events[-1].scene, session.events),
        event_time=newest if in_time else received_time,
        event_count=session.event_count,
    )
