"""Evidently draws the columns of a decision, computes the same statistics, and shows the same verdict."""

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from dagster_project.resources import drift_report
from intent_tracking.evaluation.drift import drift_decision
from intent_tracking.evaluation.drift_sample import DriftPolicy, draw
from tests.fakes.prediction_tables import served

pytestmark = pytest.mark.integration
POLICY = DriftPolicy(sample_size=250, min_samples=100, permutations=199)
DAY = date(2026, 1, 21)


def test_the_page_and_the_summary_say_the_same(tmp_path: Path) -> None:
    reference, current = served(600, seed=1, days=4), served(300, seed=2, day=20, drift=0.3)
    summary = drift_report.report_drift(reference, current, DAY, tmp_path, POLICY)
    assert summary.drifted
    assert drift_report.read_summary(tmp_path) == summary

    sample = draw(reference, current, POLICY)
    assert sample is not None
    snapshot = drift_report.run_evidently(sample, summary)
    theirs = drift_report.evidently_statistics(snapshot)
    assert theirs == pytest.approx({c.name: c.statistic for c in summary.columns}, abs=1e-9)
    verdicts = {
        re.sub(r"^Value Drift for column ", "", test["name"]): test["status"].value == "FAIL"
        for test in snapshot.dict()["tests"]
    }
    assert verdicts == {c.name: c.drifted for c in summary.columns}

    page = (tmp_path / drift_report.HTML_FILE).read_text("utf-8")
    assert "embedding_novelty" in page
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"']?https?://", page)


def test_a_statistic_that_is_not_evidentlys_stops_the_report(tmp_path: Path) -> None:
    reference, current = served(300, seed=1), served(300, seed=2)
    sample = draw(reference, current, POLICY)
    assert sample is not None
    summary = drift_decision(reference, current, DAY, POLICY, sample=sample)
    wrong = replace(summary, columns=(replace(summary.columns[0], statistic=0.5), *summary.columns[1:]))
    with pytest.raises(drift_report.DriftReportMismatchError, match="column scene"):
        drift_report.write_html(sample, wrong, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_too_few_sessions_leave_a_summary_and_no_page(tmp_path: Path) -> None:
    summary = drift_report.report_drift(served(300, seed=1), served(20, seed=2), DAY, tmp_path, POLICY)
    assert not summary.enough
    assert [path.name for path in tmp_path.iterdir()] == [drift_report.SUMMARY_FILE]
