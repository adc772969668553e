"""Spans survive edits: forwards through rounds of them, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.text.spans import SpanMap, replace_spans

pytestmark = pytest.mark.unit


def test_a_span_behind_an_edit_moves_with_it() -> None:
    text, mapped = replace_spans("call 13812345678 about the red dress", [(5, 16, "<phone>")])
    assert text == "call <phone> about the red dress"
    assert text[slice(*mapped(27, 36))] == "red dress"
    assert mapped(0, 4) == (0, 4)


def test_a_span_that_touches_an_edit_grows_to_the_replacement() -> None:
    text, mapped = replace_spans("call 13812345678 now", [(5, 16, "<phone>")])
    assert text[slice(*mapped(7, 9))] == "<phone>"
    assert text[slice(*mapped(0, 8))] == "call <phone>"


def test_rounds_add_up() -> None:
    first, one = replace_spans("aa bb cc", [(0, 3, "")])
    second, two = replace_spans(first, [(0, 2, "long")])
    assert second == "long cc"
    assert second[slice(*one.then(two)(6, 8))] == "cc"


def test_a_prediction_goes_back_to_the_words_that_were_typed() -> None:
    typed = "ring 13812345678 about size 42"
    edited, mapped = replace_spans(typed, [(5, 16, "<phone>")])
    start = edited.index("size 42")
    assert typed[slice(*mapped.inverted()(start, start + 7))] == "size 42"
    assert typed[slice(*mapped.inverted()(5, 12))] == "13812345678"


def test_a_span_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="0 <= start <= end"):
        SpanMap()(3, 2)


@given(
    st.text(max_size=30),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5), st.text(max_size=4)), max_size=5),
    st.data(),
)
def test_untouched_characters_keep_themselves(text: str, cuts: list[tuple[int, int, str]], data: st.DataObject) -> None:
    edits: list[tuple[int, int, str]] = []
    for start, length, replacement in sorted(cuts):
        if start + length <= len(text) and (not edits or start >= edits[-1][1]):
            edits.append((start, start + length, replacement))
    edited, mapped = replace_spans(text, edits)
    for place in range(len(text)):
        if not any(start <= place < end for start, end, _ in edits):
            assert edited[slice(*mapped(place, place + 1))] == text[place]
