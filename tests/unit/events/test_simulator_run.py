"""The written stretch: same bytes for the same seed, days that join up, and counts that a pipeline finds again."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from intent_tracking.events.ingest import collect
from intent_tracking.events.simulator import FaultRates, SimulationConfig, simulate
from intent_tracking.events.simulator.commands import simulate_command
from intent_tracking.events.validate import validate

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
SMALL = SimulationConfig(days=6, sessions_per_day=25, shoppers=60, seed=11)
PROGRAM = """
import sys
from pathlib import Path
from intent_tracking.events.simulator import SimulationConfig, simulate
simulate(SimulationConfig(days=6, sessions_per_day=25, shoppers=60, seed=11), Path(sys.argv[1]))
"""


def checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    for hash_seed in ("1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / hash_seed)]
        subprocess.run(command, check=True, env=environment, timeout=120)
    one, other = checksums(tmp_path / "1"), checksums(tmp_path / "4242")
    assert one == other
    assert len([name for name in one if name.startswith("landing")]) == SMALL.days + 1


def test_a_continued_stretch_writes_the_files_that_one_long_run_writes(tmp_path: Path) -> None:
    whole = SimulationConfig(days=12, sessions_per_day=25, shoppers=60, seed=11, drift_from=8, later_from=4)
    first = SimulationConfig(days=6, sessions_per_day=25, shoppers=60, seed=11, later_from=4)
    simulate(whole, tmp_path / "whole")
    simulate(first, tmp_path / "parts")
    simulate(first.continued(6, drift_from=8), tmp_path / "parts")
    one, other = checksums(tmp_path / "whole"), checksums(tmp_path / "parts")
    reports = {name for name in one | other if name.startswith("simulation")}
    assert {name: one[name] for name in one.keys() - reports} == {name: other[name] for name in other.keys() - reports}
    assert reports == {"simulation.json", "simulation-2026-01-11.json"}


def test_a_pipeline_finds_the_stated_counts_again_on_every_partition(tmp_path: Path) -> None:
    faults = FaultRates(
        duplicate=0.05, malformed=0.05, late_session=0.15, too_late_session=0.05, clock_ahead=0.02, clock_behind=0.01
    )
    config = SimulationConfig(days=7, sessions_per_day=40, faults=faults, seed=5)
    report = simulate(config, tmp_path)
    found = {}
    for day, raw in collect(tmp_path, [config.date_of(day) for day in range(-1, config.days + 1)]):
        validated = validate(raw, day)
        if validated.records_read:
            found[day.isoformat()] = {
                "records": validated.records_read,
                "accepted": validated.records_accepted,
                "duplicates": validated.duplicates,
                "quarantined": validated.reasons,
            }
    assert found == report.partitions
    assert {"too_late", "from_the_future", "unreadable", "missing_field"} <= set(report.quarantined)
    assert report.lines == report.accepted + report.duplicates + sum(report.quarantined.values())


def test_files_hold_what_arrived_on_their_day_in_order(tmp_path: Path) -> None:
    simulate(SMALL, tmp_path)
    for path in sorted((tmp_path / "landing" / "simulator").glob("*.jsonl")):
        times = []
        for line in path.read_bytes().splitlines():
            try:
                event = json.loads(line)
            except json.JSONDecodeError:
                continue
            times.append(event["received_time"])
        assert times == sorted(times)
        assert {time[:10] for time in times} == {path.stem}
    assert (tmp_path / "landing/simulator/source.yaml").read_text() == "adapter: native\nreceived: field\n"


def test_the_report_is_written_beside_the_logs_and_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[date, int]] = []
    report = simulate(SMALL, tmp_path, lambda day, lines: told.append((day, lines)))
    written = json.loads((tmp_path / "simulation.json").read_text())
    assert written["config"]["seed"] == 11
    assert written["partitions"] == report.partitions
    assert [day for day, _ in told] == [SMALL.date_of(day) for day in range(6)]
    assert sum(lines for _, lines in told) == report.lines == written["lines"]


def test_annotations_name_messages_that_exist_and_offsets_within_them(tmp_path: Path) -> None:
    simulate(SMALL, tmp_path)
    texts = {}
    for path in (tmp_path / "landing" / "simulator").glob("*.jsonl"):
        for line in path.read_bytes().splitlines():
            if b'"event_name":"message"' in line and line.endswith(b"}}"):
                event = json.loads(line)
                if isinstance(event["params"], dict) and "event_id" in event:
                    texts[event["event_id"]] = event["params"]["text"]
    checked = 0
    for path in (tmp_path / "annotations").glob("*.jsonl"):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            text = texts.get(record.get("event_id", ""))
            for slot in record["slots"] if text is not None else []:
                assert 0 <= slot["start"] < slot["end"] <= len(text)
                checked += 1
    assert checked > 5


def test_the_catalogue_holds_the_new_products_only_with_drift(tmp_path: Path) -> None:
    def items(config: SimulationConfig, out: Path) -> list[dict]:
        simulate(config, out)
        return [json.loads(line) for line in (out / "catalogue.jsonl").read_text().splitlines()]

    without = items(SimulationConfig(days=1, sessions_per_day=3), tmp_path / "a")
    drifting = items(SimulationConfig(days=1, sessions_per_day=3, drift_from=0), tmp_path / "b")
    assert not [item for item in without if item["only_with_drift"]]
    assert [item for item in drifting if not item["only_with_drift"]] == without
    assert {"item_id", "name_en", "name_zh", "brand", "category", "colour", "size", "price"} <= set(without[0])


@pytest.fixture
def app() -> Typer:
    app = Typer()
    app.command()(simulate_command)
    return app


def test_the_command_writes_and_says_what_it_wrote(app: Typer, tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path), "--days", "2", "--sessions-per-day", "10", "--drift", "2026-01-06", "--quiet"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "log lines" in result.output
    assert json.loads((tmp_path / "simulation.json").read_text())["config"]["drift_from"] == "2026-01-06"


def test_the_command_explains_a_drift_day_it_cannot_read(app: Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["--out", str(tmp_path), "--drift", "soon"])
    assert result.exit_code == 2
    assert "day number or a date" in " ".join(result.output.replace("│", " ").split())


def test_the_command_continues_a_run_where_the_wording_of_the_first_left_off(app: Typer, tmp_path: Path) -> None:
    size = ["--out", str(tmp_path), "--sessions-per-day", "5", "--quiet"]
    assert CliRunner().invoke(app, [*size, "--days", "10"]).exit_code == 0
    assert CliRunner().invoke(app, [*size, "--days", "2", "--first-day", "10"]).exit_code == 0
    report = json.loads((tmp_path / "simulation-2026-01-15.json").read_text())
    assert report["config"]["later_from"] == 7
    lost = CliRunner().invoke(app, ["--out", str(tmp_path / "nowhere"), "--first-day", "10"])
    assert lost.exit_code == 2


def test_another_shop_is_not_written_over_silently(app: Typer, tmp_path: Path) -> None:
    # Cause: a second run with another seed replaced the days that it shared with the first and left the others, so that
    # one folder held days of two shops.
    def run(*options: str) -> tuple[int, str]:
        # A long temporary path fills the box of the message, which then breaks words.
        wide = CliRunner(env={"COLUMNS": "400"})
        done = wide.invoke(app, ["--out", str(tmp_path), "--quiet", "--sessions-per-day", "5", *options])
        return done.exit_code, " ".join(done.output.replace("│", " ").split())

    assert run("--seed", "1", "--days", "3")[0] == 0
    before = checksums(tmp_path)
    code, said = run("--seed", "2", "--days", "1")
    assert code == 2
    for words in ("simulation.json is of another shop", "seed 1, now 2", "--force"):
        assert words in said
    assert checksums(tmp_path) == before
    assert run("--seed", "1", "--days", "3")[0] == 0
    assert checksums(tmp_path) == before
    assert run("--seed", "2", "--days", "1", "--force")[0] == 0
    assert sorted(path.name for path in (tmp_path / "landing" / "simulator").glob("*.jsonl")) == ["2026-01-05.jsonl"]


def test_a_wrong_opening_names_its_option(app: Typer, tmp_path: Path) -> None:
    # Cause: the message was that of the date parser alone, "Invalid isoformat string", of no option.
    done = CliRunner().invoke(app, ["--out", str(tmp_path), "--start", "05.01.2026"])
    assert done.exit_code == 2
    assert "--start takes a date like 2026-01-05, not '05.01.2026'" in " ".join(done.output.replace("│", " ").split())
