"""The erasure through the real graph: asked for, started by its sensor, done, proved; and what comes after it."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from dagster_project.definitions import build_definitions
from dagster_project.defs.erasure.jobs import erasure_sensor
from dagster_project.partitions import range_tags
from dagster_project.resources.tables import Tables
from intent_tracking.events.simulator.config import SimulationConfig
from intent_tracking.events.simulator.run import simulate
from intent_tracking.settings import Settings
from intent_tracking.tombstones import Erasures

pytestmark = [
    pytest.mark.integration,
    # great_expectations 1.24 imports sre_constants, which Python 3.11 deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

FIRST, LAST = date(2026, 1, 5), date(2026, 1, 8)
DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]


def run(settings: Settings, job: str, instance: dg.DagsterInstance, **options) -> dg.ExecuteInProcessResult:
    definition = build_definitions(settings).resolve_job_def(job)
    return definition.execute_in_process(instance=instance, raise_on_error=False, **options)


def ingest(settings: Settings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return run(settings, "ingest_job", instance, tags=range_tags(FIRST, LAST))


def shoppers(settings: Settings, table: str) -> Counter[str]:
    parts = sorted((settings.tables / table).glob("day=*/part.parquet"))
    return Counter(
        s for part in parts for s in pq.ParquetFile(part).read(columns=["shopper_id"])["shopper_id"].to_pylist()
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Iterator[tuple[Settings, dg.DagsterInstance]]:
    """An ingested shop whose Dagster keeps its runs in the home, as in production, so that they are searched too."""
    settings = Settings(home=tmp_path_factory.mktemp("shop"), first_day=FIRST)
    simulate(SimulationConfig(days=6, sessions_per_day=15, shoppers=40), settings.home)
    (settings.home / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(settings.home / "dagster")) as instance:
        assert ingest(settings, instance).success
        yield settings, instance


def ask(settings: Settings, instance: dg.DagsterInstance) -> dg.RunRequest | dg.SkipReason:
    context = dg.build_sensor_context(
        instance=instance, definitions=build_definitions(settings), resources={"settings": settings}
    )
    answer = erasure_sensor(context)
    assert isinstance(answer, dg.RunRequest | dg.SkipReason)
    return answer


def test_a_person_is_asked_for_removed_everywhere_and_proved_and_does_not_come_back(shop) -> None:
    settings, instance = shop
    before = shoppers(settings, "validated_events")
    person = next(s for s, _ in before.most_common() if s.startswith("u"))
    assert isinstance(ask(settings, instance), dg.SkipReason)
    request = Erasures(settings.home).request(person, datetime.now(UTC)).request
    asked = ask(settings, instance)
    assert isinstance(asked, dg.RunRequest)
    again = ask(settings, instance)
    assert isinstance(again, dg.RunRequest)
    assert again.run_key == asked.run_key
    assert person not in str(asked)

    result = run(settings, "erasure_job", instance)

    assert result.success, [event for event in result.all_events if event.is_failure]
    (done,) = Erasures(settings.home).all()
    assert done.request == request
    assert done.pending is None
    assert done.proof is not None
    assert (done.proof.hits, done.proof.later) == (0, 0)
    # Dagster's own databases are among what was searched.
    assert done.proof.files > sum(1 for _ in settings.tables.rglob("*.parquet"))
    for place in ("landing", "tables/raw_events", "tables/validated_events", "tables/sessions", "tables/session_texts"):
        assert done.removed[place] > 0, place
    assert person not in str(Path(settings.home, "erasures", f"{request}.json").read_text())
    left = shoppers(settings, "validated_events")
    assert before - left == {s: count for s, count in before.items() if s not in left}
    assert done.removed["tables/validated_events"] == (before - left).total()

    tables = Tables(settings.tables)
    texts = tables.session_texts.read(DAYS)
    assert ingest(settings, instance).success
    assert shoppers(settings, "validated_events") == left
    assert tables.session_texts.read(DAYS) == texts
    assert isinstance(ask(settings, instance), dg.SkipReason)


def test_a_name_that_is_left_fails_the_run_by_its_place_and_stays_pending(shop) -> None:
    settings, instance = shop
    person = next(s for s in shoppers(settings, "sessions") if s.startswith("u"))
    note = settings.home / "notes.txt"
    note.write_text(f"call {person} back")
    Erasures(settings.home).request(person, datetime.now(UTC))
    failed = run(settings, "erasure_job", instance)
    assert not failed.success
    (failure,) = failed.filter_events(lambda event: event.is_step_failure)
    assert failure.event_specific_data is not None
    told = str(failure.event_specific_data)
    assert "notes.txt (bytes): 1" in told
    assert person not in told
    assert len(Erasures(settings.home).pending()) == 1
    note.unlink()
    assert run(settings, "erasure_job", instance).success
    assert not Erasures(settings.home).pending()


def test_an_erasure_is_accepted_by_a_person_who_has_looked(shop) -> None:
    settings, instance = shop
    person = next(s for s in shoppers(settings, "sessions") if s.startswith("u"))
    (settings.home / "products.txt").write_text(person)
    Erasures(settings.home).request(person, datetime.now(UTC))
    config = {"ops": {"prove_erasure": {"config": {"accept_remaining": True}}}}
    assert run(settings, "erasure_job", instance, run_config=config).success
    done = max(Erasures(settings.home).all(), key=lambda each: each.requested_at)
    assert done.proof is not None
    assert [(place.path, place.hits) for place in done.proof.remaining] == [("products.txt", 1)]


def test_the_sensor_comes_switched_on_and_waits_for_a_run_that_is_under_way(shop) -> None:
    settings, instance = shop
    assert erasure_sensor.default_status is dg.DefaultSensorStatus.RUNNING
    Erasures(settings.home).request("somebody", datetime.now(UTC))
    job = build_definitions(settings).resolve_job_def("erasure_job")
    started = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert isinstance(ask(settings, instance), dg.SkipReason)
    instance.delete_run(started.run_id)
    assert isinstance(ask(settings, instance), dg.RunRequest)
