"""Areas under curves agree with scikit-learn, and a curve is only drawn where it means something."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from intent_tracking.evaluation import curves

pytestmark = pytest.mark.unit
LABELS = ("a", "b", "c")


def _noisy(count: int = 300) -> tuple[list[str], np.ndarray]:
    generator = np.random.default_rng(5)
    codes = generator.integers(0, 3, count)
    scores = generator.random((count, 3)) + np.eye(3)[codes] * 0.6
    return [LABELS[c] for c in codes], scores / scores.sum(axis=1, keepdims=True)


def test_areas_equal_scikit_learn() -> None:
    truth, scores = _noisy()
    target = np.array([[t == label for label in LABELS] for t in truth])
    roc = curves.roc_curves(truth, scores, LABELS)
    pr = curves.precision_recall_curves(truth, scores, LABELS)
    assert roc is not None
    assert pr is not None
    assert roc.macro.area == pytest.approx(roc_auc_score(target, scores, average="macro"))
    assert roc.micro.area == pytest.approx(roc_auc_score(target, scores, average="micro"))
    assert pr.macro.area == pytest.approx(average_precision_score(target, scores, average="macro"))
    assert pr.micro.area == pytest.approx(average_precision_score(target, scores, average="micro"))


def test_a_label_that_never_or_always_occurs_has_no_curve() -> None:
    truth, scores = _noisy()
    roc = curves.roc_curves(truth, np.hstack([scores, scores[:, :1]]), (*LABELS, "never"))
    assert roc is not None
    assert [c.label for c in roc.by_label] == list(LABELS)
    assert curves.roc_curves(["a", "a"], scores[:2], LABELS) is None


def test_curves_stay_small_and_inside_the_square() -> None:
    truth, scores = _noisy(3000)
    roc = curves.roc_curves(truth, scores, LABELS)
    assert roc is not None
    for curve in (*roc.by_label, roc.macro, roc.micro):
        assert len(curve.x) == len(curve.y) <= curves.GRID
        assert 0 <= min(curve.x + curve.y) <= max(curve.x + curve.y) <= 1
        assert list(curve.x) == sorted(curve.x)


def test_purchase_auc_needs_both_outcomes_and_skips_unknown_ones() -> None:
    assert curves.outcome_auc([True, False, None, False], [0.9, 0.2, 0.99, math.nan]) == 1.0
    assert curves.outcome_auc([True, True], [0.4, 0.5]) is None
