"""Which log records an erasure takes: one rule for what is stored and for what comes after."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from intent_tracking.events.adapters import Adapter
from intent_tracking.events.contract import Event, shopper_id
from intent_tracking.events.quarantine import Quarantined, refuse
from intent_tracking.tombstones import Tombstones

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


def erasure_refusal(event: Event, tombstones: Tombstones) -> Quarantined | None:
    """The refusal of an event that an erasure takes: it happened before, and comes late or again."""
    if not tombstones:
        return None
    if tombstones.event(shopper_id(event), event.event_time, event.received_time) is None:
        return None
    return refuse("erased", "the shopper was erased, with everything up to a moment after event_time")


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
