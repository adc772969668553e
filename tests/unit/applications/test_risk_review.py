"""The review queue: every flagged case is open, decided or expired, and decisions become labels."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from intent_tracking.applications.risk.daily import queue_counts
from intent_tracking.applications.risk.model import RiskModel
from intent_tracking.applications.risk.policy import shipped_policy
from intent_tracking.applications.risk.review import (
    QUEUE_COLUMNS,
    RISK_SCORE_SCHEMA,
    Outcome,
    ReviewDecision,
    ReviewError,
    State,
    counted,
    decide,
    labels_of,
    queue,
    read_decisions,
    reasons_of,
    record,
    risk_scores,
)
from intent_tracking.applications.risk.shop import Shop
from intent_tracking.applications.risk.training import learn
from intent_tracking.applications.risk.wording import in_words
from intent_tracking.cli import app
from intent_tracking.settings import Settings
from intent_tracking.tables import DayTable
from tests.fakes.risk_cases import FIRST_DAY, made_up_cases

pytestmark = pytest.mark.unit

POLICY = shipped_policy()
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def model() -> RiskModel:
    return learn(made_up_cases(sessions=45), {}, Shop(), POLICY, FIRST_DAY)[0]


@pytest.fixture
def scores(tmp_path: Path, model: RiskModel) -> DayTable:
    table = DayTable(tmp_path / "tables", "risk_scores", RISK_SCORE_SCHEMA)
    for back in range(3):
        day = FIRST_DAY + timedelta(days=10 * back)
        table.write(day, risk_scores(made_up_cases(sessions=60, robots=3, seed=back), model))
    return table


def flagged(scores: DayTable) -> set[str]:
    rows = scores.read(scores.days())
    return {row["case_id"] for row in rows.to_pylist() if row["decision"] != "allow"}


def test_every_case_is_scored_once_and_robots_stand_in_the_queue_with_reasons(scores: DayTable) -> None:
    rows = scores.read([FIRST_DAY]).to_pylist()
    assert len({row["case_id"] for row in rows}) == len(rows) == 93
    (first, *_) = queue(scores, [FIRST_DAY], {}, 14)
    assert first.case_id.startswith("session:robot")
    english, chinese = (in_words(reasons_of(first.row, POLICY), language) for language in ("en", "zh"))
    assert any("left within two seconds" in sentence for sentence in english)
    assert any("两秒内" in sentence for sentence in chinese)
    assert not any("{" in sentence for sentence in (*english, *chinese))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.data())
def test_every_queued_case_is_in_exactly_one_state(scores: DayTable, data: st.DataObject) -> None:
    queued = sorted(flagged(scores))
    decided = data.draw(st.lists(st.sampled_from(queued), unique=True))
    expire_days = data.draw(st.integers(1, 30))
    decisions = {
        case: ReviewDecision(case_id=case, session_id="s", outcome=Outcome.CONFIRMED, decided_at=NOW)
        for case in decided
    }
    cases = queue(scores, scores.days(), decisions, expire_days)
    counts = counted(cases)
    assert sum(counts.values()) == len(cases)
    assert {case.case_id for case in cases} == set(queued)
    assert {case.case_id for case in cases if case.state is State.DECIDED} == set(decided)
    for case in cases:
        if case.state is not State.DECIDED:
            assert (case.state is State.EXPIRED) is (scores.days()[-1] - case.day > timedelta(days=expire_days))


def test_the_daily_counts_read_no_day_that_is_long_over(scores: DayTable, tmp_path: Path) -> None:
    # Cause: every day that was ever scored was read each day, its reasons included.
    counts = queue_counts(Settings(home=tmp_path))
    newest = [FIRST_DAY, FIRST_DAY + timedelta(days=10), FIRST_DAY + timedelta(days=20)]
    assert counts["queued"] == len(queue(scores, newest, {}, POLICY.expire_days))
    assert counts["queued"] == counts["open"] + counts["expired"]
    assert min(counts["open"], counts["expired"]) > 0
    long_over = scores.path(FIRST_DAY - timedelta(days=2 * POLICY.expire_days))
    long_over.parent.mkdir()
    long_over.write_bytes(b"not to be opened")
    assert queue_counts(Settings(home=tmp_path)) == counts
    (case, *_) = queue(scores, newest, {}, POLICY.expire_days, QUEUE_COLUMNS)
    assert set(case.row) == set(QUEUE_COLUMNS)


def test_a_decision_is_a_label_and_a_later_one_counts_instead(scores: DayTable, tmp_path: Path) -> None:
    case = sorted(flagged(scores))[0]
    decide(scores, tmp_path, case, Outcome.CONFIRMED, NOW)
    decide(scores, tmp_path, case, Outcome.DISMISSED, NOW + timedelta(days=1))
    decisions = read_decisions(tmp_path)
    assert labels_of(decisions.values()) == {case: False}
    assert len(list((tmp_path / "risk").glob("*.jsonl"))) == 2
    record(tmp_path, decisions[case].model_copy(update={"outcome": Outcome.CONFIRMED, "decided_at": NOW}))
    assert labels_of(read_decisions(tmp_path).values()) == {case: False}


def test_what_was_not_queued_cannot_be_decided_and_a_broken_line_is_named(scores: DayTable, tmp_path: Path) -> None:
    with pytest.raises(ReviewError, match="no case 'session:s-1' is in the queue"):
        decide(scores, tmp_path, "session:s-1", Outcome.CONFIRMED, NOW)
    path = tmp_path / "risk" / "shop.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        '\n{"case_id": "c", "session_id": "s", "outcome": "perhaps", "decided_at": "2026-01-01T00:00:00Z"}\n'
    )
    with pytest.raises(ReviewError, match=r"shop\.jsonl line 2, outcome"):
        read_decisions(tmp_path)


def test_the_command_line_lists_and_decides(scores: DayTable, tmp_path: Path) -> None:
    # The machine's clock is no part of it: the newest day that is scored is today.
    day = scores.days()[-1]
    run = CliRunner()
    home = ["--home", str(tmp_path)]
    listed = run.invoke(app, ["review", "list", *home, "--language", "zh", "--limit", "2"])
    assert listed.exit_code == 0, listed.output
    first = json.loads(listed.stdout.splitlines()[0])
    assert (first["day"], first["state"]) == (day.isoformat(), "open")
    assert len(listed.stdout.splitlines()) == 2
    assert "queued:" in listed.stderr
    assert run.invoke(app, ["review", "decide", *home, first["case_id"], "confirmed"]).exit_code == 0
    shown = run.invoke(app, ["review", "list", *home, "--state", "decided"]).stdout.splitlines()
    assert json.loads(shown[0])["outcome"] == "confirmed"
    old = DayTable(tmp_path / "old" / "tables", "risk_scores", RISK_SCORE_SCHEMA)
    old.write(FIRST_DAY, scores.read([FIRST_DAY]))
    old.write(FIRST_DAY + timedelta(days=15), RISK_SCORE_SCHEMA.empty_table())
    there = ["--home", str(tmp_path / "old")]
    (expired, *_) = run.invoke(app, ["review", "list", *there, "--state", "expired"]).stdout.splitlines()
    late = run.invoke(app, ["review", "decide", *there, json.loads(expired)["case_id"], "dismissed"])
    assert late.exit_code == 0
    assert "had expired" in late.stderr
    (tmp_path / "new").mkdir()
    assert "no day of" in run.invoke(app, ["review", "list", "--home", str(tmp_path / "new")]).stderr
    for wrong in (
        ["decide", *home, "session:none", "confirmed"],
        ["decide", *home, "x", "maybe"],
        ["list", "--state", "x"],
        ["list", *home, "--language", "fr"],
        ["list", "--home", str(tmp_path / "none")],
    ):
        refused = run.invoke(app, ["review", *wrong])
        assert refused.exit_code == 2
        assert refused.stderr.startswith("review ")


def test_the_name_of_a_case_holds_no_shopper(scores: DayTable) -> None:
    for row in scores.read([date(2026, 3, 1)]).to_pylist():
        assert row["shopper_id"] not in row["case_id"]
