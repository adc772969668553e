"""`SessionStore` in dictionaries: what the contract means, in as few lines as it takes."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from intent_tracking.events.contract import Event, shopper_id, visitor_id
from intent_tracking.sessions.render import SessionEvent
from intent_tracking.sessions.state import (
    MAX_EVENTS_KEPT,
    MAX_IDS_KEPT,
    MAX_SESSIONS,
    REPEATS_KNOWN_FOR,
    Appended,
    Claimed,
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
    started_at: datetime = field(default=datetime.max.replace(tzinfo=UTC))
    last_event_at: datetime = field(default=datetime.min.replace(tzinfo=UTC))
    count: int = 0
    ids: list[tuple[datetime, str]] = field(default_factory=list)
    events: list[SessionEvent] = field(default_factory=list)


class MemorySessionStore:
    """Live sessions in memory, for tests of what stands on a store."""

    def __init__(
        self,
        *,
        max_sessions: int = MAX_SESSIONS,
        max_events: int = MAX_EVENTS_KEPT,
        max_ids: int = MAX_IDS_KEPT,
    ) -> None:
        self._max_sessions = max_sessions
        self._max_events = max_events
        self._max_ids = max(max_ids, max_events)
        self._claims: dict[str, tuple[str, datetime]] = {}
        self._lock = threading.Lock()
        self._sessions: dict[str, _Session] = {}
        self._session_of_event: dict[str, str] = {}

    def claim(self, event_ids: Collection[str], mark: str) -> Claimed:
        """Hold the new ones of `event_ids` for `mark`, unless another holds one."""
        with self._lock:
            known = frozenset(event_ids) & self._session_of_event.keys()
            held = {event_id: self._claims[event_id][0] for event_id in event_ids if event_id in self._claims}
            if not held:
                now = datetime.now(UTC)
                self._claims.update({event_id: (mark, now) for event_id in event_ids if event_id not in known})
            return Claimed(known, held)

    def release(self, event_ids: Collection[str], mark: str) -> None:
        """End the claims of `mark`."""
        with self._lock:
            for event_id in event_ids:
                if self._claims.get(event_id, ("",))[0] == mark:
                    del self._claims[event_id]

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
                session.count += 1
                session.started_at = min(session.started_at, event.event_time)
                session.last_event_at = max(session.last_event_at, event.event_time)
                session.ids.append((event.event_time, event.event_id))
                session.devices.update(filter(None, (event.anonymous_id,)))
                session.events.append(kept_event(event))
                session.events.sort(key=lambda each: (each.event_time, each.event_id))
                del session.events[: -self._max_events]
                self._session_of_event[event.event_id] = session.session_id
            self._claims.pop(event.event_id, None)
            ids.append(session.session_id)
        for session_id in set(ids):
            self._forget_ids(self._sessions[session_id])
        by_activity = sorted(self._sessions.values(), key=lambda each: each.last_event_at)
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
            started_at=found.started_at,
            last_event_at=found.last_event_at,
            event_count=found.count,
            events=tuple(found.events),
        )

    def read_all(self, session_ids: Sequence[str]) -> tuple[LiveSession | None, ...]:
        """The sessions, or `None`, in the order given."""
        return tuple(map(self.read, session_ids))

    def latest(self, user_id: str) -> LiveSession | None:
        """The session of a known user with the newest activity."""
        own = [each for each in self._sessions.values() if each.user_id == user_id]
        return self.read(max(own, key=lambda each: each.last_event_at).session_id) if own else None

    def size(self) -> int:
        """How many sessions are kept."""
        return len(self._sessions)

    def expire(self, before: datetime) -> Iterator[int]:
        """Remove sessions without activity since `before`."""
        idle = [each.session_id for each in self._sessions.values() if each.last_event_at < before]
        self._claims = {key: claim for key, claim in self._claims.items() if claim[1] >= before}
        for session_id in idle:
            self._forget(session_id)
            yield 1

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
        shopper, visitor = shopper_id(event), visitor_id(event)
        near = self._nearest(shopper, event)
        if near is not None:
            return near
        if event.user_id is not None and visitor is not None:
            near = self._nearest(visitor, event)
            if near is not None and near.user_id is None and near.started_at <= event.event_time:
                near.shopper, near.user_id = shopper, event.user_id
                return near
        taken = event.session_id in self._sessions
        session_id = new_session_id(shopper, event.session_id, event.event_id, taken=taken)
        while session_id in self._sessions:
            session_id += "#"
        return self._sessions.setdefault(session_id, _Session(session_id, shopper, event.session_id, event.user_id))

    def _nearest(self, shopper: str, event: Event) -> _Session | None:
        near = [
            each
            for each in self._sessions.values()
            if (each.shopper, each.given_id) == (shopper, event.session_id)
            and each.started_at - SESSION_GAP <= event.event_time <= each.last_event_at + SESSION_GAP
        ]
        return max(near, key=lambda each: each.last_event_at, default=None)

    def _forget_ids(self, session: _Session) -> None:
        session.ids.sort()
        kept = {each.event_id for each in session.events}
        for number, (at, event_id) in enumerate(list(reversed(session.ids))):
            is_old = at < session.last_event_at - REPEATS_KNOWN_FOR and event_id not in kept
            if is_old or number >= self._max_ids:
                session.ids.remove((at, event_id))
                del self._session_of_event[event_id]

    def _forget(self, session_id: str) -> int:
        del self._sessions[session_id]
        gone = [event for event, owner in self._session_of_event.items() if owner == session_id]
        for event in gone:
            del self._session_of_event[event]
        return len(gone)
