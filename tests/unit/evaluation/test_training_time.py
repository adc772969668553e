from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.evaluation.training_time import about_tokens, cut_short, default_seconds

pytestmark = pytest.mark.unit


def test_long_texts_copies_and_what_a_teacher_labels_have_time_of_their_own() -> None:
    """Ten thousand texts had 480 s, of 190 tokens each as of 16: the model was kept after 63% of a pass."""
    assert default_seconds(10_000, about_tokens(["where is my parcel 4711?"] * 10_000)) == 480
    assert default_seconds(10_000, 190 * 10_000) == pytest.approx(5_700)
    assert default_seconds(20_000, 16 * 20_000) == 960


@given(st.integers(0, 10**6), st.floats(0, 1e9))
def test_nothing_has_less_time_than_its_texts(texts: int, tokens: float) -> None:
    assert default_seconds(texts, tokens) >= default_seconds(texts) >= 480


def test_tokens_are_guessed_from_characters_as_far_as_a_model_reads() -> None:
    assert about_tokens(["衣服太小了", "my coat is small", ""]) == 5 + 4
    assert about_tokens(["a" * 100_000, "退" * 1000]) == 2 * 192


def test_a_training_without_time_for_one_pass_is_told_with_the_remedy() -> None:
    training = {"stopped": "time", "passes": 0.63, "max_seconds": 480.0}
    assert "63% of its texts when its 480 s were over" in str(cut_short(training))
    assert "--max-seconds; once through all of them takes about 762 s" in str(cut_short(training))
    assert "0% of its texts" in str(cut_short({**training, "passes": 1 / 3_125}))
    assert cut_short({**training, "passes": 1.4}) is None
    assert cut_short({**training, "stopped": "finished"}) is None
