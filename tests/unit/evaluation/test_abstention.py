"""What withholding the unsure ones gains, against hand-counted cases."""

import numpy as np
import pytest

from intent_tracking.evaluation.abstention import POINTS, abstention_curve

pytestmark = pytest.mark.unit


def test_the_curve_of_a_hand_counted_case() -> None:
    curve = abstention_curve([0.9, 0.8, 0.7, 0.6], [True, False, True, False], [False, False, True, True])
    assert curve is not None
    assert curve.coverage == pytest.approx((0.25, 0.5, 0.75, 1.0))
    assert curve.accuracy == pytest.approx((1.0, 0.5, 2 / 3, 0.5))
    assert curve.threshold == (0.9, 0.8, 0.7, 0.6)
    assert curve.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert curve.best_aurc == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert (curve.full_accuracy, curve.answered, curve.answered_accuracy) == (0.5, 0.5, 0.5)


def test_an_order_that_knows_its_errors_reaches_the_best_area() -> None:
    right = np.arange(100) % 4 != 0
    knowing = abstention_curve(right.astype(float) + np.arange(100) / 1000, right, [False] * 100)
    blind = abstention_curve(np.random.default_rng(0).random(100), right, [False] * 100)
    assert knowing is not None
    assert blind is not None
    assert knowing.aurc == pytest.approx(knowing.best_aurc)
    assert blind.aurc > 2 * blind.best_aurc


@pytest.mark.parametrize("shift", [0, 1])
def test_equal_confidences_cannot_be_parted_whatever_their_order(shift: int) -> None:
    right = np.roll([True, False, True, False], shift)
    curve = abstention_curve([0.5] * 4, right, [True] * 4)
    assert curve is not None
    assert curve.coverage == (1.0,)
    assert curve.aurc == pytest.approx(0.5)
    assert curve.answered_accuracy is None


def test_the_curve_stays_small_and_ends_at_full_accuracy() -> None:
    generator = np.random.default_rng(1)
    right = generator.random(5000) < 0.7
    curve = abstention_curve(generator.random(5000), right, [False] * 5000)
    assert curve is not None
    assert len(curve.coverage) == POINTS
    assert curve.coverage[-1] == 1.0
    assert curve.accuracy[-1] == pytest.approx(right.mean())
    assert abstention_curve([], [], []) is None
