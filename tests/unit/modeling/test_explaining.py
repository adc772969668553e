"""Explanations name the words and events that a model reads, where they stand, and say the same every time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.events.contract import EventName, Scene
from intent_tracking.inference import IntentPredictor
from intent_tracking.modeling.examples import examples_from_labelled
from intent_tracking.modeling.explaining import MAX_PARTS, PartKind, explain, parts_of, without, words_of
from intent_tracking.modeling.export import train_artifact
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.sessions.render import (
    SessionEvent,
    SessionItem,
    free_text_with_offsets,
    render_session,
    render_utterance,
)
from tests.fakes.keyword_predictor import KeywordPredictor
from tests.fakes.tiny_encoder import labelled, tiny_encoder

pytestmark = pytest.mark.unit

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TEXTS = st.text(st.sampled_from("ab Z9'’.,-!<>_ 我退货，。\u3000é😀"), max_size=40) | st.text(max_size=30)


def event(name: EventName, minutes: float, *, text: str | None = None, item: str | None = None) -> SessionEvent:
    return SessionEvent(
        event_id=f"e{minutes}",
        event_name=name,
        event_time=NOON + timedelta(minutes=minutes),
        scene=Scene.BROWSE,
        text=text,
        items=() if item is None else (SessionItem(item, item, None, None, 40.0, 1),),
    )


@given(TEXTS)
def test_words_cover_what_is_visible_in_order_and_once(text: str) -> None:
    spans = words_of(text)
    assert all(start < end for start, end in spans)
    assert all(left[1] <= right[0] for left, right in pairwise(spans))
    between = [0, *(place for span in spans for place in span), len(text)]
    assert not "".join(text[between[i] : between[i + 1]] for i in range(0, len(between), 2)).strip()


@given(TEXTS, st.sampled_from([*Scene, "salon"]))
def test_parts_and_their_offsets_give_their_own_text(text: str, scene: str) -> None:
    entry = render_utterance(text, scene)
    parts = parts_of(entry)
    assert [entry.text[part.start : part.end] for part in parts] == [part.text for part in parts]
    words = [part for part in parts if part.kind is PartKind.WORD]
    assert all(entry.utterance_start <= word.start < word.end <= entry.utterance_end for word in words)
    assert parts[0].kind is PartKind.SCENE
    assert len(parts) <= MAX_PARTS


@given(TEXTS, st.data())
def test_taking_parts_away_leaves_the_others_and_their_utterance(text: str, data: st.DataObject) -> None:
    entry = render_utterance(text)
    parts = parts_of(entry)
    taken = {part for part in parts if data.draw(st.booleans())}
    left = without(entry, taken)
    kept = [part.text for part in parts if part not in taken]
    assert "".join(left.text.split()) == "".join("".join(kept).split())
    spoken = [part.text for part in parts if part not in taken and part.kind is PartKind.WORD]
    utterance = left.text[left.utterance_start : left.utterance_end]
    assert "".join(utterance.split()) == "".join("".join(spoken).split())
    assert utterance == utterance.strip()


def test_words_of_both_languages() -> None:
    text = "don't ship e-mail 19.90! 我要退货，iPhone15的 <phone>"
    assert [text[start:end] for start, end in words_of(text)] == [
        *("don't", "ship", "e-mail", "19.90", "!"),
        *("我", "要", "退", "货", "，", "iPhone15", "的", "<phone>"),
    ]


def test_a_long_text_is_explained_by_runs_of_words() -> None:
    entry = render_utterance(" ".join(f"word{place}" for place in range(250)))
    parts = parts_of(entry)
    assert len(parts) <= MAX_PARTS
    assert parts[2].text == "word0 word1 word2 word3 word4"
    assert parts[-1].text.endswith("word249")


def test_what_was_cut_out_of_a_long_letter_belongs_to_no_part() -> None:
    typed = " ".join(f"word{place}" for place in range(600))
    read = free_text_with_offsets(typed)
    entry = render_utterance(typed)
    parts = parts_of(entry)
    assert len(parts) <= MAX_PARTS
    assert "..." in [part.text for part in parts]
    back = read.map_span.inverted()
    words = [part for part in parts if part.kind is PartKind.WORD and part.text != "..."]
    for part in words:
        start, end = back(part.start - entry.utterance_start, part.end - entry.utterance_start)
        assert typed[start:end] == part.text


def test_a_session_is_explained_by_its_events_and_the_words_of_its_newest_text() -> None:
    entry = render_session(
        Scene.BROWSE,
        [
            event(EventName.VIEW_ITEM, 0, item="Red coat"),
            event(EventName.MESSAGE, 3, text="cancel it"),
            event(EventName.VIEW_CART, 3),
        ],
    )
    explanation = explain(KeywordPredictor(), entry)
    assert [part.text for part in explanation.behaviour] == [
        "<scene:browse>",
        "<view_item> Red coat <price:30-100>",
        "<gap:5m> <message>",
        "<view_cart>",
    ]
    assert [(word.text, word.start, word.end) for word in explanation.words] == [("cancel", 0, 6), ("it", 7, 9)]


def test_the_word_that_decides_has_the_weight_and_what_does_not_matter_has_none() -> None:
    explanation = explain(KeywordPredictor(), render_utterance("hello, a refund for this coat"))
    assert explanation.intent == "return_refund"
    weights = {word.text: word.weight for word in explanation.words}
    assert weights["refund"] == pytest.approx(explanation.probability - explanation.baseline)
    assert [text for text, weight in weights.items() if abs(weight) > 1e-9] == ["refund"]


def test_a_word_said_twice_counts_both_times() -> None:
    weights = [word.weight for word in explain(KeywordPredictor(), render_utterance("refund ! refund")).words]
    assert weights[0] == weights[2] > 0.1 > abs(weights[1])


def test_another_intent_can_be_asked_for_and_an_unknown_one_is_refused() -> None:
    entry = render_utterance("cancel it or i want a refund")
    against = {word.text: word.weight for word in explain(KeywordPredictor(), entry, "bargain").words}
    assert against["refund"] < 0 > against["cancel"]
    with pytest.raises(ValueError, match=r"no intent 'card_arrival'; it knows bargain, cancel_order"):
        explain(KeywordPredictor(), entry, "card_arrival")


def test_an_empty_text_has_no_words() -> None:
    assert explain(KeywordPredictor(), render_utterance(" ")).words == ()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> IntentPredictor:
    folder = tmp_path_factory.mktemp("explained")
    recipe = Recipe(epochs=60, batch_size=8, learning_rate=1e-3)
    train_artifact(
        # Without validation the last pass counts: the best of six validation texts may not have learned all the rest.
        examples_from_labelled(labelled(), "train", NOON),
        folder / "model",
        version="model",
        work_dir=folder / "work",
        base_encoder=str(tiny_encoder(folder / "encoder")),
        recipe=recipe,
        device="cpu",
    )
    return IntentPredictor.load(Path(folder / "model"), "cpu")


@pytest.mark.parametrize(
    ("text", "intent", "keywords"),
    [
        ("where is my red dress", "track", {"where", "is", "my"}),
        ("please cancel the green coat", "cancel", {"please", "cancel", "the"}),
        ("i want to return the blue shoes", "return", {"i", "want", "to", "return", "the"}),
    ],
)
def test_a_trained_model_is_explained_by_the_words_that_it_was_taught(
    trained: IntentPredictor, text: str, intent: str, keywords: set[str]
) -> None:
    explanation = trained.explain(render_utterance(text))
    assert explanation.intent == intent
    ranked = sorted(explanation.words, key=lambda word: -word.weight)
    # Each thing was taught with each intent: no colour and no product can speak for one.
    assert {word.text for word in ranked[:2]} <= keywords
    assert text[ranked[0].start : ranked[0].end] == ranked[0].text
    assert trained.explain(render_utterance(text)) == explanation
