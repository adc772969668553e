"""The deletion test tells an explanation from a guess."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from intent_tracking.evaluation.faithfulness import SHARES, deletion_curves, deletion_test
from intent_tracking.evaluation.metrics import EvaluationError
from intent_tracking.modeling.explaining import Explanation, Predictor, explain
from intent_tracking.sessions.render import ModelInput, render_utterance
from tests.fakes.keyword_predictor import KeywordPredictor

pytestmark = pytest.mark.unit

WORDS = ("the", "red", "coat", "i", "got", "from", "your", "shop", "last", "week", "is", "not", "what", "it", "was")
KEYS = ("refund", "cancel", "coupon", "declined", "shipped")


def inputs() -> list[ModelInput]:
    """One keyword somewhere among 15 words that mean nothing to the model."""
    random = np.random.default_rng(0)
    texts = []
    for number in range(40):
        words = list(WORDS)
        words.insert(int(random.integers(len(words) + 1)), KEYS[number % len(KEYS)])
        texts.append(render_utterance(" ".join(words)))
    return texts


def guess(predictor: Predictor, entry: ModelInput) -> Explanation:
    found = explain(predictor, entry)
    weights = np.random.default_rng(zlib.crc32(entry.text.encode())).random(64)
    return replace(
        found,
        method="a guess",
        words=tuple(replace(word, weight=float(weights[place])) for place, word in enumerate(found.words)),
    )


def test_explanations_that_name_the_keyword_beat_random_removal_by_far() -> None:
    found = deletion_test(KeywordPredictor(), inputs())
    assert found.area_ratio is not None
    assert found.area_ratio.value > 2 < found.area_ratio.low
    fifth = found.at(0.2)
    assert fifth.words == 3
    # A random removal of 3 of 16 words finds the keyword about every fifth time.
    assert fifth.ratio is not None
    assert fifth.ratio.value == pytest.approx(16 / 3, rel=0.35)
    assert found.sufficiency < found.random_sufficiency
    assert "x" in found.summary()
    assert f"{found.texts} texts" in found.summary()


def test_a_guess_is_no_better_than_random_removal() -> None:
    found = deletion_test(KeywordPredictor(), inputs(), how=guess)
    assert found.method == "a guess"
    assert found.area_ratio is not None
    assert found.area_ratio.low < 1.0 < found.area_ratio.high


def test_weights_turned_round_are_worse_than_random_removal() -> None:
    def turned(predictor: Predictor, entry: ModelInput) -> Explanation:
        found = explain(predictor, entry)
        return replace(found, words=tuple(replace(word, weight=-word.weight) for word in found.words))

    found = deletion_test(KeywordPredictor(), inputs(), how=turned)
    assert found.area_ratio is not None
    assert found.area_ratio.high < 1.0


def test_the_same_texts_give_the_same_figures_and_short_texts_do_not_count() -> None:
    short = [render_utterance("refund please")]
    first = deletion_test(KeywordPredictor(), inputs(), limit=10)
    assert first == deletion_test(KeywordPredictor(), inputs(), limit=10)
    assert first.texts == 10
    assert deletion_test(KeywordPredictor(), [*short, *inputs(), render_utterance("word " * 200)]).texts == 40
    with pytest.raises(EvaluationError, match="4 words or more"):
        deletion_test(KeywordPredictor(), short)


def test_texts_that_no_removal_moves_give_no_ratio() -> None:
    found = deletion_test(KeywordPredictor(), [render_utterance("the red coat from your shop")])
    assert found.area_ratio is None
    assert "changes nothing" in found.summary()


def test_the_picture_of_the_curves_is_the_same_every_time(tmp_path: Path) -> None:
    found = deletion_test(KeywordPredictor(), inputs(), limit=10)
    name = deletion_curves(tmp_path / "a", found)
    deletion_curves(tmp_path / "b", found)
    assert name == "deletion.png"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert [each.share for each in found.deletions] == [None, *SHARES]
