from __future__ import annotations

import numpy as np
import pytest

from intent_tracking.modeling.calibration import (
    Calibration,
    calibrate,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
    softmax,
    uncalibrated,
)
from intent_tracking.modeling.labels import LabelSet

pytestmark = pytest.mark.unit
NONE = np.zeros(0, dtype=np.int64)


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
    found = calibrate(logits, targets, None, NONE, LabelSet.of("abcde", []))
    assert found.ece_before is not None
    assert found.ece_after is not None
    assert found.ece_after < 0.5 * found.ece_before


def test_separable_validation_does_not_ask_for_endless_confidence() -> None:
    logits = np.eye(4, dtype=np.float32) * 10
    assert 0.05 < fit_temperature(logits, np.arange(4)) < 20


@pytest.mark.parametrize("allowed", [0.002, 0.01, 0.1])
def test_rejection_costs_at_most_what_is_allowed(allowed: float) -> None:
    logits, targets = _drawn(1.0)
    found = calibrate(logits, targets, None, NONE, LabelSet.of("abcde", []), allowed_loss=allowed)
    rejected = found.familiarity_of(logits, 5) < found.out_of_scope_threshold
    cost = float((rejected & (logits.argmax(1) == targets)).mean())
    assert cost <= allowed
    assert cost > allowed - 0.002  # and all of it is used: what more it finds is free
    assert found.allowed_loss == allowed


def test_foreign_texts_are_rejected_where_none_was_seen_before() -> None:
    random = np.random.default_rng(1)
    inside = (np.eye(4)[np.arange(400) % 4] * 8 + random.normal(size=(400, 4))).astype(np.float32)
    foreign = random.normal(size=(100, 4)).astype(np.float32)
    found = calibrate(inside, np.arange(400) % 4, None, NONE, LabelSet.of("abcd", []))
    said = (found.familiarity_of(foreign, 4) < found.out_of_scope_threshold).tolist()
    assert np.mean(said) > 0.9


def test_the_learned_class_is_answered_without_validation() -> None:
    """Nothing was ever rejected: the class's own probability was dropped, and no familiarity lies below 0."""
    logits = np.array([[0.0, 0.0, 20.0], [0.0, 20.0, 0.0]], dtype=np.float32)
    learned = uncalibrated(LabelSet.of(["a", "b", "oos"], []))
    assert [learned.is_out_of_scope(value) for value in learned.familiarity_of(logits, 2)] == [True, False]
    assert Calibration.model_validate_json(learned.model_dump_json()) == learned
    assert uncalibrated(LabelSet.of("ab", [])) == Calibration()


def test_too_few_validation_texts_choose_no_threshold() -> None:
    """The lowest of four was the threshold, which rejected a fifth of all good traffic."""
    logits, targets = _drawn(1.0)
    few = calibrate(logits[:198], targets[:198], None, NONE, LabelSet.of("abcde", []))
    assert (few.familiarity, few.out_of_scope_threshold, few.allowed_loss) == (None, 0.0, None)
    assert few.temperature != 1.0
    assert few.rejects(multi_label=False).startswith("nothing: too few validation texts")
    enough = calibrate(logits[:199], targets[:199], None, NONE, LabelSet.of("abcde", []))
    assert enough.out_of_scope_threshold > 0
    assert "may cost 0.5% of the in-scope texts" in enough.rejects(multi_label=False)
    # Texts out of scope are none of them, and where the class is learned it goes on being an answer.
    foreign = np.where(np.arange(400) < 198, targets[:400] % 4, 4)
    claimed = calibrate(logits[:400], foreign, None, NONE, LabelSet.of(["a", "b", "c", "d", "oos"], []))
    assert claimed.model_dump(include={"familiarity", "out_of_scope_threshold"}) == {
        "familiarity": {"by": "out_of_scope_class"},
        "out_of_scope_threshold": 0.5,
    }
    assert "oos is the most probable" in claimed.rejects(multi_label=False)


def test_an_artifact_without_familiarity_goes_by_its_best_probability() -> None:
    calibration = Calibration(temperature=2.0, out_of_scope_threshold=0.5)
    logits = np.array([[2.0, 0.0, 3.0]], dtype=np.float32)
    assert calibration.familiarity_of(logits, 2) == pytest.approx(softmax(logits / 2)[0, :1])


def test_the_calibration_of_the_purchase_is_measured_before_and_after() -> None:
    random = np.random.default_rng(3)
    honest = random.normal(size=5000) * 1.5
    bought = (random.random(5000) < 1 / (1 + np.exp(-honest))).astype(np.int64)
    found = calibrate(None, NONE, (3 * honest).astype(np.float32), bought, LabelSet.of((), []))
    assert found.outcome_temperature == pytest.approx(3.0, rel=0.15)
    assert found.outcome_ece_before is not None
    assert found.outcome_ece_after is not None
    assert found.outcome_ece_after < 0.3 * found.outcome_ece_before


def test_calibration_survives_its_file() -> None:
    logits, targets = _drawn(1.0, count=200)
    found = calibrate(logits, targets, None, NONE, LabelSet.of("abcde", []))
    again = Calibration.model_validate_json(found.model_dump_json())
    assert again == found
    assert again.familiarity_of(logits, 5).tolist() == found.familiarity_of(logits, 5).tolist()


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
