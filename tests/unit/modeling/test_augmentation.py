from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.modeling.augmentation import (
    EDITS,
    Augmentation,
    augment,
    augment_utterance,
    augmented_examples,
    chosen_edits,
)
from intent_tracking.modeling.dataset import prepare_dataset
from intent_tracking.modeling.examples import EXAMPLE_SCHEMA
from intent_tracking.modeling.lexicon import glosses, translations
from intent_tracking.sessions.render import render_utterance
from tests.fakes.tiny_encoder import tiny_encoder, tiny_examples

pytestmark = pytest.mark.unit

NOTHING = Augmentation(keep=0, character_noise=0, word_drop=0, word_swap=0, frame=0, paraphrase=0, code_switch=0)
EVERYTHING = Augmentation(
    keep=0, character_noise=0.4, word_drop=0.4, word_swap=0.4, frame=0.8, paraphrase=0.8, code_switch=0.5
)
PIECES = st.sampled_from(
    [
        *(
            "i want to ",
            "where is ",
            "my red dress ",
            "parcel 4711",
            " <phone> ",
            "<search> ",
            "return it",
            "?",
            "  ",
            "'",
        ),
        *("我想退货", "快递到了吗", "，", "红色连衣裙", "多少钱", "。", "iPhone 15"),
    ]
)


@st.composite
def marked_texts(draw: st.DrawFn) -> tuple[str, list[tuple[str, int, int]]]:
    pieces = draw(st.lists(st.one_of(PIECES, st.text(max_size=6)), max_size=8))
    text = "".join(pieces)
    edges = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    pairs = zip(edges[::2], edges[1::2], strict=False)
    return text, [(f"slot{place}", start, end) for place, (start, end) in enumerate(pairs)]


@settings(max_examples=300)
@given(marked=marked_texts(), language=st.sampled_from(["en", "zh"]), seed=st.integers(0, 10_000))
def test_slots_stay_marked(marked: tuple[str, list[tuple[str, int, int]]], language, seed: int) -> None:
    text, slots = marked
    changed = EVERYTHING.model_copy(update={"character_noise": 0, "code_switch": 0})
    written, moved = augment(text, slots, language, Random(seed), changed)
    # Nothing but noise and the lexicon writes inside a slot: each still says what it said, in the same order.
    assert [(name, written[start:end]) for name, start, end in moved] == [
        (name, text[start:end]) for name, start, end in slots
    ]
    noisy, moved = augment(text, slots, language, Random(seed), EVERYTHING)
    assert [name for name, _, _ in moved] == [name for name, _, _ in slots]
    assert all(0 <= start < end <= len(noisy) for _, start, end in moved)
    assert all(one[2] <= other[1] for one, other in pairwise(moved))
    assert bool(noisy.strip()) == bool(text.strip())
    assert augment(text, slots, language, Random(seed), EVERYTHING) == (noisy, moved)


@settings(max_examples=100)
@given(marked=marked_texts(), seed=st.integers(0, 1000))
def test_what_the_shop_logged_around_an_utterance_stays(marked, seed: int) -> None:
    text, slots = marked
    before, after = "<customer_service> <view_item> red dress <message> ", " <price:3>"
    shift = len(before)
    outside = ("product", before.index("red"), before.index("red") + 9)
    behind = ("price", shift + len(text) + 1, shift + len(text) + 10)
    rendered = [outside, *((name, start + shift, end + shift) for name, start, end in slots), behind]
    whole = before + text + after
    written, moved, (start, end) = augment_utterance(
        whole, rendered, (shift, shift + len(text)), "en", Random(seed), EVERYTHING
    )
    assert written[:start] == before
    assert written[end:] == after
    assert [written[a:b] for _, a, b in (moved[0], moved[-1])] == ["red dress", "<price:3>"]
    alone, alone_slots = augment(text, slots, "en", Random(seed), EVERYTHING)
    assert written[start:end] == alone
    assert moved[1:-1] == [(name, a + shift, b + shift) for name, a, b in alone_slots]


def test_without_edits_a_text_stays() -> None:
    for language in ("en", "zh"):
        assert (
            augment("i want to return it, 我想退货", [], language, Random(0), NOTHING)[0]
            == "i want to return it, 我想退货"
        )
    assert augment("i want to return it", [], "en", Random(0), Augmentation(keep=1))[0] == "i want to return it"


@pytest.mark.parametrize(
    ("edit", "language", "text", "expected"),
    [
        ("paraphrase", "en", "I want to return it", {"i would like to return it", "i need to return it"}),
        ("paraphrase", "zh", "这个多少钱", {"这个什么价格", "这个价格多少"}),
        ("code_switch", "zh", "我要退款", {"我要refund"}),
        ("code_switch", "en", "my order is late", {"my 订单 is late"}),
        ("frame", "en", "where is it?", {"please where is it?", "where is it please?"}),
        ("word_drop", "en", "where is my parcel", {"my parcel", "where parcel"}),
        ("word_swap", "en", "red dress", {"dress red"}),
    ],
)
def test_each_edit_writes_what_it_is_named_for(edit: str, language, text: str, expected: set[str]) -> None:
    config = NOTHING.model_copy(update={edit: 0.7})
    seen = {" ".join(augment(text, [], language, Random(seed), config)[0].split()) for seed in range(200)}
    assert expected <= seen


def test_slips_of_the_keyboard_leave_numbers_and_placeholders() -> None:
    config = NOTHING.model_copy(update={"character_noise": 1.0})
    seen = {augment("parcel 471100 for <address>", [], "en", Random(seed), config)[0] for seed in range(50)}
    assert len(seen) > 10
    assert all("471100" in text and text.endswith("<address>") for text in seen)


def test_slots_that_overlap_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'size' at 2:5 overlaps"):
        augment("red dress", [("colour", 0, 3), ("size", 2, 5)], "en", Random(0))


def test_the_lexicon_is_lower_case_english_and_has_words_of_commerce() -> None:
    assert len(glosses()) > 1000
    assert glosses()["退款"] == "refund"
    assert translations()["coupon"] == "优惠券"
    assert all(gloss and gloss == gloss.lower() and gloss.isascii() for gloss in glosses().values())


def test_examples_are_written_anew_with_their_slots_and_the_session_around_them() -> None:
    shown = render_utterance("i want to buy red shoes please")
    start = shown.text.index("red")
    row = {
        "example_id": "a", "text": shown.text, "scene": "customer_service", "language": "en", "intent": "buy",
        "slots": [{"name": "colour", "start": start, "end": start + 3}], "weight": 1.0, "kind": "utterance",
        "split": "train", "utterance_start": shown.utterance_start, "utterance_end": shown.utterance_end,
    }  # fmt: skip
    train = pa.Table.from_pylist([row], schema=EXAMPLE_SCHEMA)
    written = augmented_examples(train, 12).to_pylist()
    assert [each["example_id"] for each in written] == [f"a~{number}" for number in range(1, 13)]
    assert len({each["text"] for each in written}) > 1
    for each in written:
        [slot] = each["slots"]
        assert each["text"].startswith(shown.text[: shown.utterance_start])
        assert each["utterance_end"] == len(each["text"])
        assert each["utterance_start"] <= slot["start"] < slot["end"] <= each["utterance_end"]
    assert augmented_examples(train, 0).num_rows == 0


def test_edits_are_chosen_by_name_and_each_of_them_has_a_rate() -> None:
    """Code-switching could be switched on from Python alone."""
    assert chosen_edits((), 2) is None
    for edit in EDITS:
        made = chosen_edits([edit], 1).model_dump()
        assert [name for name in EDITS if made[name]] == [edit]
    assert chosen_edits(["frame", "word_drop"], 1) == Augmentation.only(["word_drop", "frame"])
    with pytest.raises(ValueError, match=r"no edit is called 'drop'; there are character_noise, .*code_switch"):
        chosen_edits(["frame", "drop"], 1)
    with pytest.raises(ValueError, match="say how often"):
        chosen_edits(["frame"], 0)


def test_a_dataset_is_written_anew_by_its_edits_and_its_seed(tmp_path: Path) -> None:
    """Always the same draws of the default edits were made, whatever the seed; the dataset did not say which."""
    base, examples = str(tiny_encoder(tmp_path)), tiny_examples()

    def made(edits: list[str], seed: int) -> tuple[list[list[int]], str]:
        dataset = prepare_dataset(examples, base, augment=1, augmentation=chosen_edits(edits, 1), seed=seed)
        return dataset.table["input_ids"].to_pylist(), dataset.info.model_dump_json()

    found = [made([], 0), made([], 1), made(["word_swap"], 0), made(["frame"], 0)]
    assert made([], 1) == found[1]
    assert all(a[0] != b[0] and a[1] != b[1] for a, b in combinations(found, 2))
    plain = [prepare_dataset(examples, base, seed=seed).info for seed in (0, 1)]
    assert plain[0] == plain[1]
