"""The search finds a name in every kind of file, alone and not inside another, and tells what is of later."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tracking.erasure import search as searching
from intent_tracking.erasure.search import Names, Searched, search

pytestmark = pytest.mark.unit

T = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER, EARLIER = "2026-03-02T13:00:00Z", "2026-03-02T11:00:00Z"
NAME = "u-1842"


def look(folder: Path, *names: str) -> Searched:
    return search(folder, Names(dict.fromkeys(names or (NAME,), T)))


def as_json(path: Path, text: str) -> None:
    path.with_suffix(".jsonl").write_text(json.dumps({"a": {"b": ["x", text]}}) + "\n")


def as_gzip(path: Path, text: str) -> None:
    path.with_suffix(".jsonl.gz").write_bytes(gzip.compress(json.dumps({"a": text}).encode()))


def as_csv(path: Path, text: str) -> None:
    path.with_suffix(".csv").write_text(f"id,b\n{text},2\n")


def as_parquet(path: Path, text: str) -> None:
    rows = pa.table({"n": [1, 2], "deep": [[{"who": "x"}], [{"who": text}]]})
    pq.write_table(rows, path.with_suffix(".parquet"))


def as_arrow(path: Path, text: str) -> None:
    rows = pa.table({"who": ["x", text]})
    with pa.OSFile(str(path.with_suffix(".arrow")), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as out:
        out.write_table(rows)


def as_sqlite(path: Path, text: str) -> None:
    with closing(sqlite3.connect(path.with_suffix(".db"))) as database, database:
        database.execute("CREATE TABLE t (a TEXT, b BLOB)")
        database.execute("INSERT INTO t VALUES ('x', ?)", (b"\x05\x00" + text.encode() + b"\x00",))


def as_wal(path: Path, text: str) -> None:
    as_sqlite(path, "x")
    database = sqlite3.connect(path.with_suffix(".db"))
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("INSERT INTO t VALUES (?, NULL)", (text,))
    database.commit()
    OPEN.append(database)


OPEN: list[sqlite3.Connection] = []


@pytest.fixture(autouse=True)
def _closed() -> object:
    yield
    while OPEN:
        OPEN.pop().close()


@pytest.mark.parametrize("name", [NAME, "Müller/张三", 'quo"te'])
@pytest.mark.parametrize("write", [as_json, as_gzip, as_csv, as_parquet, as_arrow, as_sqlite, as_wal])
def test_a_name_is_found_in_every_kind_of_file(tmp_path: Path, write: Callable[[Path, str], None], name: str) -> None:
    write(tmp_path / "file", f"anonymous:{name}")
    found = look(tmp_path, name)
    assert found.remaining.total() == 1, found
    assert not look(tmp_path, "nobody").remaining


@pytest.mark.parametrize("write", [as_json, as_gzip, as_csv, as_parquet, as_arrow, as_sqlite, as_wal])
def test_a_longer_name_is_another(tmp_path: Path, write: Callable[[Path, str], None]) -> None:
    write(tmp_path / "file", f"{NAME}7")
    assert not look(tmp_path).remaining


def test_a_name_in_a_path_is_found_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "x").write_text("")
    assert list(look(tmp_path).remaining) == [(NAME, "***/x", "its name")]


def test_a_name_across_two_reads_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "_CHUNK", 7)
    for before in range(20):
        (tmp_path / "f.txt").write_text("." * before + f" {NAME} x{NAME} {NAME}y " + "." * 9)
        assert look(tmp_path).remaining.total() == 1, before


def test_a_deleted_row_that_is_still_in_the_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA secure_delete = OFF")  # on in Debian's build
        database.execute("CREATE TABLE t (a TEXT)")
        database.execute("INSERT INTO t VALUES (?)", (NAME,))
        database.commit()
        database.execute("DELETE FROM t")
        database.commit()
    assert list(look(tmp_path).remaining) == [(NAME, "a.db", "freed pages")]
    with closing(sqlite3.connect(path)) as database:
        database.execute("VACUUM")
    assert not look(tmp_path).remaining


def test_records_of_later_are_counted_apart(tmp_path: Path) -> None:
    lines = [
        {"user_id": NAME, "event_time": LATER, "received_time": LATER},
        {"user_id": NAME, "event_time": EARLIER, "received_time": LATER},
        {"user_id": NAME},
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = pa.table({"shopper_id": [NAME, NAME], "event_time": [datetime.fromisoformat(t) for t in (LATER, EARLIER)]})
    pq.write_table(rows, tmp_path / "a.parquet")
    with closing(sqlite3.connect(tmp_path / "a.db")) as database, database:
        database.execute("CREATE TABLE t (shopper_id TEXT, started_at INTEGER)")
        moments = [int(datetime.fromisoformat(t).timestamp() * 10**6) for t in (LATER, EARLIER)]
        database.executemany("INSERT INTO t VALUES (?, ?)", [(NAME, moment) for moment in moments])
    found = look(tmp_path)
    assert found.later == {NAME: 3}
    assert found.remaining == {
        (NAME, "a.jsonl", "user_id"): 2,
        (NAME, "a.parquet", "shopper_id"): 1,
        (NAME, "a.db", "t.shopper_id"): 1,
    }


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(NAME.encode())
    (tmp_path / "link").symlink_to(tmp_path / "model.safetensors")
    found = look(tmp_path)
    assert (found.files, found.unread, found.remaining.total()) == (1, {".safetensors": 1}, 0)
