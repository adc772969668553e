"""The training of the ranker: it learns what it is shown, and says how sure it is."""

from __future__ import annotations

import numpy as np
import pytest

from intent_tracking.applications.customer_service.evidence import NAMES
from intent_tracking.applications.customer_service.training import RankedQuestion, train_ranker

pytestmark = pytest.mark.unit


def questions(count: int, seed: int) -> list[RankedQuestion]:
    """Of five candidates the one answers whose text is covered, whatever the search scores say."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        rows = random.random((5, len(NAMES))).astype(np.float32)
        covered = rows[:, NAMES.index("covered")]
        found.append(RankedQuestion(rows, covered == covered.max()))
    return found


def test_what_tells_an_answer_is_learned() -> None:
    ranker = train_ranker(questions(160, 0))
    tested = questions(100, 1)
    right = [question.answers[ranker.scores(question.rows).argmax()] for question in tested]
    assert np.mean(right) > 0.7
    confidence = ranker.confidence(np.array([ranker.scores(each.rows).max() for each in tested]), blind=False)
    assert np.all((confidence > 0) & (confidence < 1))
    assert (ranker.curves[:, 0] > 0).all()


def test_the_same_questions_and_seed_give_the_same_ranker() -> None:
    few = questions(40, 2)
    assert train_ranker(few, 3).fingerprint == train_ranker(few, 3).fingerprint


def test_too_few_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="5 questions are too few"):
        train_ranker(questions(5, 0))
