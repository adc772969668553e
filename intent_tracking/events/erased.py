"""Which log records an erasure takes: one rule for what is stored and for what comes after."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from intent_tracking.events.adapters import Adapter, Identity
from intent_tracking.events.adapters.native import NativeAdapter
from intent_tracking.events.contract import Event, shopper_id
from intent_tracking.events.quarantine import Quarantined, refuse
from intent_tracking.events.segment_log import ERASED
from intent_tracking.tombstones import Erasures, Tombstones

_NATIVE: Final = NativeAdapter()
_WORD: Final = re.compile(r"[^\s\"',;{}\[\]()<>=&|]+")


def erased_by(
    tombstones: Tombstones,
    adapter: Adapter | None,
    raw: str,
    document: object,
    event_time: datetime | None,
    received_time: datetime | None,
) -> str | None:
    """The request that erases a record; None where it stays.

    A grouped record goes where one of its log lines does. One that does not say whom it is about, because it is
    unreadable or names its fields otherwise, goes where one of its values is the id of an erased shopper: it can only
    be quarantined, and would keep the name there.

    Args:
        tombstones: who is erased.
        adapter: of the record; None where it is no longer known.
        raw: the record, and `document` its decoded JSON, None where it is unreadable.
        event_time, received_time: None where the record does not say so readably.
    """
    if not tombstones:
        return None
    identities = adapter.identities(document) if adapter is not None else ()
    if not identities:
        words = _WORD.findall(raw) if document is None else list(_values(document))
        return tombstones.words(words, event_time, received_time)
    for each in identities:
        if (request := tombstones.event(each.shopper_id, event_time, received_time)) is not None:
            return request
    return None


def erases_line(tombstones: Tombstones, line: bytes) -> str | None:
    """The request that erases a line of the event log; None where it stays, or is erased already."""
    if not tombstones or line.startswith(ERASED):
        return None
    document = _decoded(line)
    times = _NATIVE.times(document)
    text = line.decode("utf-8", "backslashreplace")
    return erased_by(tombstones, _NATIVE, text, document, times.event_time, times.received_time)


@dataclass(frozen=True, slots=True)
class Logged:
    """What a line of the event log tells of one event: whose it is, its id, and the session id where one is given."""

    identity: Identity
    event_id: str
    session_id: str | None


def logged(lines: Iterable[bytes]) -> Iterator[Logged]:
    """The events that lines of the event log tell of; none of an unreadable line."""
    for line in lines:
        document = _decoded(line)
        if isinstance(document, dict):
            session_id = document.get("session_id")
            given = None if session_id is None else str(session_id)
            for identity in _NATIVE.identities(document):
                yield Logged(identity, str(document.get("event_id")), given)


@dataclass(frozen=True)
class Told:
    """What lines alone may tell of a person: anonymous ids seen with the user, and ids of events and given sessions."""

    devices: frozenset[str]
    event_ids: frozenset[str]
    session_ids: frozenset[str]


def told_by(lines: Iterable[bytes], is_person: Callable[[str], bool]) -> Told:
    """What lines of the event log tell of the shoppers that `is_person` names."""
    found = [each for each in logged(lines) if is_person(each.identity.shopper_id)]
    return Told(
        devices=frozenset(each.identity.anonymous_id for each in found if each.identity.anonymous_id is not None),
        event_ids=frozenset(each.event_id for each in found),
        session_ids=frozenset(each.session_id for each in found if each.session_id is not None),
    )


def without_erased(lines: Sequence[bytes], erasures: Erasures) -> list[bytes]:
    """`lines` of an event log that come to the disk only now, with an erased line for each that an erasure takes.

    What they tell of the person is noted first, as for lines that are erased on the disk.
    """
    tombstones = erasures.tombstones()
    taken: dict[str, list[bytes]] = {}
    kept: list[bytes] = []
    for line in lines:
        request = erases_line(tombstones, line)
        kept.append(line if request is None else ERASED)
        if request is not None:
            taken.setdefault(request, []).append(line)
    for request, erased in taken.items():

        def is_person(shopper_id: str, request: str = request) -> bool:
            return tombstones.requests.get(tombstones.of(shopper_id)) == request

        told = told_by(erased, is_person)
        erasures.note(request, devices=told.devices, event_ids=told.event_ids, session_ids=told.session_ids)
    return kept


def erasure_refusal(event: Event, tombstones: Tombstones) -> Quarantined | None:
    """The refusal of an event that an erasure takes: it happened before, and comes late or again."""
    if not tombstones:
        return None
    if tombstones.event(shopper_id(event), event.event_time, event.received_time) is None:
        return None
    return refuse("erased", "the shopper was erased, with everything up to a moment after event_time")


def _decoded(line: bytes) -> object:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return None


def _values(document: object) -> Iterator[str]:
    """Every text and number in a decoded document, as text."""
    level: list[Any] = [document]
    while level:
        value = level.pop()
        if isinstance(value, dict):
            level.extend(value.values())
        elif isinstance(value, list):
            level.extend(value)
        elif isinstance(value, str):
            yield value.strip()
        elif isinstance(value, int) and not isinstance(value, bool):
            yield str(value)
