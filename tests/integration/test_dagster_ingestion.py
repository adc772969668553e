"""Logs to session texts through the real graph: a range in one run, conserved, repeatable, blocked, killed."""

import hashlib
import os
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dagster_project.definitions import build_definitions
from dagster_project.partitions import range_tags
from dagster_project.resources.tables import Tables
from intent_tracking.events.simulator.config import SimulationConfig
from intent_tracking.events.simulator.run import simulate
from intent_tracking.settings import Settings

pytestmark = [
    pytest.mark.integration,
    # great_expectations 1.24 imports sre_constants, which Python 3.11 deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

FIRST, LAST = date(2026, 1, 5), date(2026, 1, 8)
DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
SIMULATION = SimulationConfig(days=6, sessions_per_day=15, shoppers=60)
TABLES = ("raw_events", "validated_events", "quarantined_events", "sessions", "session_texts")


def ingest(home: Path, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build_definitions(Settings(home=home, first_day=FIRST)).resolve_job_def("ingest_job")
    return job.execute_in_process(tags=range_tags(FIRST, LAST), instance=instance, raise_on_error=False)


def digests(home: Path) -> dict[str, str]:
    parts = sorted((home / "tables").glob("*/*/part.parquet"))
    return {str(part.relative_to(home)): hashlib.sha256(part.read_bytes()).hexdigest() for part in parts}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("shop")
    simulate(SIMULATION, home)
    return home


@pytest.fixture(scope="module")
def ingested(simulated):
    with dg.DagsterInstance.ephemeral() as instance:
        yield simulated, ingest(simulated, instance), instance


def test_a_range_of_days_is_one_run_that_writes_every_partition(ingested):
    home, result, _ = ingested
    assert result.success
    assert set(digests(home)) == {f"tables/{name}/day={day}/part.parquet" for name in TABLES for day in DAYS}


def test_what_was_read_is_accounted_for(ingested):
    _, result, _ = ingested
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == "validated_events_conserved"]
    figures = {name: value.value for name, value in check.metadata.items()}
    assert check.passed
    assert figures["read"] > 100
    assert figures["quarantined"] > 0
    assert figures["read"] == figures["accepted"] + figures["duplicate"] + figures["quarantined"]


def test_each_partition_has_its_own_figures(ingested):
    home, _, instance = ingested
    tables = Tables(home / "tables")
    for day in DAYS:
        (record,) = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey("session_texts"), asset_partitions=[day.isoformat()]), limit=1
        ).records
        metadata = record.asset_materialization.metadata
        assert metadata["dagster/partition_row_count"].value == tables.session_texts.read([day]).num_rows
        assert "behaviour_intent" in metadata["sample"].md_str


def test_materializing_again_gives_the_same_bytes(ingested):
    home, _, instance = ingested
    before = digests(home)
    assert ingest(home, instance).success
    assert digests(home) == before


def test_no_session_text_holds_what_looks_like_personal_data(ingested):
    home, _, _ = ingested
    texts = Tables(home / "tables").session_texts.read(DAYS)["text"]
    assert not pc.any(pc.match_substring_regex(texts, r"[\w.]+@[\w]+\.[a-z]{2,}|\b1[3-9]\d{9}\b")).as_py()


def test_a_corrupted_partition_blocks_what_stands_on_it_and_says_which_values(ingested):
    home, _, instance = ingested
    tables = Tables(home / "tables")
    path = tables.validated_events.path(FIRST)
    good = path.read_bytes()
    events = tables.validated_events.read([FIRST])
    names = pa.array(["no_such_event", *events["event_name"].to_pylist()[1:]])
    tables.validated_events.write(FIRST, events.set_column(1, "event_name", names))
    try:
        result = check_then_sessions(home).execute_in_process(
            tags=range_tags(FIRST, FIRST), instance=instance, raise_on_error=False
        )
    finally:
        path.write_bytes(good)
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.metadata["rows"].value == events.num_rows
    assert r"no\_such\_event" in check.metadata["failures"].md_str
    assert not result.success
    assert not result.get_asset_materialization_events()


def test_a_silent_day_is_a_warning_and_one_wholly_in_quarantine_an_error_that_blocks_nothing(tmp_path):
    tables = Tables(tmp_path / "tables")
    key = dg.AssetCheckKey(dg.AssetKey("validated_events"), "validated_events_usual")
    jobs = dg.Definitions(jobs=[dg.define_asset_job("usual", selection=dg.AssetSelection.checks(key))])
    definitions = dg.Definitions.merge(build_definitions(Settings(home=tmp_path, first_day=FIRST)), jobs)
    found = []
    with dg.DagsterInstance.ephemeral() as instance:
        for days_later, accepted, quarantined in ((0, 30, 0), (7, 0, 0), (8, 0, 30)):
            for table, rows in ((tables.validated_events, accepted), (tables.quarantined_events, quarantined)):
                row = dict.fromkeys(table.schema.names) | {"record_count": 1}
                table.write(FIRST + timedelta(days=days_later), pa.Table.from_pylist([row] * rows, schema=table.schema))
            result = definitions.resolve_job_def("usual").execute_in_process(instance=instance)
            (check,) = result.get_asset_check_evaluations()
            found.append((result.success, check.passed, check.severity.value))
    assert found == [(True, True, "WARN"), (True, False, "WARN"), (True, False, "ERROR")]


def test_a_file_that_lands_for_settled_days_is_named_each_night_until_they_are_ingested_again(tmp_path):
    # Cause: a file was named in the one run that read it first, and in none where that run was tried again.
    key = dg.AssetCheckKey(dg.AssetKey("raw_events"), "raw_events_in_time")
    job = dg.define_asset_job(
        "in_time", selection=dg.AssetSelection.assets("raw_events").without_checks() | dg.AssetSelection.checks(key)
    )
    definitions = build_definitions(Settings(home=tmp_path, first_day=FIRST))
    in_time = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job])).resolve_job_def("in_time")
    folder = tmp_path / "landing" / "app"
    folder.mkdir(parents=True)
    (folder / "source.yaml").write_text("received: field\n")
    named = []
    with dg.DagsterInstance.ephemeral() as instance:
        for first, last in ((0, 7), (4, 8), (5, 9), (1, 1), (6, 10)):
            tags = range_tags(FIRST + timedelta(days=first), FIRST + timedelta(days=last))
            (check,) = in_time.execute_in_process(tags=tags, instance=instance).get_asset_check_evaluations()
            named.append((check.passed, check.metadata["files"].value))
            late = FIRST + timedelta(days=1)
            (folder / "late.jsonl").write_text(
                f'{{"event_time": "{late}T10:00:00Z", "received_time": "{late}T10:00:01Z"}}'
            )
    assert named == [(True, 0), (False, 1), (False, 1), (True, 0), (True, 0)]


def check_then_sessions(home: Path) -> dg.JobDefinition:
    """Sessions behind the suite of validated_events, without making the events again."""
    definitions = build_definitions(Settings(home=home, first_day=FIRST))
    suite = dg.AssetCheckKey(dg.AssetKey("validated_events"), "validated_events_valid")
    selection = dg.AssetSelection.checks(suite) | dg.AssetSelection.assets("sessions").without_checks()
    job = dg.define_asset_job("check_then_sessions", selection=selection)
    return dg.Definitions.merge(definitions, dg.Definitions(jobs=[job])).resolve_job_def("check_then_sessions")


def test_a_run_killed_while_it_writes_leaves_whole_partitions_and_the_next_run_gives_the_same_rows(ingested, tmp_path):
    expected = digests(ingested[0])
    simulate(SIMULATION, tmp_path)
    program = (
        "from datetime import date\n"
        "import dagster as dg\n"
        "from dagster_project.definitions import build_definitions\n"
        "from dagster_project.partitions import range_tags\n"
        "from intent_tracking.settings import load_settings\n"
        f"days = range_tags(date.fromisoformat('{FIRST}'), date.fromisoformat('{LAST}'))\n"
        "job = build_definitions(load_settings()).resolve_job_def('ingest_job')\n"
        "job.execute_in_process(tags=days, instance=dg.DagsterInstance.ephemeral())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "INTENT_HOME": str(tmp_path), "INTENT_FIRST_DAY": str(FIRST), "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline = time.monotonic() + 240
            while not list((tmp_path / "tables").glob("*/*/part.parquet")):
                assert process.poll() is None, "the run ended before it wrote a partition"
                assert time.monotonic() < deadline
                time.sleep(0.005)
        finally:
            process.kill()

    left = sorted((tmp_path / "tables").glob("*/*/part.parquet"))
    assert 0 < len(left) < len(expected)
    for part in left:
        pq.ParquetFile(part).read()

    with dg.DagsterInstance.ephemeral() as instance:
        assert ingest(tmp_path, instance).success
    assert digests(tmp_path) == expected
