from __future__ import annotations

from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from intent_tracking.modeling.calibration import Calibration
from intent_tracking.modeling.labels import IGNORED, LabelSet
from intent_tracking.modeling.predicting import Outputs, PredictionPipeline
from intent_tracking.modeling.tokenization import SessionTokenizer, extend_vocabulary
from intent_tracking.sessions.render import ModelInput, render_utterance
from tests.fakes.tiny_encoder import tiny_tokenizer

pytestmark = pytest.mark.unit

LABELS = LabelSet.of([], ["colour", "size"])
CHINESE = "我要红色的裙子大号退货"
ENGLISH = ("red", "dress", "unheardof", "x1", "café")
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


def _sentence_pieces() -> Tokenizer:
    """A tokenizer that parts words by blanks alone, as XLM-R's does: a Chinese sentence is one word to it."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "▁", *CHINESE, *"abcdefghijklmnopqrstuvwxyz0123456789é<>:_"]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in dict.fromkeys(pieces)], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


TOKENIZERS = {
    "wordpiece": SessionTokenizer(extend_vocabulary(tiny_tokenizer(), [CHINESE, "café"]), 128),
    "unigram": SessionTokenizer(extend_vocabulary(_sentence_pieces(), [CHINESE]), 128),
}


class _Told:
    """A network that answers with tags that it was told for each text."""

    run_tokens = 16

    def __init__(self, tags: dict[tuple[int, ...], list[int]]) -> None:
        self._tags = tags

    def run(self, ids: IntArray, mask: IntArray, features: FloatArray, scenes: IntArray) -> Outputs:
        logits = np.zeros((*ids.shape, LABELS.tag_count), dtype=np.float32)
        for row in range(len(ids)):
            told = self._tags[tuple(ids[row][mask[row] > 0].tolist())]
            for place, tag in enumerate(told):
                # What training ignores may say anything.
                logits[row, place, 2 if tag == IGNORED else tag] = 9.0
        return Outputs(np.zeros((len(ids), 4), dtype=np.float32), None, logits, None)


@st.composite
def marked(draw: st.DrawFn) -> tuple[str, list[tuple[str, int, int]]]:
    """An utterance of Chinese characters and English words, and slots over whole words of it, in characters."""
    words = draw(st.lists(st.sampled_from([*CHINESE, *ENGLISH]), min_size=1, max_size=12))
    text, spans = "", []
    for word in words:
        if text and (word.isascii() or word == "café" or text[-1].isascii() or text[-1] == "é"):
            text += " "
        spans.append((len(text), len(text) + len(word)))
        text += word
    slots, place = [], 0
    while place < len(words):
        length = draw(st.integers(0, 3))
        if length:
            last = min(place + length, len(words)) - 1
            slots.append((draw(st.sampled_from(LABELS.key_information)), spans[place][0], spans[last][1]))
            place = last
        place += 1
    return text, slots


def _tags(
    entry: ModelInput, slots: list[tuple[str, int, int]], tokenizer: SessionTokenizer
) -> tuple[list[int], list[int]]:
    [encoded] = tokenizer.encode([entry.text])
    first = entry.utterance_start
    moved = [(name, first + start, first + end) for name, start, end in slots]
    return encoded.ids, LABELS.tag_ids(encoded.spans, encoded.word_starts, moved, (first, entry.utterance_end))


@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
@settings(max_examples=60)
@given(data=st.data())
def test_marked_characters_come_back_as_they_were_marked(kind: str, data: st.DataObject) -> None:
    text, slots = data.draw(marked())
    entry = render_utterance(text)
    ids, tags = _tags(entry, slots, TOKENIZERS[kind])
    pipeline = PredictionPipeline(_Told({tuple(ids): tags}), TOKENIZERS[kind], LABELS, Calibration())
    found = pipeline.predict([entry])[0].key_information
    assert [(span.name, span.start, span.end) for span in found] == slots
    assert [span.value for span in found] == [text[start:end] for _, start, end in slots]


@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
@given(st.text(alphabet=CHINESE, min_size=1, max_size=20))
@settings(max_examples=30)
def test_each_chinese_character_is_a_word(kind: str, text: str) -> None:
    entry = render_utterance(text)
    [encoded] = TOKENIZERS[kind].encode([entry.text])
    words = [
        span
        for span, starts in zip(encoded.spans, encoded.word_starts, strict=True)
        if starts and span[0] >= entry.utterance_start
    ]
    expected = [(entry.utterance_start + place, entry.utterance_start + place + 1) for place in range(len(text))]
    assert words == expected


@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
@settings(max_examples=30)
@given(
    words=st.lists(st.sampled_from([*ENGLISH, "SO004799759", "红色"]), min_size=40, max_size=50),
    budget=st.integers(min_value=16, max_value=48),
    is_one=st.booleans(),
)
def test_key_information_does_not_reach_over_what_was_cut_out_of_a_letter(
    kind: str, words: list[str], budget: int, is_one: bool
) -> None:
    # Cause: the words on both sides of the hole passed for neighbours, so that an order number at the end of the head
    # was cut short or went on, over hundreds of characters that nobody had read, to one at the beginning of the tail.
    entry = render_utterance(" ".join(words))
    tokenizer = TOKENIZERS[kind].with_max_tokens(budget)
    letter = entry.text[entry.utterance_start :]
    starts = accumulate((len(word) + 1 for word in words), initial=0)
    each_word = [("colour", start, start + len(word)) for word, start in zip(words, starts, strict=False)]
    ids, tags = _tags(entry, [("colour", 0, len(letter))] if is_one else each_word, tokenizer)
    pipeline = PredictionPipeline(_Told({tuple(ids): tags}), tokenizer, LABELS, Calibration())
    found = pipeline.predict([entry])[0].key_information
    [encoded] = tokenizer.encode([entry.text])
    read = {place - entry.utterance_start for start, end in encoded.spans for place in range(start, end)}
    read |= {place for place, written in enumerate(letter) if written == " "}
    assert len(ids) <= budget
    for each in found:
        assert each.value == letter[each.start : each.end]
        assert read.issuperset(range(each.start, each.end))
        assert set(each.value.split()) <= {*words, "红", "色"}
    if not is_one:
        # A word that was read whole is told whole. To sentence pieces the mark of its beginning is a token too.
        begun = {start for (start, _), begins in zip(encoded.spans, encoded.word_starts, strict=True) if begins}
        whole = [slot for slot in each_word if read.issuperset(range(*slot[1:]))]
        told = {(each.name, each.start, each.end) for each in found}
        assert [slot for slot in whole if slot not in told and entry.utterance_start + slot[1] in begun] == []
