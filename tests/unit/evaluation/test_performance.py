"""Performance drift: labelled answers now against then."""

import json
from datetime import date
from itertools import cycle, islice

import pytest

from intent_tracking.evaluation.drift import DriftSummary, drift_decision
from intent_tracking.evaluation.drift_sample import DriftPolicy
from intent_tracking.evaluation.performance import correct_answers, performance_drift
from tests.fakes.prediction_tables import served

pytestmark = pytest.mark.unit


def _answers(count: int, right_in_ten: int) -> list[bool]:
    return list(islice(cycle([True] * right_in_ten + [False] * (10 - right_in_ten)), count))


def test_a_fall_is_called_with_its_interval_and_a_wobble_is_not() -> None:
    fall = performance_drift(_answers(300, 9), _answers(200, 7))
    assert fall.drifted
    assert fall.low < fall.difference == pytest.approx(-0.2)
    assert fall.high < 0
    assert not performance_drift(_answers(300, 9), _answers(60, 9)).drifted
    assert not performance_drift(_answers(300, 7), _answers(200, 9)).drifted


def test_few_labels_give_no_verdict_and_say_so() -> None:
    few = performance_drift(_answers(300, 9), _answers(10, 1))
    assert not few.drifted
    assert few.difference is None
    assert "10 labels in the window" in few.reason


def test_a_session_counts_once_by_its_last_answer() -> None:
    table = served(40, seed=1)
    last = {}
    for row in sorted(table.to_pylist(), key=lambda r: (r["event_time"], r["prediction_id"])):
        last[row["session_id"]] = "oos" if row["out_of_scope"] else row["intent"]
    assert correct_answers(table, last) == [True] * 40
    assert correct_answers(table, {"s1-0-0": "something else", "elsewhere": "x"}) == [False]


def test_a_fall_of_the_accuracy_is_a_drift_although_no_column_moved() -> None:
    policy = DriftPolicy(sample_size=200, min_samples=100, permutations=199)
    fall = performance_drift(_answers(300, 9), _answers(200, 6))
    summary = drift_decision(served(300, seed=1), served(300, seed=2), date(2026, 1, 1), policy, performance=fall)
    assert summary.drifted
    assert "performance fell" in summary.reason
    assert DriftSummary.from_dict(json.loads(json.dumps(summary.to_dict()))) == summary
