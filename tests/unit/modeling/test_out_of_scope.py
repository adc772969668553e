"""Familiarity from logits, and the threshold that costs no more than is allowed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from intent_tracking.modeling.calibration import softmax
from intent_tracking.modeling.out_of_scope import ClassFamiliarity, choose_threshold, fit_familiarity, scope_figures

pytestmark = pytest.mark.unit


def test_the_figures_are_energy_negative_entropy_and_log_odds() -> None:
    logits = np.array([[1.0, 2.0, 0.5], [-3.0, 4.0, 6.0]], dtype=np.float32)
    chances = softmax(logits[:, :2]).astype(float)
    figures = scope_figures(logits, 2)
    energy = np.log(np.exp(logits[:, :2].astype(float)).sum(axis=1))
    assert figures[:, 0] == pytest.approx(energy)
    assert figures[:, 1] == pytest.approx((chances * np.log(chances)).sum(axis=1), abs=1e-6)
    every = softmax(logits).astype(float)
    assert figures[:, 2] == pytest.approx(np.log(every[:, :2].sum(axis=1) / every[:, 2]), abs=1e-5)
    assert scope_figures(logits[:, :2], 2).shape == (2, 2)


@given(arrays(np.float32, (6, 4), elements=st.floats(-80, 80, width=32)))
def test_no_logits_make_familiarity_anything_but_a_share(logits: np.ndarray) -> None:
    found = fit_familiarity(logits, 3).of(logits, 3)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (found <= 1).all()


def test_what_the_out_of_scope_class_claims_is_less_familiar() -> None:
    random = np.random.default_rng(0)
    inside = random.normal(size=(200, 4)).astype(np.float32)
    fitted = fit_familiarity(inside, 3)
    claimed = inside.copy()
    claimed[:, 3] += 5.0
    assert (fitted.of(claimed, 3) < fitted.of(inside, 3)).all()


def test_the_threshold_of_a_hand_counted_case() -> None:
    familiarity = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    right = np.array([False, True, True, True, True, True, True, True, True, True])
    assert choose_threshold(familiarity, right, 0.1) == pytest.approx(0.2, abs=1e-4)  # the wrong one goes for free
    assert choose_threshold(familiarity, right, 0.19) == pytest.approx(0.3, abs=1e-4)
    assert choose_threshold(familiarity, right, 1.0) == pytest.approx(1.0, abs=1e-4)
    # Ten texts say nothing of what one in twelve does.
    assert choose_threshold(familiarity, right, 1 / 12) is None
    assert choose_threshold(familiarity, right, 0.0) is None
    assert choose_threshold(familiarity, np.zeros(10, dtype=bool), 0.1) is None


@pytest.mark.parametrize("count", [19, 20, 30, 39, 200])
def test_what_is_allowed_holds_for_fresh_texts_however_few_chose_the_threshold(count: int) -> None:
    """Below 1 / `allowed_loss` texts the threshold was the lowest of them: of ten it cost a tenth of fresh answers."""
    random = np.random.default_rng(count)
    # Of familiarities that are uniform, a threshold is the share of fresh texts below it.
    drawn = [choose_threshold(random.random(count), np.ones(count, dtype=bool), 0.05) for _ in range(4000)]
    assert np.mean([threshold for threshold in drawn if threshold is not None]) == pytest.approx(
        int(0.05 * (count + 1)) / (count + 1), rel=0.05
    )
    assert choose_threshold(random.random(18), np.ones(18, dtype=bool), 0.05) is None


@given(arrays(np.int8, (5, 4)))
def test_without_a_threshold_the_learned_class_is_answered_where_it_is_the_most_probable(drawn: np.ndarray) -> None:
    logits = drawn.astype(np.float32) / 8
    chances = softmax(logits)
    most_probable = chances[:, 3] > chances[:, :3].max(axis=1)
    assert (ClassFamiliarity().of(logits, 3) < 0.5).tolist() == most_probable.tolist()


def test_a_text_at_the_threshold_is_kept_in_whatever_batch_it_is_computed() -> None:
    # A threshold that was a text's own familiarity let that text's answer flip with the texts beside it.
    familiarity = np.array([0.5, 0.7, 0.9])
    threshold = choose_threshold(familiarity, np.ones(3, dtype=bool), 0.25)
    assert threshold is not None
    assert 0.4 < threshold < 0.5 - 1e-6
