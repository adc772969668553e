"""Whether an event arrived in time, and on which day it counts: the same at the door as in log files of any format."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from bentos.intent_service.metrics import Metrics
from bentos.intent_service.tracking import Tracker
from intent_tracking.events.ingest import collect
from intent_tracking.events.sources import SourceConfig, write_source
from intent_tracking.events.validate import validate
from intent_tracking.settings import Settings

pytestmark = pytest.mark.contract

DAY = date(2026, 3, 10)
BEFORE_MIDNIGHT = datetime(2026, 3, 10, 23, 59, 59, tzinfo=UTC)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
LAST_MOMENT = datetime(2026, 3, 10, 23, 59, 59, 999_999, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
# When it happened by the sender's clock, when it arrived, and the time that it has then, or the reason against it.
CASES = [
    (BEFORE_MIDNIGHT + timedelta(seconds=2), BEFORE_MIDNIGHT, LAST_MOMENT),
    (BEFORE_MIDNIGHT + 5 * MINUTE, BEFORE_MIDNIGHT, LAST_MOMENT),
    (BEFORE_MIDNIGHT + 5 * MINUTE + timedelta(milliseconds=1), BEFORE_MIDNIGHT, "from_the_future"),
    (NOON + 5 * MINUTE, NOON, NOON + 5 * MINUTE),
    (NOON + timedelta(hours=11), NOON, "from_the_future"),
    (NOON + timedelta(days=1), NOON, "from_the_future"),
    (NOON, NOON, NOON),
    (datetime(2026, 3, 7, tzinfo=UTC), BEFORE_MIDNIGHT, datetime(2026, 3, 7, tzinfo=UTC)),
    (datetime(2026, 3, 6, 23, 59, 59, tzinfo=UTC), NOON, "too_late"),
]


def native(at: datetime, received: datetime) -> dict[str, Any]:
    return {
        "event_id": "e1",
        "event_name": "share",
        "event_time": at.isoformat(),
        "received_time": received.isoformat(),
        "user_id": "u",
    }


def segment(at: datetime, received: datetime) -> dict[str, Any]:
    return {
        "type": "track",
        "event": "Product Shared",
        "messageId": "e1",
        "userId": "u",
        "timestamp": at.isoformat(),
        "receivedAt": received.isoformat(),
        "properties": {"product_id": "P1"},
    }


def outcome(home: Path) -> datetime | str:
    """What ingestion makes of the one record below `home`, on the one day on which it stands."""
    days = [DAY + timedelta(days=n) for n in range(-5, 3)]
    ((day, raw),) = [(day, table) for day, table in collect(home, days) if table.num_rows]
    result = validate(raw, day)
    assert result.is_conserved
    if result.accepted.num_rows:
        (row,) = result.accepted.select(["event_time"]).to_pylist()
        moment = row["event_time"]
        assert isinstance(moment, datetime)
        assert moment.date() == day
        return moment
    (reason,) = result.quarantined["reason"].to_pylist()
    return str(reason)


@pytest.mark.parametrize(("at", "received", "expected"), CASES)
@pytest.mark.parametrize("adapter", ["native", "segment"])
def test_in_log_files(tmp_path: Path, adapter: str, at: datetime, received: datetime, expected: datetime | str) -> None:
    folder = tmp_path / "landing" / "web"
    folder.mkdir(parents=True)
    write_source(folder, SourceConfig(adapter=adapter, received="field"))
    document = (native if adapter == "native" else segment)(at, received)
    (folder / "log.jsonl").write_bytes(orjson.dumps(document) + b"\n")
    assert outcome(tmp_path) == expected


@pytest.mark.parametrize(("at", "received", "expected"), CASES)
def test_at_the_door_and_in_the_log_that_it_writes(
    tmp_path: Path, at: datetime, received: datetime, expected: datetime | str
) -> None:
    tracker = Tracker(Settings(home=tmp_path), Metrics())
    tracked = tracker.track([native(at, received)], received)
    tracker.close()
    if isinstance(expected, str):
        assert [refused.reason for refused in tracked.rejected] == [expected]
    else:
        assert (tracked.accepted, [each.event_time for each in tracked.touched]) == (1, [expected])
        assert outcome(tmp_path) == expected


def test_a_dated_log_that_rotates_after_midnight_keeps_the_time_of_what_happened_in_between(tmp_path: Path) -> None:
    # Cause: all of it got the last moment of the day before, so that a purchase could stand before its cart.
    folder = tmp_path / "landing" / "web"
    folder.mkdir(parents=True)
    write_source(folder, SourceConfig(adapter="native", received="file_date"))
    seconds = [-1, 2, 100, 299, 301]
    times = [datetime(2026, 3, 11, tzinfo=UTC) + timedelta(seconds=each) for each in seconds]
    lines = [orjson.dumps(native(at, at) | {"event_id": f"e{place}"}) for place, at in enumerate(times)]
    (folder / f"{DAY}.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    next_day = DAY + timedelta(days=1)
    found = {day: validate(raw, day) for day, raw in collect(tmp_path, [DAY, next_day])}
    accepted = {day: each.accepted["event_time"].to_pylist() for day, each in found.items()}
    assert accepted == {DAY: times[:1], next_day: times[1:4]}
    assert found[DAY].quarantined["reason"].to_pylist() == ["from_the_future"]
    ((_, alone),) = collect(tmp_path, [next_day])
    assert alone.num_rows == 3
