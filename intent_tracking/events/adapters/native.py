"""The contract itself as JSON lines, which is also what the HTTP service receives and logs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from intent_tracking.events.adapters.base import (
    Identity,
    Parsed,
    SourceRecord,
    Times,
    build_event,
    decode,
    identity,
    read_json_records,
    refused,
    utc_time,
)
from intent_tracking.events.contract import NAMES_OUTSIDE, SCENE_OF_EVENT
from intent_tracking.events.quarantine import QuarantineReason

NATIVE_SOURCE: Final = "native"
_SCENES: Final = {str(name): str(scene) for name, scene in SCENE_OF_EVENT.items()}


def parse_document(document: object, received_time: datetime, *, keep_received_time: bool = False) -> Parsed:
    """The event of one decoded JSON document of the contract.

    A missing `source` is "native", a missing `scene` that of the event's name. `received_time` is the arrival; the
    document's own is checked and then replaced by it, unless `keep_received_time` (replays of archived traffic).
    """
    if not isinstance(document, dict):
        return refused(QuarantineReason.UNREADABLE, f"a JSON {type(document).__name__} is not an object")
    fields = dict(document)
    name = fields.get("event_name")
    if isinstance(name, str) and name in NAMES_OUTSIDE:
        return refused(QuarantineReason.OUTSIDE_CONTRACT, f"event_name: {name} is not used by intent tracking")
    own = fields.get("received_time")
    if own is None:
        fields["received_time"] = received_time
    if fields.get("source") is None:
        fields["source"] = NATIVE_SOURCE
    if fields.get("scene") is None and isinstance(name, str) and name in _SCENES:
        fields["scene"] = _SCENES[name]
    parsed = build_event(fields)
    if own is None or keep_received_time or parsed.event is None or parsed.event.received_time == received_time:
        return parsed
    return Parsed(event=parsed.event.model_copy(update={"received_time": received_time}))


class NativeAdapter:
    """JSON lines of the contract."""

    name = "native"
    free_text: frozenset[str] = frozenset()

    def read(self, path: Path) -> Iterator[SourceRecord]:
        return read_json_records(path)

    def times(self, document: object) -> Times:
        if not isinstance(document, dict):
            return Times()
        return Times(utc_time(document.get("event_time")), utc_time(document.get("received_time")))

    def identities(self, document: object) -> tuple[Identity, ...]:
        if not isinstance(document, dict):
            return ()
        return identity(document.get("user_id"), document.get("anonymous_id"))

    def parse(self, raw: str, received_time: datetime) -> Parsed:
        document = decode(raw)
        return document if isinstance(document, Parsed) else parse_document(document, received_time)
