"""Which labelled texts are held back to judge a training: each label by its share, and never words that train too."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from intent_tracking.evaluation.held_back import hold_back
from intent_tracking.modeling.annotations import LabelledText
from intent_tracking.sessions.render import free_text

pytestmark = pytest.mark.unit


def test_validation_is_held_back_only_where_labels_can_spare_it() -> None:
    many = [LabelledText(text=f"{intent} {n}", intent=intent) for intent in "ab" for n in range(40)]
    train, held = hold_back(many, 0)
    assert (len(train), len(held)) == (72, 8)
    assert hold_back(many, 0) == (train, held)
    of_many_labels = [LabelledText(text=f"text {n}", intent=f"label-{n % 1000}") for n in range(25_000)]
    assert len(hold_back(of_many_labels, 0)[1]) == 500
    assert hold_back(many[:15] + many[40:55], 0)[1] == []


def test_a_text_of_several_labels_is_held_back_for_each_of_them() -> None:
    """Sets were counted as labels: of 10,000 rows with 20 labels in 1,268 sets none was held back, without a word."""
    labels = [f"label {place}" for place in range(20)]
    sets = [*labels, *map("|".join, combinations(labels, 2)), "oos"]
    rows = [LabelledText(text=f"{intent} {turn}", intent=intent) for intent in sets for turn in range(8)]
    train, held = hold_back([*rows, *(LabelledText(text=f"{n}", intent="oos") for n in range(40))], 0)
    assert len(train) + len(held) == len(rows) + 40
    assert len(held) == pytest.approx(173, abs=10)
    for part, share in ((train, 0.9), (held, 0.1)):
        counts = Counter(name for row in part for name in row.intent.split("|"))
        assert [counts[name] for name in labels] == [pytest.approx(160 * share, abs=4)] * 20
        assert counts["oos"] == pytest.approx(48 * share, abs=1)


def test_the_labels_that_can_spare_texts_do() -> None:
    """The mean over a long tail of labels decided, so that the many texts of the others chose nothing."""
    head = [LabelledText(text=f"{intent} {turn}", intent=intent) for intent in "abc" for turn in range(100)]
    tail = [LabelledText(text=f"rare {place}", intent=f"rare {place}") for place in range(200)]
    train, held = hold_back([*head, *tail], 0)
    assert Counter(row.intent for row in held) == dict.fromkeys("abc", 10)
    assert len(train) == 470
    # A label of some texts gives one of ten, all such labels together: else the frequent ones alone chose for them.
    rare = [
        LabelledText(text=f"seldom {place} {turn}", intent=f"seldom {place}")
        for place in range(20)
        for turn in "abcdef"
    ]
    seldom = [row for row in hold_back([*head, *rare], 0)[1] if row.intent.startswith("seldom")]
    assert len(seldom) == len({row.intent for row in seldom}) == 12
    # Where most texts have a rare label, the others would speak for them.
    assert hold_back([*head[:150], *tail], 0)[1] == []


def test_equal_texts_are_held_back_together() -> None:
    """Rows were drawn one by one: in logs, where people repeat themselves, validation judged what was trained on."""
    texts = [(f"{intent} {n}", intent) for intent in "abc" for n in range(20)]
    rows = [
        LabelledText(text=text.upper() if turn % 2 else text, intent=intent)
        for turn in range(10)
        for text, intent in texts
    ]
    rows += [LabelledText(text=text, intent="c") for text, _ in texts[:3]]
    train, held = hold_back(rows, 0)
    assert {row.text.lower() for row in train}.isdisjoint({row.text.lower() for row in held})
    assert {row.intent for row in held} == set("abc")
    assert len(held) == pytest.approx(60, abs=10)
    alike = [LabelledText(text="hello", intent="greet") for _ in range(60)]
    assert {row.intent for row in hold_back([*rows, *alike], 0)[0]} == {*"abc", "greet"}


def test_texts_that_the_model_reads_alike_are_held_back_together() -> None:
    """Rows were compared as written: letters that differ in an address judged what had been learned by heart."""
    rows = [LabelledText(text=f"my email is user{n}@shop.example thanks", intent="contact") for n in range(60)]
    rows += [
        LabelledText(text=f"{word} number {n}", intent="refund")
        for n in range(40)
        for word in ("refund", "ｒｅｆｕｎｄ")
    ]
    train, held = hold_back(rows, 0)
    assert held
    assert {free_text(row.text) for row in train}.isdisjoint({free_text(row.text) for row in held})
