from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.modeling.decoding import best_tags, spans_of
from intent_tracking.modeling.labels import IGNORED, LabelSet

pytestmark = pytest.mark.unit


def _well_formed(path: tuple[int, ...]) -> bool:
    return all(
        tag == 0 or tag % 2 == 1 or (place > 0 and path[place - 1] in (tag, tag - 1)) for place, tag in enumerate(path)
    )


@settings(max_examples=50)
@given(st.integers(1, 4), st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_decoding_finds_the_best_well_formed_sequence(words: int, slots: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(words, 1 + 2 * slots)).astype(np.float32)
    paths = [path for path in product(range(1 + 2 * slots), repeat=words) if _well_formed(path)]
    totals = [sum(float(scores[place, tag]) for place, tag in enumerate(path)) for path in paths]
    found = tuple(best_tags(scores))
    assert _well_formed(found)
    assert sum(float(scores[p, t]) for p, t in enumerate(found)) == pytest.approx(max(totals), abs=1e-4)


def test_no_words_no_tags() -> None:
    assert best_tags(np.zeros((0, 3), dtype=np.float32)) == []


def test_neighbouring_spans_of_one_slot_stay_two() -> None:
    words = [(0, 3), (4, 7), (8, 12)]
    assert spans_of([1, 2, 1], words) == [(0, 0, 7), (0, 8, 12)]


def test_tags_mark_the_words_of_a_slot_and_ignore_what_begins_no_word() -> None:
    labels = LabelSet.of(["a", "oos"], ["size", "colour"])
    spans = [(0, 0), (0, 3), (3, 5), (6, 9), (10, 12), (0, 0)]
    starts = [False, True, False, True, True, False]
    tags = labels.tag_ids(spans, starts, [("colour", 0, 9), ("unheard_of", 10, 12)], (0, 12))
    assert tags == [IGNORED, 1, IGNORED, 2, 0, IGNORED]


def test_a_word_within_which_a_slot_begins_teaches_nothing() -> None:
    """`15` of `iphone15` was lost, and the word taught that it is no slot."""
    labels = LabelSet.of(["a", "b"], ["size"])
    spans, starts = [(0, 6), (6, 8), (9, 12)], [True, False, True]
    assert labels.tag_ids(spans, starts, [("size", 6, 8)], (0, 12)) == [IGNORED, IGNORED, 0]
    assert labels.tag_ids(spans, starts, [("size", 6, 12)], (0, 12)) == [IGNORED, IGNORED, 1]
    # Of one that ends within a word, the word is the best that tags of words can say.
    assert labels.tag_ids(spans, starts, [("size", 0, 6)], (0, 12)) == [1, IGNORED, 0]


def test_words_that_nobody_looked_at_teach_nothing() -> None:
    labels = LabelSet.of(["a", "b"], ["colour"])
    spans, starts = [(0, 3), (4, 7), (8, 11)], [True, True, True]
    assert labels.tag_ids(spans, starts, None, (0, 11)) == [IGNORED] * 3
    assert labels.tag_ids(spans, starts, [("colour", 8, 11)], (4, 11)) == [IGNORED, 0, 1]


def test_a_slot_begins_anew_behind_what_was_cut_out_and_a_word_cut_through_teaches_nothing() -> None:
    labels = LabelSet.of(["a", "b"], ["colour"])
    spans, starts = [(0, 3), (4, 7), (8, 10), (50, 53), (54, 57)], [True] * 5
    tags = labels.tag_ids(spans, starts, [("colour", 4, 57)], (0, 57), [range(2), range(3, 5)])
    assert tags == [0, 1, IGNORED, 1, 2]


def test_out_of_scope_is_a_class_and_no_intent() -> None:
    labels = LabelSet.of(["b", "a", "oos", "a"], [])
    assert labels.intents == ("a", "b")
    assert labels.class_names() == ("a", "b", "oos")
    assert [labels.intent_id(name) for name in ("a", "oos", "new", None)] == [0, 2, IGNORED, IGNORED]


def test_one_label_needs_no_head() -> None:
    assert LabelSet.of(["a"], []).intent_classes == 0
