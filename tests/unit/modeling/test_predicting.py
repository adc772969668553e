from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.modeling import predicting
from intent_tracking.modeling.predicting import batches_by_length, best_first
from intent_tracking.modeling.prediction import IntentScore, Prediction, RankedIntents
from intent_tracking.modeling.tokenization import EncodedText, SessionTokenizer
from intent_tracking.sessions.render import render_utterance
from tests.artifacts import TEXTS, tiny_pipeline

pytestmark = pytest.mark.unit

SCORES = st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1, max_size=5)


@given(st.lists(st.integers(1, 60), max_size=50), st.integers(1, 20), st.integers(0, 40))
def test_batches_hold_every_text_once_and_pad_at_most_what_a_run_costs(
    lengths: list[int], batch_size: int, run_tokens: int
) -> None:
    batches = batches_by_length(lengths, batch_size, run_tokens)
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) <= batch_size
        ordered = [lengths[place] for place in batch]
        assert ordered == sorted(ordered)
        for taken in range(1, len(batch)):
            assert taken * (ordered[taken] - ordered[taken - 1]) <= run_tokens
    assert len(batches_by_length([5, 9, 60], 64)) == 1


@given(SCORES, st.one_of(st.none(), st.integers(1, 12)))
def test_the_best_come_first_and_of_equals_the_first(rows: list[list[int]], top_k: int | None) -> None:
    found = best_first(np.asarray(rows, dtype=np.float32), top_k)
    expected = [sorted(range(6), key=lambda place: (-row[place], place))[:top_k] for row in rows]
    assert found.tolist() == expected


def test_a_text_is_answered_alike_alone_and_in_a_batch_of_any_company() -> None:
    pipeline = tiny_pipeline()
    inputs = [render_utterance(text) for text in (*TEXTS, "red " * 40, "size m", "")]
    together = pipeline.predict(inputs)
    for entry, expected in zip(inputs, together, strict=True):
        _assert_same(pipeline.predict([entry])[0], expected)
    for batch_size in (1, 3):
        for one, other in zip(pipeline.predict(inputs, batch_size=batch_size), together, strict=True):
            _assert_same(one, other)


@settings(max_examples=20)
@given(st.permutations(range(len(TEXTS))))
def test_predictions_come_in_the_order_given(order: Sequence[int]) -> None:
    pipeline = tiny_pipeline()
    inputs = [render_utterance(text) for text in TEXTS]
    expected = pipeline.predict(inputs)
    for place, found in zip(order, pipeline.predict([inputs[place] for place in order], top_k=2), strict=True):
        assert found.token_count == expected[place].token_count
        assert [score.name for score in found.intents] == [score.name for score in expected[place].intents[:2]]


def test_a_file_is_read_a_block_at_a_time_and_keeps_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens of all texts were held at once, of a large test gigabytes."""
    pipeline = tiny_pipeline()
    inputs = [render_utterance(text) for text in 3 * TEXTS]
    expected = pipeline.predict(inputs)
    read: list[int] = []
    encode = SessionTokenizer.encode

    def counted(self: SessionTokenizer, texts: Sequence[str]) -> list[EncodedText]:
        read.append(len(texts))
        return encode(self, texts)

    monkeypatch.setattr(SessionTokenizer, "encode", counted)
    monkeypatch.setattr(predicting, "_BLOCK", 4)
    for one, other in zip(pipeline.predict(inputs), expected, strict=True):
        _assert_same(one, other)
    assert max(read) == 4
    assert sum(read) == len(inputs)


def test_intents_are_numbers_that_read_as_a_sequence() -> None:
    ranked = RankedIntents(("a", "b", "c"), np.array([2, 0, 1], np.int32), np.array([0.5, 0.25, 0.125], np.float32))
    scores = [IntentScore("c", 0.5), IntentScore("a", 0.25), IntentScore("b", 0.125)]
    assert list(ranked) == [ranked[place] for place in range(len(ranked))] == scores
    assert (ranked[-1], list(ranked[:2]), list(ranked[3:])) == (scores[-1], scores[:2], [])
    assert ranked[:1]
    assert not ranked[3:]
    with pytest.raises(IndexError):
        ranked[3]


def test_thousands_of_labels_do_not_make_an_object_each() -> None:
    """10,000 test texts with 5,000 labels were 50 million objects, 4 GB, when the training was over."""
    pipeline = tiny_pipeline(intents=[f"label {place}" for place in range(2000)])
    inputs = [render_utterance("where is my parcel")] * 100
    tracemalloc.start()
    try:
        answers = pipeline.predict(inputs)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(answers[0].intents) == 2000
    assert held < 16 * 100 * 2000


def _assert_same(found: Prediction, expected: Prediction) -> None:
    assert found.key_information == expected.key_information
    assert (found.out_of_scope, found.token_count, found.unknown_share) == (
        expected.out_of_scope,
        expected.token_count,
        expected.unknown_share,
    )
    assert [score.name for score in found.intents] == [score.name for score in expected.intents]
    for one, other in zip(found.intents, expected.intents, strict=True):
        assert one.probability == pytest.approx(other.probability, abs=1e-5)
    assert np.allclose(found.embedding, expected.embedding, atol=1e-5)
