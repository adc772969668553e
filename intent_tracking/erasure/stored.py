"""Everything that is stored below the home, place by place; each step may be repeated, whatever interrupted it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from intent_tracking.erasure.devices import devices_of
from intent_tracking.erasure.lines import blank_lines
from intent_tracking.erasure.live import (
    CONSOLE_FEED,
    EVENT_LOG,
    HANDOVERS,
    PREDICTION_LOG,
    SESSION_STATE,
    erase_events,
    erase_feed,
    erase_predictions,
)
from intent_tracking.erasure.marketing import AUDIENCE_FILES, CONSENTS, erase_audience_files, erase_consents
from intent_tracking.erasure.proof import names_of
from intent_tracking.erasure.rows import RAW_TABLES, erase_day, erase_examples, erase_landed_rows
from intent_tracking.events.adapters import get_adapter
from intent_tracking.events.adapters.base import log_format
from intent_tracking.events.adapters.columns import ColumnsAdapter, lines_of
from intent_tracking.events.erased import erased_by, logged
from intent_tracking.events.ingest import Arrivals, decoded, read_file
from intent_tracking.events.segment_log import read_segment, segments
from intent_tracking.events.sources import LogFile, log_files
from intent_tracking.prediction_log import prediction_segments
from intent_tracking.sessions.state import SessionStore, new_session_id
from intent_tracking.settings import Settings
from intent_tracking.tombstones import ANONYMOUS, Erasure, Erasures, Tombstones

LANDING: Final = "landing"
ANNOTATIONS: Final = "annotations"
TRUTH: Final = "truth"
TRAINING: Final = "training"

Progress = Callable[[str, int], None]
"""Called with a place and the records that were removed there."""


def erase_stored(settings: Settings, sessions: SessionStore, progress: Progress | None = None) -> dict[str, int]:
    """Remove every erased person from live sessions, logs, labels, tables, marketing and training data, by place.

    Erasures that are done already are applied again: to what came late, was landed again, or was restored from a
    backup. Nobody else may write tables meanwhile; the service may go on. Online features are not among the places.

    Where the event log is a topic, all of it is copied first: it alone may tell a device of the person.

    Raises:
        KafkaLogError: the topic cannot be copied.
        FileChangedError: a landed file is being written.
        ErasureError: a record of an erasure cannot be read.
    """
    erasures = Erasures(settings.home)
    if settings.event_log_kafka is not None:
        from intent_tracking.events.kafka_log import copy_topic

        copy_topic(settings.event_log_kafka.get_secret_value(), settings.event_log, erasures)
    pending = erasures.pending()
    for request, devices in devices_of(settings, pending, erasures.tombstones()).items():
        # On the disk before anything is removed that tells them.
        erasures.note(request, devices=devices.own | devices.shared)
        erasures.decide(request, devices.own, len(devices.shared))
    tombstones = erasures.tombstones()
    total: Counter[str] = Counter()
    if not tombstones:
        return {}

    def done(place: str, counts: Mapping[str, int]) -> None:
        if not counts:
            return
        for request, count in counts.items():
            erasures.note(request, removed={place: count})
        total[place] += sum(counts.values())
        if progress is not None:
            progress(place, sum(counts.values()))

    for erasure in erasures.pending():
        person = names_of(erasure, tombstones)
        for place, gone in (
            (SESSION_STATE, sessions.erase(person.user_id).events),
            (CONSOLE_FEED, erase_feed(settings, sorted(person.shoppers))),
        ):
            done(place, {erasure.request: gone} if gone else {})
    _erase_labels(settings, erasures.pending(), tombstones, done)
    for path in sorted((settings.home / TRUTH).glob("*.jsonl")):
        done(TRUTH, _erase_truth(path, tombstones))
    for file in log_files(settings.home):
        if file.is_segment:
            done(EVENT_LOG, erase_events(file.path, tombstones))
        else:
            done(LANDING, erase_landed(file, tombstones))
    for day, segment in prediction_segments(settings.prediction_log):
        done(PREDICTION_LOG, erase_predictions(segment, day, tombstones))
    for day, segment in prediction_segments(settings.handovers):
        done(HANDOVERS, erase_predictions(segment, day, tombstones))
    for table, day, part in _parts(settings.tables):
        done(f"tables/{table}", erase_day(part, table, day, tombstones))
    done(CONSENTS, erase_consents(settings.home, tombstones))
    done(AUDIENCE_FILES, erase_audience_files(settings.home, tombstones))
    if settings.training_examples.is_file():
        done(TRAINING, erase_examples(settings.training_examples, settings.tokenized_sessions, tombstones))
    return dict(total)


def erase_landed(file: LogFile, tombstones: Tombstones) -> Counter[str]:
    """Remove the records of erased shoppers from one landed file; log lines by request.

    Lines of a text file are left empty, so that the others keep their numbers; rows of a Parquet file move up. A line
    that lists several entries goes whole.
    """
    adapter = get_adapter(file.adapter)
    arrivals = Arrivals(file)
    counts: Counter[str] = Counter()
    lines: set[int] = set()
    for record in read_file(adapter, file):
        document = decoded(record.raw)
        times = adapter.times(document)
        request = erased_by(tombstones, adapter, record.raw, document, times.event_time, arrivals.of(times))
        if request is not None:
            counts[request] += record.record_count
            lines.update(lines_of(document) or (record.source_line,))
    if lines:
        match log_format(file.path):
            case "parquet":
                erase_landed_rows(file.path, frozenset(lines))
            case "csv" if isinstance(adapter, ColumnsAdapter):
                spans = (range(first, last + 1) for first, last in adapter.csv_rows(file.path) if last in lines)
                numbers = frozenset(number for span in spans for number in span)
                blank_lines(file.path, numbers, adapter.mapping.encoding)
            case _:
                blank_lines(file.path, frozenset(lines))
    return counts


def _erase_labels(
    settings: Settings,
    pending: Iterable[Erasure],
    tombstones: Tombstones,
    done: Callable[[str, Mapping[str, int]], None],
) -> None:
    """Remove labels of the sessions and messages of those whose erasure is pending, and labels that name them.

    A label names a session by the id that the service or the tables gave it; where another shopper used the same
    given id, the label goes too: whose session was meant, nobody can tell any more.
    """
    # Applications keep labels of their own in folders below.
    paths = sorted(settings.annotations.rglob("*.jsonl"))
    owners = _owned(settings, pending, tombstones) if paths else {}
    for path in paths:
        counts: Counter[str] = Counter()
        lines: set[int] = set()
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                label = decoded(line.decode("utf-8", "backslashreplace"))
                if not isinstance(label, dict):
                    continue
                named = [label.get("event_id"), str(label.get("session_id")).partition("#")[0], label.get("session_id")]
                owner = next((owners[each] for each in named if isinstance(each, str) and each in owners), None)
                owner = owner or tombstones.words([v for v in label.values() if isinstance(v, str)], None, None)
                if owner is not None:
                    counts[owner] += 1
                    lines.add(number)
        if lines:
            blank_lines(path, frozenset(lines))
        done(ANNOTATIONS, counts)


def _erase_truth(path: Path, tombstones: Tombstones) -> Counter[str]:
    """Remove what the log simulator knows of a shopper's day from a file of its own."""
    day = date.fromisoformat(path.stem)
    counts: Counter[str] = Counter()
    lines: set[int] = set()
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            row = decoded(line.decode("utf-8", "backslashreplace"))
            request = tombstones.derived(row.get("shopper_id"), day) if isinstance(row, dict) else None
            if request is not None:
                counts[request] += 1
                lines.add(number)
    if lines:
        blank_lines(path, frozenset(lines))
    return counts


def _owned(settings: Settings, pending: Iterable[Erasure], tombstones: Tombstones) -> dict[str, str]:
    """Ids of events and sessions of those whose erasure is pending, with the request.

    A session that began on a device without a user is the person's if the person logged in then. Where the device is
    shared and no table says whose it became, it may be the person's.
    """
    owners: dict[str, str] = {}
    named: dict[str, str] = {}
    begun: dict[str, str] = {}
    for erasure in pending:
        if erasure.pending is None:
            continue
        names = (erasure.pending.user_id, *(f"{ANONYMOUS}{device}" for device in erasure.pending.devices))
        named |= dict.fromkeys(names, erasure.request)
        owners |= dict.fromkeys((*erasure.pending.event_ids, *erasure.pending.session_ids), erasure.request)
        # Any event may have begun a session, whose id the service made of it.
        begun |= {_begun(name, each): erasure.request for each in erasure.pending.event_ids for name in names}
    # Of the devices the own ones alone have a tombstone.
    shoppers = {name: request for name, request in named.items() if tombstones.of(name) in tombstones.until}
    for segment in segments(settings.event_log):
        for event in logged(line.data for line in read_segment(segment)):
            shopper = event.identity.shopper_id
            if shopper in named:
                begun[_begun(shopper, event.event_id)] = named[shopper]
            if shopper in shoppers:
                known = (event.event_id, event.session_id)
                owners |= {each: shoppers[shopper] for each in known if each is not None}
    for table, names in (("validated_events", ("event_id", "session_id")), ("sessions", ("session_id",))):
        for _, _, part in _parts(settings.tables, table):
            rows = pq.ParquetFile(part).read(columns=["shopper_id", *names])
            for shopper, *ids in zip(*rows.to_pydict().values(), strict=True):
                if shopper in shoppers:
                    owners |= {each: shoppers[shopper] for each in ids if each is not None}
                elif table == "sessions":
                    begun.pop(ids[0], None)
    return begun | owners


def _begun(shopper: str, event_id: str) -> str:
    return new_session_id(shopper, None, event_id, taken=False)


def _parts(root: Path, table: str = "*") -> list[tuple[str, date, Path]]:
    found = [
        (path.parent.parent.name, date.fromisoformat(path.parent.name.removeprefix("day=")), path)
        for path in sorted(root.glob(f"{table}/day=*/part.parquet"))
    ]
    # What the others were made of comes first.
    return sorted(found, key=lambda each: (each[0] not in RAW_TABLES, each[0], each[1]))
