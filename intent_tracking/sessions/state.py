"""Live sessions of the service: events in, in any order and more than once; the session so far out.

One interface. `sqlite_state` is the embedded store, `redis_state` the one that several machines share; the same
contract suite (`tests/contract/test_session_store.py`) runs against every store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import orjson

from intent_tracking.events.contract import Event, EventName, Scene
from intent_tracking.sessions.render import SessionEvent, SessionItem, free_text
from intent_tracking.sessions.vocabulary import SESSION_GAP
from intent_tracking.settings import EMBEDDED_STORE, Settings

MAX_EVENTS_KEPT: Final = 50
MAX_ITEMS_KEPT: Final = 20
MAX_IDS_KEPT: Final = 1_000
"""Ids of its newest events that a session knows, kept or not: a repeat of an older one is taken for a new event."""
MAX_SESSIONS: Final = 200_000
REPEATS_KNOWN_FOR: Final = timedelta(hours=1)
"""How long, by event time, the id of an event that is no longer kept is remembered."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
GAP: Final = SESSION_GAP // _MICROSECOND
REPEATS: Final = REPEATS_KNOWN_FOR // _MICROSECOND


class SessionStoreError(OSError):
    """The store cannot be reached, or refuses: nothing of the call is kept, or it is not known whether it is."""


@dataclass(frozen=True)
class LiveSession:
    """A session so far: its newest events, oldest first. `event_count` also counts those no longer kept."""

    session_id: str
    shopper_id: str
    user_id: str | None
    started_at: datetime
    last_event_at: datetime
    event_count: int
    events: tuple[SessionEvent, ...]


@dataclass(frozen=True)
class Appended:
    """For each event given, in order: the session it belongs to, and whether it was new (`False`: seen before)."""

    session_ids: tuple[str, ...]
    new: tuple[bool, ...]


@dataclass(frozen=True)
class Claimed:
    """What stood in the way of a claim: ids of events that the store has, and ids held by another, with its mark."""

    known: frozenset[str]
    held: Mapping[str, str]


@dataclass(frozen=True)
class Erased:
    """What was removed."""

    sessions: int
    events: int


class SessionStore(Protocol):
    """Live sessions by shopper. Every method raises `SessionStoreError` where the store refuses.

    An event belongs to the shopper's session, with the same session id where the source gives one, whose span it is
    inside or at most 30 minutes away from; else it begins a new one. So a session that was silent for longer is over,
    though it can still be read. An event whose id is known changes nothing. Free text is scrubbed before it is kept.

    A user's event that would begin a session is a login where the device of its `anonymous_id` has a session without a
    user, with the same session id if any: that session goes on, keeps its id, and is the user's from then on. It takes
    no more events without a user: those begin another.

    A store keeps the newest 50 events of a session, the ids of its newest 1,000 of the last hour, and the sessions with
    the newest activity up to its limit.
    """

    def claim(self, event_ids: Collection[str], mark: str) -> Claimed:
        """Hold for `mark` those of `event_ids` that the store does not have, so that one process alone logs them.

        Where another mark holds one of them, none is claimed. A claim ends when its event is appended or released.
        """
        ...

    def release(self, event_ids: Collection[str], mark: str) -> None:
        """Give up the claims of `mark` on `event_ids`; those of another mark stay."""
        ...

    def append(self, events: Sequence[Event]) -> Appended:
        """Take in `events` in one transaction: all of them are kept, or none. Claims on them end."""
        ...

    def read(self, session_id: str) -> LiveSession | None:
        """The session, or `None` where it is unknown, evicted or erased."""
        ...

    def read_all(self, session_ids: Sequence[str]) -> tuple[LiveSession | None, ...]:
        """As `read`, many at once, in the order given."""
        ...

    def latest(self, user_id: str) -> LiveSession | None:
        """The session of a known user with the newest activity; what recommendations are to ask for."""
        ...

    def size(self) -> int:
        """How many sessions are kept."""
        ...

    def expire(self, before: datetime) -> Iterator[int]:
        """Remove sessions without activity since `before` as one iterates, a few at a time: how many each time.

        Claims of processes that died before then end first.
        """
        ...

    def erase(self, user_id: str) -> Erased:
        """Remove every session of the user, and the anonymous ones of the devices seen with the user."""
        ...

    def close(self) -> None:
        """Give files and connections back."""
        ...


def open_session_store(settings: Settings) -> SessionStore:
    """The store that `INTENT_SESSION_STORE` names.

    Raises:
        SessionStoreError: it cannot be opened.
        ModuleNotFoundError: Redis is named and its client is not installed.
    """
    address = settings.session_store.get_secret_value()
    if address == EMBEDDED_STORE:
        from intent_tracking.sessions.sqlite_state import SqliteSessionStore

        return SqliteSessionStore(settings.session_state)
    from intent_tracking.sessions.redis_state import RedisSessionStore

    return RedisSessionStore(address)


def new_session_id(shopper: str, given_id: str | None, first_event_id: str, *, taken: bool) -> str:
    """The id of a session that begins with `first_event_id`; the same that `sessionise` gives it a day later.

    A given id is kept unless it is `taken` by another session.
    """
    if given_id is not None and not taken:
        return given_id
    digest = hashlib.sha256(f"{shopper}\x1f{first_event_id}".encode()).hexdigest()
    return f"s-{digest[:24]}" if given_id is None else f"{given_id}#{digest[:8]}"


def kept_event(event: Event) -> SessionEvent:
    """What a store keeps of `event`: free text scrubbed, a bounded number of items."""
    kept = SessionEvent.from_event(event)
    if not kept.search_term and not kept.text and len(kept.items) <= MAX_ITEMS_KEPT:
        return kept
    return replace(
        kept,
        search_term=free_text(kept.search_term) if kept.search_term else None,
        text=free_text(kept.text) if kept.text else None,
        items=kept.items[:MAX_ITEMS_KEPT],
    )


def to_number(moment: datetime) -> int:
    """Microseconds since 1970: whole, so that equal moments are equal numbers in every store."""
    return (moment - _EPOCH) // _MICROSECOND


def to_time(number: int) -> datetime:
    """The moment of `to_number`."""
    return _EPOCH + timedelta(microseconds=number)


def to_body(event: SessionEvent) -> bytes:
    """What a store writes of a kept event, beside its id and time."""
    items = [
        (item.item_id, item.item_name, item.item_brand, item.item_category, item.price, item.quantity)
        for item in event.items
    ]
    parts = (event.event_name.value, event.scene.value, event.search_term, event.text, items, event.currency)
    return orjson.dumps(parts)


def from_body(event_id: str, event_time: int, body: bytes) -> SessionEvent:
    """The event of `to_body`. A body without a currency is one too: a store outlives the program that wrote it."""
    name, scene, search_term, text, items, *currency = orjson.loads(body)
    return SessionEvent(
        event_id=event_id,
        event_name=EventName(name),
        event_time=to_time(event_time),
        scene=Scene(scene),
        search_term=search_term,
        text=text,
        items=tuple(SessionItem(*item) for item in items),
        currency=currency[0] if currency else None,
    )
