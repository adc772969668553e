from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from intent_tracking.modeling.encoder import find_encoder, load_encoder
from intent_tracking.modeling.model import extend_rows
from intent_tracking.modeling.tokenization import SessionTokenizer, added_rows, extend_vocabulary
from intent_tracking.sessions.render import render_utterance
from intent_tracking.sessions.vocabulary import SPECIAL_TOKENS
from intent_tracking.settings import PACKAGED_ENCODER

pytestmark = pytest.mark.unit

TEXTS = ["我要退货,订单 A12", "where is my parcel 😀", "ꙮslavic words"]


@pytest.fixture(scope="module")
def base() -> Tokenizer:
    return Tokenizer.from_file(str(find_encoder(PACKAGED_ENCODER).tokenizer_file))


@pytest.fixture(scope="module")
def tokenizer(base: Tokenizer) -> SessionTokenizer:
    return SessionTokenizer(extend_vocabulary(base, TEXTS), 32)


def test_chinese_is_no_row_of_unknown_tokens(base: Tokenizer, tokenizer: SessionTokenizer) -> None:
    assert SessionTokenizer(base, 32).encode([TEXTS[0]])[0].unknown_share > 0.3
    assert [entry.unknown_share for entry in tokenizer.encode(TEXTS)] == [0.0, 0.0, 0.0]


def test_characters_never_seen_stay_unknown_and_are_counted(tokenizer: SessionTokenizer) -> None:
    [entry] = tokenizer.encode(["我要鑫囍"])
    assert entry.unknown_share == 0.5


def test_special_tokens_are_one_token_each(tokenizer: SessionTokenizer) -> None:
    for entry in tokenizer.encode(SPECIAL_TOKENS):
        assert len(entry.ids) == 3


def test_english_is_tokenized_as_the_base_does(base: Tokenizer, tokenizer: SessionTokenizer) -> None:
    text = "I'd like to track my package, order #4711!"
    plain = Tokenizer.from_str(base.to_str())
    plain.no_padding()
    assert tokenizer.encode([text])[0].ids == plain.encode(text).ids


def test_offsets_point_at_the_words_of_the_text(tokenizer: SessionTokenizer) -> None:
    text = render_utterance("我要退货 Café words").text
    [entry] = tokenizer.encode([text])
    pieces = [text[start:end] for start, end in entry.spans[1:-1]]
    assert pieces == ["<scene:customer_service>", "<message>", "我", "要", "退", "货", "Café", "words"]
    assert entry.word_starts == [False, *[True] * 8, False]


def test_over_budget_text_keeps_its_scene_and_the_newest_words(tokenizer: SessionTokenizer) -> None:
    text = "<scene:search> " + " ".join(["old"] * 50) + " newest words"
    [entry] = tokenizer.encode([text])
    shown = [text[start:end] for start, end in entry.spans[1:-1]]
    assert len(entry.ids) == 32
    assert shown[0] == "<scene:search>"
    assert shown[-2:] == ["newest", "words"]
    assert len(entry.spans) == len(entry.word_starts) == 32


def test_a_letter_over_the_budget_keeps_its_beginning_and_its_end(tokenizer: SessionTokenizer) -> None:
    """What came before it goes first, and its middle then; offsets and places still point into the whole text."""
    letter = " ".join(["order", "one", *["so"] * 200, "return", "it"])
    text = f"<scene:customer_service> <search> old things <message> {letter}"
    (entry,) = tokenizer.encode([text])
    shown = [text[start:end] for start, end in entry.spans[1:-1]]
    assert len(entry.ids) == tokenizer.max_tokens
    assert shown[:4] == ["<scene:customer_service>", "<message>", "order", "one"]
    assert shown[-2:] == ["return", "it"]
    assert entry.ids[entry.first_from(text.index("order"))] == entry.ids[3]
    assert entry.first_from(text.rindex("return")) == len(entry.ids) - 3
    assert len(entry.word_starts) == len(entry.ids)


@pytest.mark.parametrize("budget", [32, 37, 43])
def test_the_middle_of_a_letter_is_cut_out_between_words(tokenizer: SessionTokenizer, budget: int) -> None:
    words = [f"SO00479{number}" for number in range(100, 160)]
    text = f"<scene:customer_service> <message> {' '.join(words)}"
    (entry,) = tokenizer.with_max_tokens(budget).encode([text])
    head, tail = (text[entry.spans[run[0]][0] : entry.spans[run[-1]][1]].split() for run in entry.stretches)
    assert head[:3] == ["<scene:customer_service>", "<message>", words[0]]
    assert {*head[2:], *tail} <= set(words)
    assert tail[-1] == words[-1]
    assert budget - 8 < len(entry.ids) == sum(map(len, entry.stretches)) + 2 <= budget


def test_same_texts_give_the_same_ids(base: Tokenizer, tokenizer: SessionTokenizer) -> None:
    again = SessionTokenizer(extend_vocabulary(base, TEXTS), 32)
    assert [e.ids for e in again.encode(TEXTS)] == [e.ids for e in tokenizer.encode(TEXTS)]


def test_growing_again_keeps_every_id(tokenizer: SessionTokenizer) -> None:
    # Cause: added tokens are numbered after the model's own vocabulary; a gap there gave a new character a taken id.
    grown = SessionTokenizer(extend_vocabulary(tokenizer.vocabulary, ["鑫 囍"]), 32)
    assert grown.vocabulary_size == tokenizer.vocabulary_size + 2
    assert [e.ids for e in grown.encode([*TEXTS, *SPECIAL_TOKENS])] == [
        e.ids for e in tokenizer.encode([*TEXTS, *SPECIAL_TOKENS])
    ]
    rows = added_rows(tokenizer.vocabulary, grown.vocabulary)
    assert rows.first_id == tokenizer.vocabulary_size
    assert set(rows.tokens) == {"鑫", "囍"}


def test_special_tokens_start_from_the_words_of_their_names(base: Tokenizer, tokenizer: SessionTokenizer) -> None:
    rows = added_rows(base, tokenizer.vocabulary)
    sources = dict(zip(rows.tokens, rows.sources, strict=True))
    words = {base.id_to_token(place) for place in sources["<add_to_cart>"]}
    assert words == {"add", "to", "cart"}


def test_tokenizer_survives_its_file(tokenizer: SessionTokenizer) -> None:
    again = SessionTokenizer(Tokenizer.from_str(tokenizer.to_json()), 32)
    assert [e.ids for e in again.encode(TEXTS)] == [e.ids for e in tokenizer.encode(TEXTS)]


@settings(max_examples=60)
@given(text=st.text(max_size=120))
def test_any_text_is_encoded_within_the_budget_and_inside_itself(tokenizer: SessionTokenizer, text: str) -> None:
    [entry] = tokenizer.encode([text])
    assert 2 <= len(entry.ids) <= tokenizer.max_tokens
    assert len(entry.ids) == len(entry.spans) == len(entry.word_starts)
    assert all(0 <= start <= end <= len(text) for start, end in entry.spans)
    assert 0.0 <= entry.unknown_share <= 1.0
    for character in range(len(text)):
        first = entry.first_from(character)
        assert 1 <= first < len(entry.ids)
        assert not any(start <= character < end for start, end in entry.spans[2:first])


def test_the_few_chinese_characters_of_an_english_vocabulary_are_learned_anew() -> None:
    packaged = Tokenizer.from_file(str(find_encoder(PACKAGED_ENCODER).tokenizer_file))
    first = packaged.get_vocab_size(with_added_tokens=True)
    [before] = SessionTokenizer(packaged, 32).encode(["我 want a dress"])
    extended = extend_vocabulary(packaged, ["我想退货"])
    [after] = SessionTokenizer(extended, 32).encode(["我 want a dress"])
    assert before.ids[1] < first <= after.ids[1]
    assert before.ids[2:] == after.ids[2:]
    # Characters that the texts lack are not lost with the old rows.
    [other] = SessionTokenizer(extended, 32).encode(["中國"])
    assert other.unknown_share == 0
    assert extend_vocabulary(packaged, ["no Chinese here"]).token_to_id("我") == before.ids[1]
    assert extend_vocabulary(extended, ["我想换货"]).token_to_id("我") == after.ids[1]


def test_a_chinese_character_starts_from_its_english_gloss() -> None:
    packaged = Tokenizer.from_file(str(find_encoder(PACKAGED_ENCODER).tokenizer_file))
    rows = added_rows(packaged, extend_vocabulary(packaged, ["退鑫"]))
    sources = dict(zip(rows.tokens, rows.sources, strict=True))
    assert [packaged.id_to_token(place) for place in sources["退"]] == ["return", "ref", "##und"]
    assert sources["鑫"] == ()


def test_new_rows_lie_as_far_from_the_mean_as_the_known_ones_and_apart() -> None:
    base = find_encoder(PACKAGED_ENCODER)
    packaged = Tokenizer.from_file(str(base.tokenizer_file))
    encoder = load_encoder(base)
    old = encoder.get_input_embeddings().weight.detach().clone()
    rows = added_rows(packaged, extend_vocabulary(packaged, ["退還鑫淼 return"]))
    extend_rows(encoder, rows, seed=0)
    new = encoder.get_input_embeddings().weight.detach()
    assert torch.equal(new[: len(old)], old)
    spread = (new[len(old) :] - old.mean(0)).norm(dim=1)
    assert torch.allclose(spread, (old - old.mean(0)).std() * old.shape[1] ** 0.5 * torch.ones_like(spread), rtol=0.01)
    unit = torch.nn.functional.normalize(new - old.mean(0), dim=1)
    place = dict(zip(rows.tokens, range(rows.first_id, len(new)), strict=True))
    wanted = packaged.token_to_id("return")
    assert unit[place["退"]] @ unit[wanted] > 0.4
    assert abs(unit[place["鑫"]] @ unit[place["淼"]]) < 0.3
