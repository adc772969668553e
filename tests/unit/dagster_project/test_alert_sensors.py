"""Whom nobody asked: failed runs and stale data raise alerts by themselves."""

import logging
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pyarrow as pa
import pytest

from dagster_project.defs.monitoring.alerts import failure_alert, freshness_alert, staleness
from dagster_project.resources.alerts import Alerts
from dagster_project.resources.tables import Tables

pytestmark = pytest.mark.unit


def test_a_failed_run_is_told_with_its_step_and_its_error(caplog):
    @dg.op
    def breaks() -> None:
        raise RuntimeError("the disk is full")

    @dg.job
    def ingest_job() -> None:
        breaks()

    with dg.DagsterInstance.ephemeral() as instance:
        result = ingest_job.execute_in_process(instance=instance, raise_on_error=False)
        context = dg.build_run_status_sensor_context(
            sensor_name="failure_alert",
            dagster_instance=instance,
            dagster_run=result.dagster_run,
            dagster_event=result.get_run_failure_event(),
            resources={"alerts": Alerts()},
        ).for_run_failure()
        with caplog.at_level(logging.WARNING, logger="dagster_project.alerts"):
            failure_alert(context)
    (record,) = [entry for entry in caplog.records if entry.name == "dagster_project.alerts"]
    assert "ingest_job failed" in record.getMessage()
    assert "breaks" in record.getMessage()
    assert "the disk is full" in record.getMessage()


def tick(tables: Tables, cursor: str | None = None) -> tuple[str, str | None]:
    with dg.build_sensor_context(resources={"tables": tables, "alerts": Alerts()}, cursor=cursor) as context:
        answer = freshness_alert(context)
        assert isinstance(answer, dg.SkipReason)
        return str(answer.skip_message), context.cursor


def ingested(tables: Tables, day: date, events: int = 1) -> None:
    schema = tables.validated_events.schema
    rows = [dict.fromkeys(schema.names) | {"event_id": f"e-{n}", "record_count": 1} for n in range(events)]
    tables.validated_events.write(day, pa.Table.from_pylist(rows, schema=schema))


def test_fresh_data_raises_no_alert(tmp_path, caplog):
    tables = Tables(tmp_path)
    ingested(tables, datetime.now(UTC).date())
    with caplog.at_level(logging.WARNING, logger="dagster_project.alerts"):
        assert "fresh" in tick(tables)[0]
    assert not caplog.records


def test_stale_data_raises_one_alert_a_day(tmp_path, caplog):
    tables = Tables(tmp_path)
    ingested(tables, datetime.now(UTC).date() - timedelta(days=4))
    with caplog.at_level(logging.WARNING, logger="dagster_project.alerts"):
        said, cursor = tick(tables)
        assert "stale" in said
        tick(tables, cursor)
    assert len([record for record in caplog.records if record.name == "dagster_project.alerts"]) == 1


@pytest.mark.parametrize("silent_days", [2, 3])
def test_days_that_are_written_and_empty_are_no_fresh_data(tmp_path, caplog, silent_days):
    # Ingestion writes a partition a day whether anything came or not.
    tables, today = Tables(tmp_path), datetime.now(UTC).date()
    for back in range(28, 0, -1):
        ingested(tables, today - timedelta(days=back), events=30 if back > silent_days else 0)
    with caplog.at_level(logging.WARNING, logger="dagster_project.alerts"):
        assert "stale" in tick(tables)[0]
    (record,) = [entry for entry in caplog.records if entry.name == "dagster_project.alerts"]
    assert f"newest day with events is {today - timedelta(days=silent_days + 1)}" in record.getMessage()


def test_days_on_which_the_shop_is_closed_every_week_raise_no_alert(tmp_path, caplog):
    tables, today = Tables(tmp_path), datetime.now(UTC).date()
    closed = {(today - timedelta(days=back)).weekday() for back in (1, 2)}
    for back in range(28, 0, -1):
        day = today - timedelta(days=back)
        ingested(tables, day, events=0 if day.weekday() in closed else 30)
    with caplog.at_level(logging.WARNING, logger="dagster_project.alerts"):
        assert "usually has none" in tick(tables)[0]
    assert not caplog.records


def test_an_empty_platform_is_not_stale(tmp_path):
    tables = Tables(tmp_path)
    assert "no event was ever accepted" in tick(tables)[0]
    ingested(tables, datetime.now(UTC).date() - timedelta(days=4), events=0)
    assert "no event was ever accepted" in tick(tables)[0]


def test_age_counts_from_the_end_of_the_newest_day():
    assert staleness(date(2026, 3, 1), datetime(2026, 3, 2, 6, tzinfo=UTC)) == timedelta(hours=6)
    assert staleness(None, datetime(2026, 3, 2, tzinfo=UTC)) is None
