"""Which anonymous ids are a person's own: those of devices that nobody else was seen on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from intent_tracking.events.adapters import Identity, get_adapter
from intent_tracking.events.ingest import decoded, read_file
from intent_tracking.events.sources import log_files
from intent_tracking.settings import Settings
from intent_tracking.tombstones import Erasure, Tombstones


@dataclass(frozen=True)
class Devices:
    """Anonymous ids seen with a person: `own` with nobody else, `shared` with somebody who stays."""

    own: frozenset[str]
    shared: frozenset[str]


def devices_of(settings: Settings, pending: Sequence[Erasure], tombstones: Tombstones) -> dict[str, Devices]:
    """The devices of each of `pending`, by request, from every log file and every accepted event.

    What was done without logging in on a device that several people use cannot be told to be one person's, so a shared
    device is nobody's: its events stay, without a user. Others who are erased as well do not count.
    """
    users = {each.pending.user_id: each.request for each in pending if each.pending is not None}
    found: dict[str, set[str]] = {
        each.request: set(each.pending.devices) for each in pending if each.pending is not None
    }
    for user, device in _seen_together(settings):
        if user in users:
            found[users[user]].add(device)
    asked = frozenset().union(*found.values()) if found else frozenset()
    shared: set[str] = set()
    if asked:
        for user, device in _seen_together(settings):
            if device in asked and user not in users and tombstones.of(user) not in tombstones.until:
                shared.add(device)
    return {
        request: Devices(own=frozenset(devices - shared), shared=frozenset(devices & shared))
        for request, devices in found.items()
    }


def _seen_together(settings: Settings) -> Iterator[tuple[str, str]]:
    """Each user with an anonymous id that came with it, in any log file or accepted event; pairs repeat."""
    for path in sorted((settings.tables / "validated_events").glob("day=*/part.parquet")):
        events = pq.ParquetFile(path).read(columns=["user_id", "anonymous_id"])
        pairs: pa.Table = events.group_by(["user_id", "anonymous_id"]).aggregate([])
        for row in pairs.to_pylist():
            yield from _pair(row)
    for file in log_files(settings.home):
        adapter = get_adapter(file.adapter)
        for record in read_file(adapter, file):
            for identity in adapter.identities(decoded(record.raw)):
                yield from _pair(_row(identity))


def _row(identity: Identity) -> dict[str, str | None]:
    return {"user_id": identity.user_id, "anonymous_id": identity.anonymous_id}


def _pair(row: Mapping[str, str | None]) -> Iterator[tuple[str, str]]:
    user, device = row["user_id"], row["anonymous_id"]
    if user is not None and device is not None:
        yield user, device
