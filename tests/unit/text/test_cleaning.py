"""Cleaning gives one form of a text and says where each part of it went."""

from __future__ import annotations

import sys
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.text.cleaning import _INVISIBLE, MAX_CHARACTERS, clean, clean_with_offsets, shortened

pytestmark = pytest.mark.unit

TRICKY = st.text(
    st.one_of(
        st.sampled_from(
            "a1 \t\n\u3000\u200b\ufe0f\u0301\u0327\u00e9\u212b\ufb01\uff21\u1112\u1161\u11ab"
            "\uac00\uff9e\u30cf\ud800\u00b4，５"
        ),
        st.characters(exclude_categories=()),
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("  red   dress\n\tsize 10 ", "red dress size 10"),
        ("１３８－Ｒｅｄ，你好", "138-Red,你好"),
        ("pass\u200bword\u202e\x00!", "password!"),
        ("caf\u0065\u0301", "café"),
        ("broken \ud83d surrogate", "broken surrogate"),
        ("", ""),
        (" \u3000\u200b ", ""),
    ],
)
def test_texts_come_out_in_one_form(typed: str, expected: str) -> None:
    assert clean(typed) == expected


@given(TRICKY)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(TRICKY)
def test_a_clean_text_is_tidy_and_can_be_stored(text: str) -> None:
    cleaned = clean(text)
    assert unicodedata.is_normalized("NFKC", cleaned)
    assert "  " not in cleaned
    assert cleaned == cleaned.strip()
    cleaned.encode("utf-8")


@given(TRICKY)
def test_both_ways_of_cleaning_agree(text: str) -> None:
    assert clean_with_offsets(text).text == clean(text)


@given(TRICKY, st.text("abc", min_size=1, max_size=5), TRICKY)
def test_a_word_is_found_where_the_map_says(before: str, word: str, after: str) -> None:
    cleaned = clean_with_offsets(f"{before} \u200b{word} {after}")
    start, end = cleaned.map_span(len(before) + 2, len(before) + 2 + len(word))
    assert cleaned.text[start:end] == word


@given(TRICKY, st.data())
def test_every_span_lands_inside_the_text(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    cleaned = clean_with_offsets(text)
    new_start, new_end = cleaned.map_span(start, end)
    assert 0 <= new_start <= new_end <= len(cleaned.text)


def test_a_name_keeps_its_beginning() -> None:
    assert clean("word " * 1000, max_characters=12) == "word word wo"


LETTER = st.builds(
    lambda head, number, tail: f"{head} {'middle ' * number}{tail}",
    st.text(st.sampled_from("ab \u0301你"), min_size=300, max_size=1200),
    st.integers(0, 300),
    st.text(st.sampled_from("ab \u0301你"), min_size=300, max_size=1200),
)


@settings(max_examples=50)
@given(LETTER, st.data())
def test_a_letter_keeps_both_ends_and_every_span_of_what_is_left(text: str, data: st.DataObject) -> None:
    letter = clean(text)
    short = shortened(letter)
    assert clean(short.text) == shortened(short.text).text == short.text
    assert len(short.text) <= MAX_CHARACTERS
    start = data.draw(st.integers(0, len(letter)))
    end = data.draw(st.integers(start, min(len(letter), start + 50)))
    new_start, new_end = short.map_span(start, end)
    if len(letter) <= MAX_CHARACTERS:
        assert (short.text, new_start, new_end) == (letter, start, end)
        return
    head, tail = short.text.split(" ... ")
    assert min(len(head), len(tail)) > 890
    assert letter.startswith(head)
    assert letter.endswith(tail)
    # What is left of the span, in the letter: it lost what lay in the hole, and got nothing from outside of itself.
    hole = range(len(head), len(letter) - len(tail))
    left = "".join(letter[place] for place in range(start, end) if place not in hole)
    assert short.text[new_start:new_end].replace(" ... ", "") == left
    if left and new_end - new_start == end - start:
        assert short.map_span.inverted()(new_start, new_end) == (start, end)


def test_a_letter_is_cut_at_blanks_and_the_cut_belongs_to_no_span() -> None:
    letter = " ".join(f"word{number}" for number in range(1000))
    short = shortened(letter)
    head, tail = short.text.split(" ... ")
    assert {*head.split(), *tail.split()} <= set(letter.split())
    last, first = len(head), len(letter) - len(tail)
    assert short.map_span(last - 3, last + 9) == (len(head) - 3, len(head))
    assert short.map_span(first - 9, first + 4) == (len(head) + 5, len(head) + 9)
    start, end = short.map_span(last, first)
    assert start == end


def test_every_format_and_control_character_counts_as_invisible() -> None:
    missed = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in ("Cc", "Cf", "Cs")
        and not chr(code).isspace()
        and not _INVISIBLE.match(chr(code))
    ]
    assert missed == []


@pytest.mark.parametrize("hostile", ["\u0301" * 20_000, "a\u0301" * 20_000, "\u200b \t" * 20_000, "ｱﾞ" * 20_000])
def test_long_hostile_texts_take_no_time(hostile: str) -> None:
    started = time.process_time()
    clean(hostile)
    clean_with_offsets(hostile)
    assert time.process_time() - started < 9
