"""Attributes are read off trees that are given here, so that no parser decides whether these tests pass."""

from __future__ import annotations

import pytest

from intent_tracking.text.attributes import attributes
from intent_tracking.text.linguistics import Analysis, Token

pytestmark = pytest.mark.unit


def analysis(text: str, *words: tuple[str, str, int, str]) -> Analysis:
    tokens, position = [], 0
    for form, tag, head, relation in words:
        start = text.index(form, position)
        position = start + len(form)
        tokens.append(Token(form, start, position, tag, head, relation))
    return Analysis(text, tuple(tokens))


SHOES = analysis(
    "dark red leather shoes under 50 dollars in size 42",
    ("dark", "ADJ", 1, "advmod"),
    ("red", "ADJ", 3, "amod"),
    ("leather", "NOUN", 3, "compound"),
    ("shoes", "NOUN", -1, "root"),
    ("under", "ADP", 6, "case"),
    ("50", "NUM", 6, "nummod"),
    ("dollars", "NOUN", 3, "nmod"),
    ("in", "ADP", 8, "case"),
    ("size", "NOUN", 3, "nmod"),
    ("42", "NUM", 8, "nummod"),
)
CHINESE = analysis(
    "100元以下的紅色皮鞋",
    ("100", "NUM", 1, "nummod"),
    ("元", "NOUN", 5, "nmod"),
    ("以下", "ADP", 1, "case"),
    ("的", "PART", 1, "case"),
    ("紅色", "NOUN", 5, "nmod"),
    ("皮鞋", "NOUN", -1, "root"),
)


def test_an_english_query() -> None:
    found = attributes(SHOES)
    assert [(each.kind, each.value) for each in found] == [
        ("colour", "dark red"),
        ("material", "leather"),
        ("price_at_most", "50 dollars"),
        ("size", "size 42"),
    ]
    for each in found:
        assert SHOES.text[each.start : each.end] == each.value
        assert SHOES.text[each.thing_start : each.thing_end] == each.thing == "shoes"


def test_a_chinese_query_in_traditional_characters() -> None:
    found = attributes(CHINESE)
    assert [(each.kind, each.value, each.thing) for each in found] == [
        ("price_at_most", "100元", "皮鞋"),
        ("colour", "紅色", "皮鞋"),
    ]


@pytest.mark.parametrize(
    ("bound", "kind"), [("under", "price_at_most"), ("over", "price_at_least"), ("around", "price")]
)
def test_the_word_before_a_price_bounds_it(bound: str, kind: str) -> None:
    found = attributes(
        analysis(
            f"a bag {bound} $ 30",
            ("a", "DET", 1, "det"),
            ("bag", "NOUN", -1, "root"),
            (bound, "ADP", 3, "case"),
            ("$", "SYM", 1, "nmod"),
            ("30", "NUM", 3, "nummod"),
        )
    )
    assert [(each.kind, each.value, each.thing) for each in found] == [(kind, "$ 30", "bag")]


def test_a_price_without_a_thing_has_no_thing() -> None:
    (found,) = attributes(analysis("50 dollars", ("50", "NUM", 1, "nummod"), ("dollars", "NOUN", -1, "root")))
    assert (found.kind, found.thing, found.thing_start, found.thing_end) == ("price", "", 0, 0)


def test_a_number_that_counts_things_is_a_quantity() -> None:
    (found,) = attributes(analysis("two bags", ("two", "NUM", 1, "nummod"), ("bags", "NOUN", -1, "root")))
    assert (found.kind, found.value, found.thing) == ("quantity", "two", "bags")


def test_heads_in_a_circle_do_not_hang() -> None:
    looped = analysis("5 usd ok", ("5", "NUM", 1, "nummod"), ("usd", "SYM", 2, "dep"), ("ok", "ADJ", 1, "dep"))
    assert [each.kind for each in attributes(looped)] == ["price"]
