"""The commands as a person types them: what they write, and what they say of bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from intent_tracking import __version__

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


def run(home: Path, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "INTENT_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-c", "from intent_tracking.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, input=given, check=False)


def test_help_names_every_command_and_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from intent_tracking.cli import app; "
        "print(CliRunner().invoke(app, ['--help']).output); "
        "print([name for name in ('torch', 'transformers', 'sklearn', 'matplotlib', 'ibis') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    for command in ("simulate", "ingest", "evaluate", "predict", "explain", "datasets"):
        assert command in done.stdout
    assert done.stdout.strip().endswith("[]")


def test_the_version_is_printed(tmp_path: Path) -> None:
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"intent-tracking {__version__}\n")


def test_simulated_logs_are_ingested_with_every_line_accounted_for(tmp_path: Path) -> None:
    shop, home = tmp_path / "shop", tmp_path / "home"
    made = run(home, "simulate", "--out", str(shop), "--days", "3", "--sessions-per-day", "20", "--quiet")
    assert made.returncode == 0, made.stderr
    files = sorted((shop / "landing" / "simulator").glob("*.jsonl"))
    done = run(home, "ingest", *map(str, files), "--source", "web", "--received", "field")
    assert done.returncode == 0, done.stderr
    import pyarrow.parquet as pq

    lines = sum(len(path.read_bytes().splitlines()) for path in files)
    stored = sum(pq.ParquetFile(p).metadata.num_rows for p in (home / "tables" / "raw_events").rglob("part.parquet"))
    assert stored == lines == json.loads((shop / "simulation.json").read_text())["lines"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("ingest", "orders.csv", "--source", "../up", "--adapter", "columns", "--mapping", "online_retail"),
            "no name for a source",
        ),
        (("ingest", "orders.csv", "--source", "web", "--adapter", "columns"), "needs --mapping"),
        (("explain", "--model", ".", "--text", " "), "--text is empty"),
        (("evaluate", "--train", "orders.csv", "--test", "orders.csv", "--report", "r.json"), "line 1: column 'text'"),
        (("evaluate", "--train", "gone.csv", "--test", "gone.csv", "--report", "r.json"), "is no file"),
        (("predict", "--model", "."), "manifest.json: not found"),
        (("simulate", "--out", "o", "--drift", "soon"), "--drift takes a day number"),
    ],
)
def test_bad_input_is_answered_in_words_with_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders.csv").write_text("a,b\n1,2\n")
    done = run(tmp_path / "home", *arguments, given="")
    said = " ".join(done.stderr.replace("│", " ").split())
    assert done.returncode == 2
    assert words in said
    assert "Traceback" not in done.stderr
