"""Raw records of one day become accepted events, quarantined records and counted duplicates; none is lost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.events.adapters import Parsed, get_adapter
from intent_tracking.events.arrival import LOOKBACK_DAYS, arrival_refusal, on_arrival
from intent_tracking.events.contract import Event, SourcePosition, events_to_table
from intent_tracking.events.quarantine import QUARANTINE_SCHEMA, RAW_SCHEMA, Quarantined
from intent_tracking.tables import DayTable

_READ_COLUMNS = ["raw", "adapter", "source_file", "source_line", "record_count", "received_time"]
_BATCH_ROWS = 8_192
_ORDER = ("received_time", "source_file", "source_line", "raw")


@dataclass(frozen=True)
class Validated:
    """What one day gave. Counts are of records (log lines); a grouped event holds several.

    `accepted` is ordered by (event_time, event_id), `quarantined` by source position, so the same input gives the same
    bytes.
    """

    accepted: pa.Table
    quarantined: pa.Table
    duplicates: int
    records_read: int

    @property
    def records_accepted(self) -> int:
        """Log lines inside accepted events."""
        return _total(self.accepted)

    @property
    def records_quarantined(self) -> int:
        """Log lines set aside with a reason."""
        return _total(self.quarantined)

    @property
    def is_conserved(self) -> bool:
        """records read = accepted + duplicate + quarantined."""
        return self.records_read == self.records_accepted + self.duplicates + self.records_quarantined

    @property
    def reasons(self) -> dict[str, int]:
        """Quarantined log lines by reason, most frequent first."""
        counted: dict[str, int] = {}
        for reason, count in zip(
            self.quarantined["reason"].to_pylist(), self.quarantined["record_count"].to_pylist(), strict=True
        ):
            counted[reason] = counted.get(reason, 0) + count
        return dict(sorted(counted.items(), key=lambda each: (-each[1], each[0])))


def validate(raw: pa.Table, day: date, *, known_ids: Collection[str] = frozenset()) -> Validated:
    """Accept, quarantine or count as duplicate each row of `raw` (RAW_SCHEMA), the partition of `day`.

    Of rows with one event id the earliest by (received_time, source_file, source_line) is kept; the rest, and every
    event whose id is among `known_ids` (see `accepted_ids`), are duplicates.

    Raises:
        ValueError: a row belongs to another day, or names an adapter that does not exist.
    """
    table = raw.sort_by([(name, "ascending") for name in _ORDER])
    known = known_ids if isinstance(known_ids, set | frozenset) else frozenset(known_ids)
    run = _Run(day, known)
    accepted = events_to_table(run.events(table))
    return Validated(
        accepted=accepted.sort_by([("event_time", "ascending"), ("event_id", "ascending")]).combine_chunks(),
        quarantined=_quarantined(table, run.refusals),
        duplicates=run.duplicates,
        records_read=_total(table),
    )


class _Run:
    """One pass over the ordered raw rows of a day: yields what is accepted, keeps count of the rest."""

    def __init__(self, day: date, known_ids: Set[str]) -> None:
        self.refusals: list[tuple[int, Quarantined]] = []
        self.duplicates = 0
        self._day = day
        self._known_ids = known_ids
        self._seen: set[str] = set()

    def events(self, table: pa.Table) -> Iterator[tuple[Event, SourcePosition]]:
        index = -1
        for batch in table.select(_READ_COLUMNS).to_batches(max_chunksize=_BATCH_ROWS):
            for text, spec, file, line, count, received_time in zip(*batch.to_pydict().values(), strict=True):
                index += 1
                parsed = get_adapter(spec).parse(text, received_time)
                event = self._accepted(parsed, index, file, line, count, received_time)
                if event is not None:
                    yield event, SourcePosition(file, line, _kept_records(parsed, count))

    def _accepted(
        self, parsed: Parsed, index: int, file: str, line: int, count: int, received_time: datetime
    ) -> Event | None:
        event = parsed.event
        if event is None:
            self.duplicates += parsed.duplicates
            self.refusals.extend((index, each) for each in parsed.quarantined)
            return None
        if event.event_id in self._seen or event.event_id in self._known_ids:
            self.duplicates += count
            return None
        if (refusal := arrival_refusal(event.event_time, received_time)) is not None:
            self.refusals.append((index, refusal))
            return None
        event = on_arrival(event)
        if event.event_time.date() != self._day:
            own_day = event.event_time.date()
            raise ValueError(
                f"{file}:{line} belongs to {own_day}, not to {self._day}: collect raw events of both days anew"
            )
        self._seen.add(event.event_id)
        self.duplicates += parsed.duplicates
        self.refusals.extend((index, each) for each in parsed.quarantined)
        return event


def accepted_ids(events: DayTable, day: date) -> frozenset[str]:
    """Ids accepted in the lookback before `day`: an event that comes again there is a duplicate, not a second event."""
    days = [day - timedelta(days=back) for back in range(1, LOOKBACK_DAYS + 1)]
    return frozenset(events.read(days, columns=["event_id"])["event_id"].to_pylist())


def replay(quarantined: pa.Table, *, reasons: Iterable[str] | None = None) -> pa.Table:
    """Quarantined rows as raw rows (RAW_SCHEMA) again, to be validated after a fix; all, or those of `reasons`.

    A refused line of a grouped record alone is not its event. Where a mapping was mended, validate the whole raw
    partition again instead: it keeps every group together.
    """
    chosen = quarantined
    if reasons is not None:
        chosen = quarantined.filter(pc.is_in(quarantined["reason"], pa.array(sorted(reasons), pa.string())))
    return chosen.select(RAW_SCHEMA.names).cast(RAW_SCHEMA)


def _kept_records(parsed: Parsed, record_count: int) -> int:
    return int(record_count) - parsed.duplicates - sum(each.record_count or 0 for each in parsed.quarantined)


def _total(table: pa.Table) -> int:
    return int(pc.sum(table["record_count"]).as_py() or 0)


def _quarantined(table: pa.Table, refusals: list[tuple[int, Quarantined]]) -> pa.Table:
    """QUARANTINE_SCHEMA rows: the raw row of each refusal, narrowed to the log line that it names."""
    rows = table.take(pa.array([index for index, _ in refusals], pa.int64()))
    own = {
        "raw": [each.raw for _, each in refusals],
        "source_line": [each.source_line for _, each in refusals],
        "record_count": [each.record_count for _, each in refusals],
    }
    for name, values in own.items():
        field = RAW_SCHEMA.field(name)
        narrowed = pc.coalesce(pa.array(values, field.type), rows[name].combine_chunks())
        rows = rows.set_column(rows.column_names.index(name), field, narrowed)
    rows = rows.append_column("reason", pa.array([each.reason for _, each in refusals], pa.string()))
    rows = rows.append_column("detail", pa.array([each.detail for _, each in refusals], pa.string()))
    ordered = rows.sort_by([(name, "ascending") for name in ("source_file", "source_line", "raw", "reason")])
    return ordered.cast(QUARANTINE_SCHEMA)
