"""`SessionStore` in dictionaries: what the contract means, in as few lines as it takes."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from intent_tracking.events.contract import Event, shopper_id
from intent_tracking.sessions.render import SessionEvent
from intent_tracking.sessions.state import (
    MAX_EVENTS_KEPT,
    MAX_SESSIONS,
    Appended,
    Erased,
    LiveSession,
    kept_event,
    new_session_id,
)
from intent_tracking.sessions.vocabulary import SESSION_GAP


@dataclass
class _Session:
    session_id: str
    shopper: str
    given_id: str | None
    user_id: str | None
    devices: set[str] = field(default_factory=set)
    times: list[datetime] = field(default_factory=list)
    events: list[SessionEvent] = field(default_factory=list)


class MemorySessionStore:
    """Live sessions in memory, for tests of what stands on a store."""

    def __init__(self, *, max_sessions: int = MAX_SESSIONS, max_events: int = MAX_EVENTS_KEPT) -> None:
        self._max_sessions = max_sessions
        self._max_events = max_events
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        self._session_of_event: dict[str, str] = {}

    def append(self, events: Sequence[Event]) -> Appended:
        """Take in `events`, each into its session."""
        with self._lock:
            return self._take_in(events)

    def _take_in(self, events: Sequence[Event]) -> Appended:
        ids, new = [], []
        for event in events:
            known = self._session_of_event.get(event.event_id)
            session = self._sessions.get(known) if known is not None else None
            new.append(session is None)
            if session is None:
                session = self._session_for(event)
                session.times.append(event.event_time)
                session.devices.update(filter(None, (event.anonymous_id,)))
                session.events.append(kept_event(event))
                session.events.sort(key=lambda each: (each.event_time, each.event_id))
                del session.events[: -self._max_events]
                self._session_of_event[event.event_id] = session.session_id
            ids.append(session.session_id)
        by_activity = sorted(self._sessions.values(), key=lambda each: max(each.times))
        for each in by_activity[: max(0, len(by_activity) - self._max_sessions)]:
            self._forget(each.session_id)
        return Appended(tuple(ids), tuple(new))

    def read(self, session_id: str) -> LiveSession | None:
        """The session, or `None`."""
        found = self._sessions.get(session_id)
        if found is None:
            return None
        return LiveSession(
            session_id=found.session_id,
            shopper_id=found.shopper,
            user_id=found.user_id,
            started_at=min(found.times),
            last_event_at=max(found.times),
            event_count=len(found.times),
            events=tuple(found.events),
        )

    def latest(self, user_id: str) -> LiveSession | None:
        """The session of a known user with the newest activity."""
        own = [each for each in self._sessions.values() if each.user_id == user_id]
        return self.read(max(own, key=lambda each: max(each.times)).session_id) if own else None

    def expire(self, before: datetime) -> int:
        """Remove sessions without activity since `before`."""
        idle = [each.session_id for each in self._sessions.values() if max(each.times) < before]
        for session_id in idle:
            self._forget(session_id)
        return len(idle)

    def erase(self, user_id: str) -> Erased:
        """Remove what is known of the user and of the devices seen with the user."""
        own = [each for each in self._sessions.values() if each.user_id == user_id]
        shoppers = {f"anonymous:{device}" for each in own for device in each.devices}
        own += [each for each in self._sessions.values() if each.user_id is None and each.shopper in shoppers]
        events = sum(self._forget(each.session_id) for each in own)
        return Erased(sessions=len(own), events=events)

    def close(self) -> None:
        """Nothing to give back."""

    def _session_for(self, event: Event) -> _Session:
        shopper = shopper_id(event)
        near = [
            each
            for each in self._sessions.values()
            if (each.shopper, each.given_id) == (shopper, event.session_id)
            and min(each.times) - SESSION_GAP <= event.event_time <= max(each.times) + SESSION_GAP
        ]
        if near:
            return max(near, key=lambda each: max(each.times))
        taken = event.session_id in self._sessions
        session_id = new_session_id(shopper, event.session_id, event.event_id, taken=taken)
        return self._sessions.setdefault(session_id, _Session(session_id, shopper, event.session_id, event.user_id))

    def _forget(self, session_id: str) -> int:
        del self._sessions[session_id]
        gone = [event for event, owner in self._session_of_event.items() if owner == session_id]
        for event in gone:
            del self._session_of_event[event]
        return len(gone)
