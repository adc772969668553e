"""The best tree is the best of all trees with one root."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from intent_tracking.text.trees import best_tree

pytestmark = pytest.mark.unit


def trees(words: int) -> list[tuple[int, ...]]:
    """Every tree over `words` words with one root, as heads, -1 the root."""
    return [
        heads
        for heads in itertools.product(range(-1, words), repeat=words)
        if heads.count(-1) == 1 and all(reaches_root(heads, word) for word in range(words))
    ]


def reaches_root(heads: tuple[int, ...], word: int) -> bool:
    for _ in heads:
        word = heads[word]
        if word < 0:
            return True
    return False


def score(scores: np.ndarray, heads: list[int] | tuple[int, ...]) -> float:
    return float(sum(scores[word + 1, head + 1] for word, head in enumerate(heads)))


@given(st.integers(1, 4).flatmap(lambda n: arrays(np.float64, (n + 1, n + 1), elements=st.integers(-9, 9).map(float))))
def test_no_tree_scores_higher(scores: np.ndarray) -> None:
    heads = best_tree(scores)
    possible = trees(len(scores) - 1)
    assert tuple(heads) in possible
    assert score(scores, heads) == max(score(scores, tree) for tree in possible)


def test_a_long_sentence_has_one_root_and_no_circle() -> None:
    heads = tuple(best_tree(np.random.default_rng(0).normal(size=(81, 81))))
    assert heads.count(-1) == 1
    assert all(reaches_root(heads, word) for word in range(80))


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        best_tree(np.full((3, 3), np.nan))
