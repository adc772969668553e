"""Landing and collecting: each record once, under one day, read no more often than needed."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import time
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from intent_tracking.events.ingest import collect, days_of, overlooked
from intent_tracking.events.landing import land
from intent_tracking.events.quarantine import RAW_SCHEMA
from intent_tracking.events.segment_log import SegmentLog, segments
from intent_tracking.tables import DayTable
from intent_tracking.tombstones import Erasures

pytestmark = pytest.mark.unit

DAYS = [date(2026, 1, day) for day in range(1, 13)]


def event(number: int, event_time: str, received_time: str | None = None) -> str:
    document = {"event_id": f"e{number}", "event_name": "share", "event_time": event_time, "user_id": "u"}
    return json.dumps(document | ({"received_time": received_time} if received_time else {}))


def source(home: Path, name: str, received: str, **files: str) -> Path:
    folder = home / "landing" / name
    folder.mkdir(parents=True)
    (folder / "source.yaml").write_text(f"adapter: native\nreceived: {received}\n")
    for file, text in files.items():
        (folder / file.replace("_", "-")).with_suffix(".jsonl").write_text(text)
    return folder


def places(home: Path, days: list[date]) -> dict[int, list[tuple[str, int]]]:
    found = {}
    for day, table in collect(home, days):
        assert table.schema == RAW_SCHEMA
        rows = list(zip(table["source_file"].to_pylist(), table["source_line"].to_pylist(), strict=True))
        if rows:
            found[day.day] = rows
    return found


def test_records_stand_under_their_date_or_their_arrival(tmp_path: Path) -> None:
    text = "\n".join(
        [
            event(1, "2026-01-05T10:00:00Z"),
            event(2, "2026-01-03T10:00:00Z"),
            event(3, "2026-01-01T10:00:00Z"),
            event(4, "2026-01-06T10:00:00Z"),
            "broken",
        ]
    )
    source(tmp_path, "web", "file_date", **{"2026_01_05": text})
    name = "web/2026-01-05.jsonl"
    assert places(tmp_path, DAYS) == {5: [(name, 1), (name, 3), (name, 4), (name, 5)], 3: [(name, 2)]}


def test_a_range_gives_what_its_days_give_one_by_one(tmp_path: Path) -> None:
    for day in (3, 4, 5):
        lines = [event(day * 10 + back, f"2026-01-{day - back:02d}T10:00:00Z") for back in range(3)]
        folder = tmp_path / "landing" / "web"
        if not folder.exists():
            source(tmp_path, "web", "file_date")
        (folder / f"2026-01-{day:02d}.jsonl").write_text("\n".join(lines))
    together = dict(collect(tmp_path, DAYS))
    for day in DAYS:
        ((_, alone),) = collect(tmp_path, [day])
        assert alone.equals(together[day])


def test_a_field_tells_the_arrival_and_the_file_date_stands_in(tmp_path: Path) -> None:
    text = event(1, "2026-01-05T10:00:00Z", "2026-01-06T01:00:00Z") + "\n" + event(2, "2026-01-05T10:00:00Z")
    source(tmp_path, "app", "field", **{"2026_01_07": text})
    ((_, table),) = collect(tmp_path, [date(2026, 1, 5)])
    assert table["received_time"].to_pylist() == [
        datetime(2026, 1, 6, 1, tzinfo=UTC),
        datetime(2026, 1, 7, 23, 59, 59, 999999, tzinfo=UTC),
    ]


def test_an_archive_arrives_when_it_happens_and_a_broken_line_with_its_neighbour(tmp_path: Path) -> None:
    text = event(1, "2019-01-05T10:00:00Z") + "\nbroken\n" + event(2, "2019-02-05T10:00:00Z")
    source(tmp_path, "old", "event_time", everything=text)
    days = [date(2019, 1, 5), date(2019, 2, 5)]
    assert [table.num_rows for _, table in collect(tmp_path, days)] == [2, 1]


def test_the_event_log_is_a_source_without_its_torn_tail(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path / "event_log")
    log.append([event(1, "2026-01-05T10:00:00Z", "2026-01-05T10:00:01Z").encode()])
    (segment,) = segments(tmp_path / "event_log")
    with segment.open("ab") as file:
        file.write(b'{"event_id": "torn')
    ((_, table),) = collect(tmp_path, [date(2026, 1, 5)])
    assert table["source_file"].to_pylist() == [f"service/{segment.name}"]
    log.append([event(2, "2026-01-05T11:00:00Z", "2026-01-05T11:00:01Z").encode()])


def test_a_file_that_holds_nothing_of_the_days_is_not_read_again(tmp_path: Path) -> None:
    folder = source(
        tmp_path, "app", "field", **{"2026_01_05": event(1, "2026-01-05T10:00:00Z", "2026-01-05T10:00:01Z")}
    )
    read: list[str] = []

    def progress(name: str, _done: int, _total: int) -> None:
        read.append(name)

    list(collect(tmp_path, [date(2026, 1, 9)], progress=progress))
    assert read == ["app/2026-01-05.jsonl", ""]
    read.clear()
    list(collect(tmp_path, [date(2026, 1, 9)], progress=progress))
    assert read == [""]
    read.clear()
    with (folder / "2026-01-05.jsonl").open("a") as file:
        file.write("\n" + event(2, "2026-01-09T10:00:00Z", "2026-01-09T10:00:01Z"))
    ((_, table),) = collect(tmp_path, [date(2026, 1, 9)], progress=progress)
    assert (read, table.num_rows) == (["app/2026-01-05.jsonl", ""], 1)


def ingest(home: Path, *days: int) -> None:
    raw = DayTable(home / "tables", "raw_events", RAW_SCHEMA)
    for day, table in collect(home, [date(2026, 1, day) for day in days]):
        raw.write(day, table)


def late(home: Path, before: int) -> dict[str, list[int]]:
    """The days of January until `before` that are named as overlooked, by file."""
    days = [day for day in DAYS if day.day < before]
    found = overlooked(home, DayTable(home / "tables", "raw_events", RAW_SCHEMA), days)
    return {name: [day.day for day in days] for name, days in found.items()}


def test_a_file_that_lands_when_no_run_makes_its_days_any_more_is_named_until_they_are_made_again(
    tmp_path: Path,
) -> None:
    folder = source(tmp_path, "web", "file_date", **{"2026_01_05": event(1, "2026-01-05T10:00:00Z")})
    fields = source(tmp_path, "app", "field", log=event(2, "2026-01-04T10:00:00Z", "2026-01-05T10:00:00Z"))
    ingest(tmp_path, 1, 2, 3, 4, 5)
    assert late(tmp_path, 6) == {}
    assert late(tmp_path, 1) == {}

    (folder / "2026-01-03.jsonl").write_text(event(3, "2026-01-02T10:00:00Z"))
    (folder / "2025-12-03.jsonl").write_text(event(9, "2025-12-03T10:00:00Z"))  # before the first day of the platform
    with (fields / "log.jsonl").open("a") as log:
        log.write("\n" + event(4, "2026-01-04T11:00:00Z", "2026-01-05T10:00:00Z"))
        log.write("\n" + event(5, "2026-01-09T11:00:00Z", "2026-01-09T11:00:00Z"))
    missed = {"web/2026-01-03.jsonl": [2], "app/log.jsonl": [4]}
    for _ in range(2):
        # A run of later days, its second try and the next night read the file of the app, and take nothing of the 4th.
        ingest(tmp_path, 6, 7, 8, 9, 10)
        assert late(tmp_path, 6) == missed
    ingest(tmp_path, 4)
    assert late(tmp_path, 6) == {"web/2026-01-03.jsonl": [2]}
    ingest(tmp_path, 2)
    assert late(tmp_path, 6) == {}


def test_a_file_that_grows_after_its_days_were_made_is_named(tmp_path: Path) -> None:
    folder = source(tmp_path, "web", "file_date", **{"2026_01_05": event(1, "2026-01-05T10:00:00Z")})
    ingest(tmp_path, 4, 5)
    with (folder / "2026-01-05.jsonl").open("a") as log:
        log.write("\n" + event(2, "2026-01-04T10:00:00Z"))
    assert late(tmp_path, 12) == {"web/2026-01-05.jsonl": [4]}


def test_without_the_index_files_are_read_once_more_and_none_is_named_that_was_taken(tmp_path: Path) -> None:
    source(tmp_path, "web", "file_date", **{"2026_01_05": event(1, "2026-01-05T10:00:00Z")})
    ingest(tmp_path, 5)
    shutil.rmtree(tmp_path / "ingest_index")
    assert late(tmp_path, 12) == {}
    assert (tmp_path / "ingest_index" / "web" / "2026-01-05.jsonl.json").is_file()


def test_records_of_erased_people_are_not_missed(tmp_path: Path) -> None:
    source(tmp_path, "web", "file_date", **{"2026_01_05": event(1, "2026-01-05T10:00:00Z")})
    Erasures(tmp_path).request("u", datetime(2026, 1, 6, tzinfo=UTC))
    ingest(tmp_path, 5)
    assert late(tmp_path, 12) == {}
    assert days_of(tmp_path, "web", [tmp_path / "landing" / "web" / "2026-01-05.jsonl"]) == {DAYS[4]: 0}


def test_more_rows_than_memory_may_hold_come_out_the_same(tmp_path: Path) -> None:
    text = "\n".join(event(number, f"2026-01-{3 + number % 3:02d}T10:00:00Z") for number in range(50))
    source(tmp_path, "web", "file_date", **{"2026_01_05": text})
    expected = dict(collect(tmp_path, DAYS))
    spooled = dict(collect(tmp_path, DAYS, spool_rows=7))
    assert all(spooled[day].equals(expected[day]) for day in DAYS)
    assert not list(tmp_path.glob(".collect.*"))


def test_the_spool_of_a_killed_run_is_removed_after_a_day(tmp_path: Path) -> None:
    source(tmp_path, "web", "file_date", **{"2026_01_05": event(1, "2026-01-05T10:00:00Z")})
    for name, age in ((".collect.old", 2 * 86_400), (".collect.live", 60)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, times=(time.time() - age,) * 2)
    list(collect(tmp_path, DAYS))
    assert [path.name for path in tmp_path.glob(".collect.*")] == [".collect.live"]


def test_personal_data_does_not_reach_the_raw_table(tmp_path: Path) -> None:
    document = json.loads(event(1, "2026-01-05T10:00:00Z")) | {"params": {"text": "mail ann.lee@example.com"}}
    source(tmp_path, "web", "file_date", **{"2026_01_05": json.dumps(document)})
    ((_, table),) = collect(tmp_path, [date(2026, 1, 5)])
    assert "example.com" not in table["raw"][0].as_py()


def test_landing_copies_once_and_says_what_is_there(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "2026-01-05.jsonl"
    log.write_text(event(1, "2026-01-05T10:00:00Z"))
    assert land([log], "web", "native", home=home).unchanged == ()
    again = land([log], "web", "native", home=home)
    assert again.unchanged == again.files
    assert days_of(home, "web", again.files) == Counter({date(2026, 1, 5): 1})


def test_a_mapping_of_ones_own_travels_with_the_logs(tmp_path: Path) -> None:
    mapping = tmp_path / "mine.yaml"
    mapping.write_text("name: mine\nevent_name: share\nevent_time: {column: t}\nuser_id: '{u}'\n")
    log = tmp_path / "old.csv"
    log.write_text("t,u\n2026-01-05T10:00:00Z,1\n")
    land([log], "mine", "columns", mapping=str(mapping), received="event_time", home=tmp_path / "home")
    mapping.unlink()
    ((_, table),) = collect(tmp_path / "home", [date(2026, 1, 5)])
    assert table.num_rows == 1


def test_a_mapping_of_a_source_is_found_beside_its_source_yaml(tmp_path: Path) -> None:
    folder = source(tmp_path, "web", "file_date", **{"2026_01_05": "{}"})
    (folder / "source.yaml").write_text("adapter: columns\n")
    with pytest.raises(ValueError, match="needs 'mapping"):
        list(collect(tmp_path, DAYS))


@pytest.mark.parametrize(
    ("name", "source_name", "received", "message"),
    [
        ("log.jsonl", "web", "file_date", "arrival date"),
        ("2026-01-05.xlsx", "web", "file_date", "not a log file"),
        ("2026-01-05.jsonl", "../up", "file_date", "no name for a source"),
        ("2026-01-05.jsonl", "service", "file_date", "taken"),
    ],
)
def test_what_cannot_be_landed_is_named_and_nothing_is_left(
    tmp_path: Path, name: str, source_name: str, received: str, message: str
) -> None:
    log = tmp_path / name
    log.write_text(event(1, "2026-01-05T10:00:00Z"))
    with pytest.raises(ValueError, match=message):
        land([log], source_name, "native", received=received, home=tmp_path / "home")  # type: ignore[arg-type]
    assert not (tmp_path / "home").exists()


_PACKED = gzip.compress(b"{}\n" * 1000, mtime=0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("2026-01-06.jsonl.gz", b"nope"),
        ("2026-01-06.jsonl.gz", _PACKED[: len(_PACKED) // 2]),
        ("2026-01-06.parquet", b"nope"),
    ],
    ids=["not gzip", "half of it", "not Parquet"],
)
def test_a_damaged_file_is_named_before_it_lies_among_others_and_where_it_does(
    tmp_path: Path, name: str, content: bytes
) -> None:
    home, log = tmp_path / "home", tmp_path / name
    log.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{re.escape(str(log))}: cannot be read: .*nothing was landed"):
        land([log], "web", "native", home=home)
    assert not home.exists()
    good = tmp_path / "2026-01-05.jsonl"
    good.write_text(event(1, "2026-01-05T10:00:00Z"))
    land([good], "web", "native", home=home)
    dropped = home / "landing" / "web" / name
    dropped.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{re.escape(str(dropped))}: cannot be read: .*take it out of the folder"):
        list(collect(home, [date(2026, 1, 5), date(2026, 1, 6)]))
    dropped.unlink()
    assert sum(map(len, dict(collect(home, [date(2026, 1, 5)])).values())) == 1


def test_other_content_under_a_landed_name_or_another_format_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "2026-01-05.jsonl"
    log.write_text(event(1, "2026-01-05T10:00:00Z"))
    land([log], "web", "native", home=tmp_path / "home")
    with pytest.raises(ValueError, match="already"):
        land([log], "web", "segment", home=tmp_path / "home")
    log.write_text(event(2, "2026-01-05T10:00:00Z"))
    with pytest.raises(ValueError, match="another name"):
        land([log], "web", "native", home=tmp_path / "home")


def test_an_unconfigured_source_is_named_with_the_remedy(tmp_path: Path) -> None:
    folder = source(tmp_path, "web", "file_date", **{"2026_01_05": "{}"})
    (folder / "source.yaml").unlink()
    with pytest.raises(ValueError, match=r"source\.yaml is missing"):
        list(collect(tmp_path, DAYS))
    (folder / "source.yaml").write_text("adapter: native\nrecieved: field\n")
    with pytest.raises(ValueError, match="recieved"):
        list(collect(tmp_path, DAYS))


def test_a_source_of_another_format_is_named_in_words(tmp_path: Path) -> None:
    # Cause: the message showed the representation of our own class, SourceConfig(adapter=..., mapping=None, ...).
    log = tmp_path / "2026-01-05.jsonl"
    log.write_text(event(1, "2026-01-05T10:00:00Z"))
    land([log], "web", "native", home=tmp_path)
    words = "source web already has adapter native, received file_date, not adapter segment, received file_date: take"
    with pytest.raises(ValueError, match=words):
        land([log], "web", "segment", home=tmp_path)


def test_nothing_is_landed_where_a_file_lacks_a_column_of_the_mapping(tmp_path: Path) -> None:
    # Cause: the file was landed, and every later run of the day failed on it or quarantined it whole.
    good, bad = tmp_path / "2026-01-05.csv", tmp_path / "2026-01-06.csv"
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    good.write_text(header)
    bad.write_text(header.replace("Country", "Land"))
    with pytest.raises(ValueError, match=r"2026-01-06\.csv: mapping online_retail names Country"):
        land([good, bad], "shop", "columns:online_retail", home=tmp_path / "home")
    assert not (tmp_path / "home").exists()
