"""A reader of a table sees the old partition or the new one, whatever happens to the writer."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.tables import (
    DayTable,
    _replace_by_two_renames,
    atomic_directory,
    atomic_file,
    atomic_write_text,
    require_replaceable,
    write_csv,
)

pytestmark = pytest.mark.unit

DAY = date(2026, 1, 2)
SCHEMA = pa.schema([("event_id", pa.string()), ("value", pa.float64())])


def table(*rows: tuple[str, float | None]) -> pa.Table:
    return pa.Table.from_pylist([{"event_id": name, "value": value} for name, value in rows], schema=SCHEMA)


def test_a_written_day_is_read_back(tmp_path: Path) -> None:
    events = DayTable(tmp_path, "events", SCHEMA)
    events.write(DAY, table(("a", 1.0), ("b", None)))
    assert events.days() == [DAY]
    assert events.read([DAY]).equals(table(("a", 1.0), ("b", None)))
    assert events.read([DAY], columns=["value"]).column_names == ["value"]


def test_a_day_written_a_batch_at_a_time_is_the_same_day(tmp_path: Path) -> None:
    events, whole = DayTable(tmp_path, "events", SCHEMA), table(("a", 1.0), ("b", None), ("c", 3.0))
    assert events.write_batches(DAY, iter(whole.to_batches(max_chunksize=2))) == 3
    assert events.read([DAY]).equals(whole)
    assert events.write_batches(DAY, iter(())) == 0
    assert events.read([DAY]).equals(SCHEMA.empty_table())
    with pytest.raises(ValueError, match="schema"):
        events.write_batches(DAY, whole.drop_columns(["value"]).to_batches())
    assert events.days() == [DAY]


def test_a_day_never_written_has_no_rows_but_all_columns(tmp_path: Path) -> None:
    empty = DayTable(tmp_path, "events", SCHEMA).read([DAY])
    assert empty.num_rows == 0
    assert empty.schema == SCHEMA


def test_writing_the_same_rows_again_gives_the_same_bytes(tmp_path: Path) -> None:
    events = DayTable(tmp_path, "events", SCHEMA)
    digests = set()
    for _ in range(2):
        events.write(DAY, table(("a", 1.0), ("b", 2.0)))
        digests.add(hashlib.sha256(events.path(DAY).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_table_with_other_columns_is_refused_and_the_old_rows_stay(tmp_path: Path) -> None:
    events = DayTable(tmp_path, "events", SCHEMA)
    events.write(DAY, table(("a", 1.0)))
    with pytest.raises(ValueError, match=r"events\[2026-01-02\].*value"):
        events.write(DAY, table(("a", 1.0)).drop_columns(["value"]))
    assert events.read([DAY]).num_rows == 1


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "release.json"
    atomic_write_text(path, "old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["release.json"]


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ("first", "second"):
        with atomic_directory(target) as building:
            (building / f"{content}.txt").write_text(content)
    assert [entry.name for entry in target.iterdir()] == ["second.txt"]
    with pytest.raises(RuntimeError), atomic_directory(target) as building:
        (building / "third.txt").write_text("half")
        raise RuntimeError
    assert [entry.name for entry in target.iterdir()] == ["second.txt"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_whoever_serves_a_folder_reads_what_another_wrote(tmp_path: Path) -> None:
    """safetensors gives its files to their owner alone: a model that one user trained another could not load."""
    with atomic_directory(tmp_path / "model") as building:
        (building / "inner").mkdir(mode=0o700)
        (building / "inner" / "weights").write_text("of the owner")
        (building / "inner" / "weights").chmod(0o600)
    modes = [(tmp_path / "model" / name).stat().st_mode & 0o777 for name in (".", "inner", "inner/weights")]
    assert modes == [0o755, 0o755, 0o644]


def test_what_a_new_folder_would_erase_is_named(tmp_path: Path) -> None:
    (tmp_path / "model" / "onnx").mkdir(parents=True)
    for place in ("absent", "model"):
        require_replaceable(tmp_path / place, ())
    (tmp_path / "model" / "onnx" / "graph").write_text("")
    require_replaceable(tmp_path / "model", {"onnx/graph", "weights"})
    (tmp_path / "model" / "link").symlink_to(tmp_path)
    with pytest.raises(FileExistsError, match=r"model: holds link, which would be erased; give a folder that is new"):
        require_replaceable(tmp_path / "model", {"onnx/graph"})
    with pytest.raises(FileExistsError, match="holds a file"):
        require_replaceable(tmp_path / "model" / "onnx" / "graph", {"graph"})


KILLED_EVERYWHERE = """
import os, signal, sys
from pathlib import Path
from intent_tracking.tables import atomic_directory

home, step, finished = Path(sys.argv[1]), 0, False
with atomic_directory(home / "model") as building:
    for name in ("a", "b"):
        (building / name).write_text("0")
while not finished:
    step += 1
    before = (home / "model" / "a").read_text()
    if (child := os.fork()) == 0:
        left = step

        def kill_at_the_step(event, arguments):  # every call to the system that Python announces is a place to die at
            global left
            left -= event.startswith(("os.", "shutil.", "ctypes.", "tempfile.")) or event == "open"
            if left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill_at_the_step)
        with atomic_directory(home / "model") as building:
            for name in ("a", "b"):
                (building / name).write_text(str(step))
        left = 10**6
        os._exit(0)
    finished = os.waitpid(child, 0)[1] == 0
    found = [(home / "model" / name).read_text() for name in ("a", "b")]
    assert found in ([before] * 2, [str(step)] * 2), (step, found)
    assert not finished or found[0] == str(step)
print(step)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two folders in one step")
def test_a_kill_at_any_step_of_replacing_a_folder_leaves_the_old_or_the_new_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_EVERYWHERE, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


def test_where_folders_cannot_be_exchanged_an_error_brings_the_old_one_back(tmp_path: Path) -> None:
    new, target = tmp_path / "new", tmp_path / "model"
    for folder in (new, target):
        folder.mkdir()
        (folder / folder.name).touch()
    _replace_by_two_renames(new, target)
    with pytest.raises(FileNotFoundError):
        _replace_by_two_renames(new, target)
    assert [entry.name for entry in target.iterdir()] == ["new"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


WRITER = """
import sys
from datetime import date
from pathlib import Path
import pyarrow as pa
from intent_tracking.tables import DayTable
schema = pa.schema([("version", pa.int64())])
events = DayTable(Path(sys.argv[1]), "events", schema)
version = 0
while True:
    version += 1
    events.write(date(2026, 1, 2), pa.table({"version": [version] * 200_000}, schema=schema))
    print(version, flush=True)
"""


def test_kill_9_during_writes_never_leaves_half_a_partition(tmp_path: Path) -> None:
    schema = pa.schema([("version", pa.int64())])
    events = DayTable(tmp_path, "events", schema)
    for round_ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert writer.stdout is not None
        acknowledged = int(writer.stdout.readline())
        time.sleep(0.013 * round_)
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.stdout.close()
        writer.wait()
        acknowledged = int(rest[-1]) if rest else acknowledged
        rows = events.read([DAY])
        assert rows.num_rows == 200_000
        versions = set(rows["version"].to_pylist())
        assert len(versions) == 1
        assert versions.pop() in {acknowledged, acknowledged + 1}


@given(st.lists(st.text(max_size=12), min_size=1, max_size=5))
def test_a_csv_cell_is_no_formula_and_reads_back_as_what_it_was(texts):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.csv"
        cells = [{"a": text, "n": -1.5, "none": None, "id": text} for text in texts]
        write_csv(path, ["a", "n", "none", "id"], cells, verbatim={"id"})
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    assert not any(row["a"].startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for row in rows)
    assert [row["a"].removeprefix("'") for row in rows] == texts
    assert [row["id"] for row in rows] == texts
    assert [(row["n"], row["none"]) for row in rows] == [("-1.5", "")] * len(texts)
