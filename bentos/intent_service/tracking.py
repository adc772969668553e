"""Events in: checked, scrubbed, on disk, and taken into their sessions, before anything is answered."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from bentos.intent_service.metrics import Metrics
from intent_tracking.erasure.live import Removed, erase_live
from intent_tracking.events.adapters.native import parse_document
from intent_tracking.events.arrival import arrival_problem, arrival_refusal, on_arrival
from intent_tracking.events.contract import Event
from intent_tracking.events.erased import erasure_refusal
from intent_tracking.events.log import LogRefusedError, open_event_log
from intent_tracking.events.quarantine import QuarantineReason
from intent_tracking.events.scrubbing import scrubbed_line
from intent_tracking.inference import ModelInput
from intent_tracking.sessions.render import render_session
from intent_tracking.sessions.state import LiveSession, open_session_store
from intent_tracking.settings import Settings
from intent_tracking.tombstones import Erasure, LiveTombstones, Tombstones

logger = logging.getLogger(__name__)

# How long a batch waits for another process that takes in one of its events, and how often it looks. Well below what
# sheds load: a process that died may hold its claims for longer, and repeats must not keep the storage from new events.
CLAIM_SECONDS: Final = 0.5
CLAIM_PAUSE_SECONDS: Final = 0.01


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


@dataclass(frozen=True)
class Call:
    """What one caller sent, decoded, and when it arrived."""

    documents: Sequence[Any]
    received_time: datetime


@dataclass(frozen=True)
class _Checked:
    """The sound events of a call and their lines, by id; how many repeat one of the same call."""

    events: dict[str, Event]
    lines: dict[str, bytes]
    repeats: int
    rejected: tuple[Refused, ...]


class StillHeldError(OSError):
    """Another process takes in an event of this batch and is not done yet."""


class Tracker:
    """The event log and the session state behind `/v1/track`. Safe for several threads, and beside other processes.

    An event is claimed in the session state, written to the log, and taken into its session, which ends the claim. So
    of repeats sent at once to several processes one alone logs the event, and after a crash the claim tells whoever
    gets the repeat where in the log to look whether the event is there.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._metrics = metrics
        self._settings = settings
        self._tombstones = LiveTombstones(settings.home)
        self._keep_received_time = settings.trust_received_time
        self._log = open_event_log(settings)
        self._sessions = open_session_store(settings)
        self._under_way: set[str] = set()
        self._changed = threading.Condition()

    def track(self, documents: Sequence[Any], received_time: datetime) -> Tracked:
        """Take in decoded JSON `documents` that arrived at `received_time`.

        Raises:
            OSError: the disk, the broker or the session store refuses. The events may be in the log by then, but none
                is answered as accepted; sent again they enter it once.
        """
        return self.track_all([Call(documents, received_time)])[0]

    def track_all(self, calls: Sequence[Call]) -> list[Tracked]:
        """Take in what several calls brought, in one claim, one write and one transaction; each gets its own answer.

        Of an event that several of them bring the first is the event, and the others are told of a duplicate.

        Raises:
            OSError: as of `track`, for all of them.
        """
        tombstones = self._tombstones.current()
        checked = [self._check(call, tombstones) for call in calls]
        events: dict[str, Event] = {}
        lines: dict[str, bytes] = {}
        own = []
        for each in checked:
            first = [event_id for event_id in each.events if event_id not in events]
            for event_id in first:
                events[event_id], lines[event_id] = each.events[event_id], each.lines[event_id]
            own.append(first)
        known: frozenset[str] = frozenset()
        touched: Mapping[str, Touched | None] = {}
        if events:
            with self._alone_with(events):
                mark = self._log.mark()
                known = self._claim(events, mark)
                new = [event_id for event_id in events if event_id not in known]
                if new:
                    self._append([lines[event_id] for event_id in new], new, mark)
                touched = self._take_in(list(events.values()))
        tracked = []
        for each, first in zip(checked, own, strict=True):
            accepted = sum(event_id not in known for event_id in first)
            sessions = {found.session_id: found for name in each.events if (found := touched[name]) is not None}
            duplicates = each.repeats + len(each.events) - accepted
            tracked.append(Tracked(accepted, duplicates, each.rejected, tuple(sessions.values())))
        return tracked

    def _check(self, call: Call, tombstones: Tombstones) -> _Checked:
        events: dict[str, Event] = {}
        lines: dict[str, bytes] = {}
        repeats = 0
        rejected: list[Refused] = []
        for index, document in enumerate(call.documents):
            parsed = parse_document(document, call.received_time, keep_received_time=self._keep_received_time)
            refusals = parsed.quarantined
            if parsed.event is not None:
                # What validation would quarantine later is refused while the sender can still hear of it.
                refusal = arrival_refusal(parsed.event.event_time, parsed.event.received_time)
                refusal = refusal or erasure_refusal(parsed.event, tombstones)
                refusals = () if refusal is None else (refusal,)
            if parsed.event is None or refusals:
                explanation = "; ".join(f"{each.reason}: {each.detail}" for each in refusals)
                rejected.append(Refused(index, refusals[0].reason, explanation))
            elif parsed.event.event_id in events:
                repeats += 1
            else:
                event = on_arrival(parsed.event)
                # Scrubbed before the claim, which others may wait for; refused before it, for the log never takes it.
                line = scrubbed_line(event)
                if len(line) > self._log.max_line_bytes:
                    rejected.append(_too_long(index, len(line), self._log.max_line_bytes))
                else:
                    events[event.event_id] = event
                    lines[event.event_id] = line
        return _Checked(events, lines, repeats, tuple(rejected))

    def erase(self, user_id: str, at: datetime) -> tuple[Erasure, tuple[Removed, ...]]:
        """Remove a person up to `at` from the live sessions and the logs, after the request is on disk.

        Raises:
            OSError, sqlite3.Error: a store refuses; the request may be sent again.
        """
        return erase_live(self._settings, self._sessions, user_id, at)

    def expire(self, before: datetime) -> Iterator[int]:
        """Forget the sessions without activity since `before` as one iterates: how many at a time. The log stays.

        Raises:
            OSError: the session state cannot be written.
        """
        return self._sessions.expire(before)

    def session(self, session_id: str) -> LiveSession | None:
        """The session so far; None where it is unknown, forgotten or erased.

        Raises:
            OSError: the session state cannot be read.
        """
        return self._sessions.read(session_id)

    def latest_session(self, user_id: str) -> LiveSession | None:
        """The session of a known user with the newest activity.

        Raises:
            OSError: the session state cannot be read.
        """
        return self._sessions.latest(user_id)

    def session_count(self) -> int:
        """Live sessions.

        Raises:
            OSError: the session state cannot be read.
        """
        return self._sessions.size()

    def close(self) -> None:
        """Close the files."""
        self._log.close()
        self._sessions.close()

    def _claim(self, events: Mapping[str, Event], mark: str) -> frozenset[str]:
        """Claim the new ones of `events`; the ids of the others."""
        deadline = time.monotonic() + CLAIM_SECONDS
        while True:
            claimed = self._sessions.claim(events, mark)
            if not claimed.held:
                return claimed.known
            abandoned = {other for other in set(claimed.held.values()) if self._log.is_abandoned(other)}
            for other in abandoned:
                self._recover(
                    other, {event_id: events[event_id] for event_id, by in claimed.held.items() if by == other}
                )
            if not abandoned:
                if time.monotonic() > deadline:
                    raise StillHeldError(
                        f"another process takes in {len(claimed.held)} events of this batch, or died and cannot be "
                        "told from a slow one yet; nothing of this request is accepted, send it again later"
                    )
                time.sleep(CLAIM_PAUSE_SECONDS)

    def _recover(self, mark: str, events: Mapping[str, Event]) -> None:
        """Settle the claims that a call with `mark` left on `events`: what it logged is known, the rest is free."""
        missing = set(events)
        for line in self._log.since(mark):
            missing.discard(_event_id_of(line))
            if not missing:
                break
        logged = [event for event_id, event in events.items() if event_id not in missing]
        if logged:
            self._sessions.append(logged)
        if missing:
            self._sessions.release(missing, mark)
        logger.warning("an interrupted call left %d events in the log and %d out of it", len(logged), len(missing))

    def _append(self, lines: Sequence[bytes], event_ids: Collection[str], mark: str) -> None:
        try:
            with self._metrics.log_append_seconds.time():
                self._log.append(lines)
        except LogRefusedError:
            self._sessions.release(event_ids, mark)
            raise
        self._metrics.log_bytes.inc(sum(map(len, lines)) + len(lines))

    def _take_in(self, events: Sequence[Event]) -> dict[str, Touched | None]:
        """The session of each event, by the id of the event."""
        # The store knows a repeat too: it changes nothing, and names the session, so that a caller whose first answer
        # was lost gets one.
        session_of = self._sessions.append(events).session_ids
        received: dict[str, datetime] = {}
        for event, session_id in zip(events, session_of, strict=True):
            received[session_id] = max(event.received_time, received.get(session_id, event.received_time))
        # A session may be evicted between the two calls when the store is full: it is not answered then.
        sessions = self._sessions.read_all(list(received))
        touched = {
            session_id: None if session is None else _touched(session, moment)
            for session, (session_id, moment) in zip(sessions, received.items(), strict=True)
        }
        return {event.event_id: touched[session_id] for event, session_id in zip(events, session_of, strict=True)}

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


def _too_long(index: int, size: int, limit: int) -> Refused:
    reason = QuarantineReason.TOO_LONG
    return Refused(index, reason, f"{reason}: as a line of the log it has {size} bytes, and the log takes {limit}")


def _event_id_of(line: bytes) -> str | None:
    # A topic may hold what somebody else wrote.
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return document.get("event_id") if isinstance(document, dict) else None


def _touched(session: LiveSession, received_time: datetime) -> Touched:
    newest = session.last_event_at
    in_time = arrival_problem(newest, received_time) is None
    return Touched(
        session_id=session.session_id,
        shopper_id=session.shopper_id,
        entry=render_session(session.events[-1].scene, session.events, clean_already=True),
        event_time=newest if in_time else received_time,
        event_count=session.event_count,
    )
