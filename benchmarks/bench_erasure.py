"""How long an erasure takes: the request at the service, the job, and the search that proves it.

    python -m benchmarks.bench_erasure [events] [megabytes of other files]

Events of 1,000 shoppers in the service's log and in one landed file, and their raw and validated tables; the person has
one in a thousand. Prints one JSON line; seconds are of the processor, so that a busy machine gives the same.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from intent_tracking.erasure.live import erase_live
from intent_tracking.erasure.proof import prove
from intent_tracking.erasure.stored import erase_stored
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.events.ingest import collect
from intent_tracking.events.landing import land
from intent_tracking.events.quarantine import RAW_SCHEMA
from intent_tracking.events.segment_log import SegmentLog
from intent_tracking.events.validate import validate
from intent_tracking.sessions.state import open_session_store
from intent_tracking.settings import Settings
from intent_tracking.tables import DayTable

SHOPPERS = 1_000


def events(count: int, prefix: str, now: datetime) -> Iterator[bytes]:
    """Log lines of about 250 bytes, as the service writes them."""
    for number in range(count):
        yield orjson.dumps(
            {
                "event_id": f"{prefix}-{number:09d}",
                "event_name": "search",
                "event_time": now - timedelta(microseconds=number),
                "received_time": now,
                "user_id": f"u-{number % SHOPPERS:06d}",
                "anonymous_id": f"d-{number % SHOPPERS:06d}",
                "source": "web",
                "scene": "search",
                "params": {"search_term": "red dress with long sleeves, size 42"},
            }
        )


def measure(home: Path, count: int, megabytes: int) -> dict[str, float]:
    settings, now = Settings(home=home), datetime.now(UTC)
    log, lines = SegmentLog(settings.event_log), list(events(count // 2, "s", now))
    for start in range(0, len(lines), 5_000):
        log.append(lines[start : start + 5_000])
    log.close()
    landed = home / f"{now.date()}.jsonl"
    landed.write_bytes(b"\n".join(events(count // 2, "l", now)) + b"\n")
    land([landed], "web", "native", home=home)
    landed.unlink()
    for day, raw in collect(home, [now.date()]):
        DayTable(settings.tables, "raw_events", RAW_SCHEMA).write(day, raw)
        DayTable(settings.tables, "validated_events", EVENT_SCHEMA).write(day, validate(raw, day).accepted)
    (home / "other.bin").write_bytes(b"\x00some text " * (megabytes * 2**20 // 11))
    sessions = open_session_store(settings)
    seconds: dict[str, float] = {}
    begin = time.process_time()
    erase_live(settings, sessions, "u-000007", datetime.now(UTC), seconds=600)
    seconds["request"] = time.process_time() - begin
    begin = time.process_time()
    erase_stored(settings, sessions)
    seconds["job"] = time.process_time() - begin
    begin = time.process_time()
    (proved,) = prove(settings)
    seconds["search"] = time.process_time() - begin
    sessions.close()
    if not proved.finished:
        raise SystemExit(f"not proved: {proved.proof}")
    return {
        "events": count,
        "removed": sum(proved.removed.values()),
        "megabytes_searched": proved.proof.megabytes,
        **{f"{name}_s": round(value, 3) for name, value in seconds.items()},
        "search_mb_per_s": round(proved.proof.megabytes / seconds["search"], 1),
    }


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder), *(given + [200_000, 200][len(given) :]))))
