from __future__ import annotations

import numpy as np
import pytest

from intent_tracking.modeling.calibration import (
    ALLOWED_LOSS,
    Calibration,
    calibrate,
    choose_threshold,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
    softmax,
)
from intent_tracking.modeling.labels import LabelSet

pytestmark = pytest.mark.unit


def _drawn(temperature: float, count: int = 4000, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `temperature` times too sure about labels drawn from them."""
    random = np.random.default_rng(0)
    honest = random.normal(size=(count, classes)).astype(np.float32) * 2
    chances = softmax(honest)
    targets = np.array([random.choice(classes, p=row / row.sum()) for row in chances.astype(np.float64)])
    return honest * temperature, targets


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_temperature_is_recovered_and_the_error_falls(temperature: float) -> None:
    logits, targets = _drawn(temperature)
    assert fit_temperature(logits, targets) == pytest.approx(temperature, rel=0.15)
    found = calibrate(logits, targets, None, np.zeros(0, dtype=np.int64), LabelSet.of("abcde", []))
    assert found.ece_before is not None
    assert found.ece_after is not None
    assert found.ece_after < 0.5 * found.ece_before


def test_separable_validation_does_not_ask_for_endless_confidence() -> None:
    logits = np.eye(4, dtype=np.float32) * 10
    assert 0.05 < fit_temperature(logits, np.arange(4)) < 20


def test_rejection_costs_at_most_what_is_allowed() -> None:
    logits, targets = _drawn(1.0)
    known = softmax(logits)
    threshold = choose_threshold(known, targets)
    right = known.argmax(1) == targets
    assert float((right & (known.max(1) < threshold)).mean()) <= ALLOWED_LOSS
    assert threshold > 0


def test_foreign_texts_are_rejected_when_they_are_unsure() -> None:
    random = np.random.default_rng(1)
    inside = softmax((np.eye(4)[np.arange(400) % 4] * 8 + random.normal(size=(400, 4))).astype(np.float32))
    foreign = softmax(random.normal(size=(100, 4)).astype(np.float32))
    targets = np.concatenate([np.arange(400) % 4, np.full(100, 4)])
    threshold = choose_threshold(np.concatenate([inside, foreign]), targets)
    calibration = Calibration(out_of_scope_threshold=threshold)
    assert np.mean([calibration.is_out_of_scope(float(row.max())) for row in foreign]) > 0.9


def test_calibration_error_of_honest_confidence_is_small_and_of_boasting_is_the_gap() -> None:
    sure = np.full(1000, 0.95, dtype=np.float32)
    assert expected_calibration_error(reliability_bins(sure, np.arange(1000) % 20 != 0)) < 0.01
    assert expected_calibration_error(reliability_bins(sure, np.arange(1000) % 2 == 0)) == pytest.approx(0.45, abs=0.01)


def test_a_bin_holds_its_upper_edge_in_single_precision_too() -> None:
    for kind in (np.float32, np.float64):
        bins = reliability_bins(np.array([0.0, 0.2, 0.4, 1.0], dtype=kind), np.ones(4, dtype=bool), 5)
        assert [b.count for b in bins] == [2, 1, 0, 0, 1]


def test_bins_of_a_hand_counted_case() -> None:
    bins = reliability_bins(np.array([0.1, 0.3, 0.9, 0.7]), np.array([False, True, True, False]), 2)
    assert [(b.low, b.high, b.count) for b in bins] == [(0.0, 0.5, 2), (0.5, 1.0, 2)]
    assert [b.confidence for b in bins] == pytest.approx([0.2, 0.8])
    assert [b.accuracy for b in bins] == [0.5, 0.5]
    assert expected_calibration_error(bins) == pytest.approx(0.3)
    assert expected_calibration_error(reliability_bins(np.zeros(0), np.zeros(0, dtype=bool))) == 0.0


def test_extreme_outcome_logits_do_not_overflow() -> None:
    calibration = Calibration(outcome_temperature=0.1)
    assert calibration.purchase_probability(1e6) == pytest.approx(1.0)
    assert calibration.purchase_probability(-1e6) == pytest.approx(0.0)
