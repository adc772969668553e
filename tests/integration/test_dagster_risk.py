"""Risk control by Dagster: cases, a model that passes its gate, scores, the queue, and the labels that come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from dagster_project.defs.applications import risk
from dagster_project.partitions import range_tags
from dagster_project.resources.service import IntentService
from dagster_project.resources.tables import Tables
from intent_tracking.applications.risk.policy import FILE_NAME, policy_file
from intent_tracking.applications.risk.review import Outcome, decide
from intent_tracking.events.contract import Event, SourcePosition, events_to_table
from intent_tracking.sessions.sessionise import sessionise
from intent_tracking.settings import Settings

pytestmark = pytest.mark.integration

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)
DAY = NOON.date()
ROBOTS = 3


def acted(number: int) -> list[Event]:
    """One visitor: the first are robots, the others look at some things and mostly buy one."""
    is_robot = number < ROBOTS
    steps: list[tuple[str, float, dict[str, object]]] = [
        ("view_item", (0.9 if is_robot else 20.0 + 7 * (number % 5) * (at + 1)), {})
        for at in range(30 if is_robot else 2 + number % 4)
    ]
    if not is_robot and number % 3:
        order = {"transaction_id": f"t-{number}", "value": 20.0 + number, "currency": "EUR"}
        steps += [("add_to_cart", 15.0, {}), ("add_payment_info", 30.0, {}), ("purchase", 9.0, order)]
    moment, found = NOON + timedelta(minutes=number), []
    for at, (name, gap, params) in enumerate(steps):
        moment += timedelta(seconds=gap)
        items = [] if name == "add_payment_info" else [{"item_id": f"i-{at}", "price": 10.0 + at}]
        found.append(
            Event.model_validate(
                {
                    "event_id": f"e-{number}-{at}",
                    "event_name": name,
                    "event_time": moment,
                    "received_time": moment,
                    "anonymous_id": f"visitor-{number}",
                    "source": "web",
                    "scene": "browse",
                    "params": {"items": items, **params},
                }
            )
        )
    return found


def run(settings: Settings, *assets: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
    checks = dg.load_asset_checks_from_modules([risk]) if risk.risk_scores in assets else []
    return dg.materialize(
        [*assets, *checks],
        resources={
            "settings": settings,
            "tables": Tables(settings.tables),
            "intent_service": IntentService(settings.service_url, None),
        },
        tags=range_tags(DAY, DAY),
        raise_on_error=False,
    )


def test_a_day_is_scored_its_robots_are_queued_and_decisions_are_learned(tmp_path: Path) -> None:
    settings, tables = Settings(home=tmp_path), Tables(tmp_path / "tables")
    rows = events_to_table((event, SourcePosition()) for number in range(45) for event in acted(number))
    tables.validated_events.write(DAY, rows)
    sessions = sessionise(rows, DAY)
    tables.sessions.write(DAY, sessions)

    first = run(settings, risk.risk_cases, risk.risk_model, risk.risk_scores)
    assert first.success, [event.message for event in first.all_events if event.is_failure]
    assert {each.check_name: each.passed for each in first.get_asset_check_evaluations()} == {
        "risk_model_passes_gate": True,
        "risk_scores_complete": True,
        "risk_scores_within_budget": True,
        "risk_scores_seldom_block": True,
    }
    scores = tables.risk_scores.read([DAY])
    flagged = {row["shopper_id"]: row["case_id"] for row in scores.to_pylist() if row["decision"] != "allow"}
    assert {f"anonymous:visitor-{number}" for number in range(ROBOTS)} <= set(flagged)
    assert scores["kind"].to_pylist().count("session") == sessions.num_rows == 45

    case = flagged["anonymous:visitor-0"]
    decide(tables.risk_scores, settings.annotations, case, Outcome.CONFIRMED, NOON)
    second = run(settings, risk.risk_model, risk.risk_scores)
    (made,) = second.asset_materializations_for_node("risk_model")
    assert made.metadata["session/confirmed"].value == 1
    queued = second.asset_materializations_for_node("risk_scores")[-1].metadata
    states = [queued[f"queue/{state}"].value for state in ("open", "decided", "expired")]
    assert sum(states) == queued["queue/queued"].value == len(flagged)

    # A session that was not scored, and a policy under which nobody would be told.
    more = pa.concat_tables([sessions, sessions.slice(0, 1).set_column(0, "session_id", pa.array(["new"]))])
    tables.sessions.write(DAY, more.cast(sessions.schema))
    check = risk.risk_scores_complete(dg.build_asset_check_context(), tables)
    assert isinstance(check, dg.AssetCheckResult)
    assert not check.passed
    blocked = pa.array(["block"] * scores.num_rows)
    tables.risk_scores.write(DAY, scores.set_column(scores.column_names.index("decision"), "decision", blocked))
    check = risk.risk_scores_seldom_block(dg.build_asset_check_context(), settings, tables)
    assert isinstance(check, dg.AssetCheckResult)
    assert not check.passed
    before = sorted(path.name for path in settings.applications.rglob("manifest.json"))
    blind = policy_file(tmp_path).read_text().replace("forest_weight: 0.6", "forest_weight: 0.0").split("rules:")[0]
    (tmp_path / FILE_NAME).write_text(f"{blind}rules: []\n")
    # Cause: a refusal failed the asset, and with it nothing of the day was scored although a model was there.
    tables.sessions.write(DAY, sessions)
    tables.risk_scores.write(DAY, tables.risk_scores.schema.empty_table())
    refused = run(settings, risk.risk_model, risk.risk_scores)
    assert refused.success
    gate, *_ = [each for each in refused.get_asset_check_evaluations() if each.check_name == risk.GATE.name]
    assert not gate.passed
    assert "must be flagged" in str(gate.metadata["why"].value)
    assert sorted(path.name for path in settings.applications.rglob("manifest.json")) == before
    assert tables.risk_scores.read([DAY])["case_id"].to_pylist() == scores["case_id"].to_pylist()


def test_a_day_that_is_not_there_has_no_cases(tmp_path: Path) -> None:
    """A day that was not ingested had no risks, and one whose shoppers' features were missing had strangers alone."""
    settings, tables = Settings(home=tmp_path), Tables(tmp_path / "tables")
    eve = DAY - timedelta(days=1)
    tables.user_features.write(eve - timedelta(days=1), tables.user_features.schema.empty_table())
    for table, day, job in (
        (tables.validated_events, DAY, "ingest_job"),
        (tables.sessions, DAY, "ingest_job"),
        (tables.user_features, eve, "features_job"),
    ):
        result = run(settings, risk.risk_cases)
        assert not result.success
        said = str(result.failure_data_for_node("risk_cases"))
        assert f"{table.name} is not written for {day}, which this run reads: run {job}" in said
        table.write(day, table.schema.empty_table())
    assert tables.risk_cases.days() == []
    assert run(settings, risk.risk_cases).success


def test_a_day_on_which_nobody_came_is_no_failure(tmp_path: Path) -> None:
    settings, tables = Settings(home=tmp_path), Tables(tmp_path / "tables")
    for table in (tables.validated_events, tables.sessions):
        table.write(DAY, table.schema.empty_table())
    result = run(settings, risk.risk_cases, risk.risk_model, risk.risk_scores)
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    assert all(each.passed for each in result.get_asset_check_evaluations())
    assert tables.risk_scores.days() == [DAY]
