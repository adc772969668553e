"""`SessionStore` in Redis: the store that services on several machines share. The only module that knows Redis.

Each call is one Lua script, which Redis runs alone, so all of a call is kept or nothing. The keys share one hash tag: a
batch touches many shoppers, and on a cluster all of it must lie in one slot. Let `maxmemory-policy` be `noeviction`:
Redis must refuse rather than forget half a session. The store is bounded by its own limits.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from importlib.resources import files
from typing import Any, Final

import redis

from intent_tracking.events.contract import Event, shopper_id
from intent_tracking.sessions.state import (
    GAP,
    MAX_EVENTS_KEPT,
    MAX_IDS_KEPT,
    MAX_SESSIONS,
    REPEATS,
    Appended,
    Claimed,
    Erased,
    LiveSession,
    SessionStoreError,
    from_body,
    kept_event,
    new_session_id,
    to_body,
    to_number,
    to_time,
)

PREFIX: Final = "{intent}:"
SECONDS: Final = 5.0
"""How long one call may take before the store counts as gone."""
_REMOVED_AT_ONCE: Final = 500  # sessions an `expire` removes in one script, in which Redis serves nobody else


class RedisSessionStore:
    """`SessionStore` at `address` (`redis://[user:password@]host:port/database`, `rediss://`, `unix://`).

    Raises:
        SessionStoreError: the server cannot be reached.
    """

    def __init__(
        self,
        address: str,
        *,
        prefix: str = PREFIX,
        max_sessions: int = MAX_SESSIONS,
        max_events: int = MAX_EVENTS_KEPT,
        max_ids: int = MAX_IDS_KEPT,
    ) -> None:
        self._limits = (GAP, max_events, max(max_ids, max_events), REPEATS, max_sessions)
        self._prefix = prefix
        with self._reported():
            self._client = redis.Redis.from_url(address, socket_timeout=SECONDS, socket_connect_timeout=SECONDS)
            # Every script begins with the same few functions.
            shared = _script("shared")
            self._scripts = {
                name: self._client.register_script(shared + _script(name))
                for name in ("claim", "release", "append", "read", "latest", "expire", "erase")
            }
            self._client.ping()

    def claim(self, event_ids: Collection[str], mark: str) -> Claimed:
        """Hold for `mark` those of `event_ids` that the store does not have."""
        known, held = self._run("claim", mark, time.time_ns() // 1000, *event_ids)
        return Claimed(
            frozenset(map(_text, known)), dict(zip(map(_text, held[::2]), map(_text, held[1::2]), strict=True))
        )

    def release(self, event_ids: Collection[str], mark: str) -> None:
        """Give up the claims of `mark` on `event_ids`."""
        self._run("release", mark, *event_ids)

    def append(self, events: Sequence[Event]) -> Appended:
        """Take in `events` in one script: all of them are kept, or none. Claims on them end."""
        if not events:
            return Appended((), ())
        arguments: list[Any] = []
        for event in events:
            shopper = shopper_id(event)
            arguments += (
                event.event_id,
                shopper,
                event.session_id or "",
                event.user_id or "",
                event.anonymous_id or "",
                to_number(event.event_time),
                to_body(kept_event(event)),
                new_session_id(shopper, event.session_id, event.event_id, taken=False),
                new_session_id(shopper, event.session_id, event.event_id, taken=True),
            )
        session_ids, new = self._run("append", *self._limits, *arguments)
        return Appended(tuple(map(_text, session_ids)), tuple(bool(each) for each in new))

    def read(self, session_id: str) -> LiveSession | None:
        """The session, or `None` where it is unknown, evicted or erased."""
        return self.read_all([session_id])[0]

    def read_all(self, session_ids: Sequence[str]) -> tuple[LiveSession | None, ...]:
        """As `read`, many at once, in the order given."""
        return tuple(_session(found) for found in self._run("read", *session_ids))

    def latest(self, user_id: str) -> LiveSession | None:
        """The session of a known user with the newest activity."""
        return _session(self._run("latest", user_id))

    def size(self) -> int:
        """How many sessions are kept."""
        with self._reported():
            kept: Any = self._client.zcard(f"{self._prefix}activity")
        return int(kept)

    def expire(self, before: datetime) -> Iterator[int]:
        """Remove sessions without activity since `before` as one iterates: how many at a time."""
        while removed := self._run("expire", to_number(before), _REMOVED_AT_ONCE):
            yield removed

    def erase(self, user_id: str) -> Erased:
        """Remove every session of the user, and the anonymous ones of the devices seen with the user."""
        sessions, events = self._run("erase", user_id)
        return Erased(sessions=sessions, events=events)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _run(self, name: str, *arguments: Any) -> Any:
        with self._reported():
            return self._scripts[name](keys=[self._prefix], args=arguments)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            # The address is left out: it may hold a password.
            raise SessionStoreError(f"session state in Redis: {type(error).__name__}: {error}") from error


def _script(name: str) -> str:
    return files("intent_tracking.sessions").joinpath("redis_scripts", f"{name}.lua").read_text(encoding="utf-8")


def _text(value: bytes) -> str:
    return value.decode()


def _session(found: list[Any]) -> LiveSession | None:
    if not found:
        return None
    session_id, shopper, user_id, started_at, last_event_at, event_count, events = found
    return LiveSession(
        session_id=_text(session_id),
        shopper_id=_text(shopper),
        user_id=_text(user_id) or None,
        started_at=to_time(int(started_at)),
        last_event_at=to_time(int(last_event_at)),
        event_count=int(event_count),
        events=tuple(
            from_body(_text(event_id), int(at), body)
            for event_id, at, body in zip(events[::3], events[1::3], events[2::3], strict=True)
        ),
    )
