"""The shipped pipelines: offsets for any text, quality on treebanks, and what they are for in a shop.

The floors lie two points below the figures in the cards, which are those of the whole test parts.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.text.attributes import attributes
from intent_tracking.text.language import Language
from intent_tracking.text.linguistics import SHIPPED, load_linguistics, parser_folder
from intent_tracking.text.parsing_network import Parser
from intent_tracking.text.treebank import UNIVERSAL_TAGS, read_treebank
from intent_tracking.text.treebank_scores import score_trees, segmentation_f1

pytestmark = pytest.mark.model

LANGUAGES: tuple[Language, ...] = ("en", "zh")
SENTENCES = 300
BELOW_CARD = 2.0
TEST = {
    "en": "english-ewt/en_ewt-ud-test.conllu",
    "zh": "chinese-gsdsimp-devtest/zh_gsdsimp-ud-test.conllu",
}
MIXED = st.text(st.one_of(st.characters(), st.sampled_from("我要一双红色的鞋 <phone>  don't $50。!\n")), max_size=60)


def card(language: Language) -> dict[str, float]:
    scores = json.loads((SHIPPED / language / "card.json").read_text(encoding="utf-8"))["scores"]["test"]
    return {name: float(value) for name, value in scores.items()}


@pytest.mark.parametrize("language", LANGUAGES)
@given(text=MIXED)
@settings(max_examples=60)
def test_offsets_are_exact_and_heads_are_trees(language: Language, text: str) -> None:
    (analysis,) = load_linguistics(language).analyse([text])
    assert analysis.text == text
    end = 0
    for number, token in enumerate(analysis.tokens):
        assert text[token.start : token.end] == token.text
        assert token.start >= end
        assert not text[end : token.start].strip()
        assert token.tag in UNIVERSAL_TAGS
        assert (token.relation == "root") == (token.head == -1)
        seen = set()
        while number >= 0:
            assert number not in seen
            seen.add(number)
            number = analysis.tokens[number].head
        end = token.end
    assert not text[end:].strip()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_batch_gives_what_single_texts_give(language: Language) -> None:
    texts = ["where is my red bag?", "", "  我的红色包在哪里？ ", "ok", "I paid $ 50. Where is it?", "<phone> call me"]
    linguistics = load_linguistics(language)
    assert linguistics.analyse(texts) == [linguistics.analyse([text])[0] for text in texts]


@pytest.mark.parametrize("language", LANGUAGES)
def test_quality_on_the_treebank_holds_what_the_card_says(language: Language, data_dir: Path) -> None:
    sentences = read_treebank(data_dir / "ud" / TEST[language])[:SENTENCES]
    parser = Parser.load(parser_folder(SHIPPED / language))
    found = score_trees(sentences, parser.parse([sentence.forms for sentence in sentences]))
    known = card(language)
    assert found.upos > known["upos"] - BELOW_CARD
    assert found.uas > known["uas"] - BELOW_CARD
    assert found.las > known["las"] - BELOW_CARD
    words = load_linguistics(language).words(sentence.text for sentence in sentences)
    f1 = segmentation_f1([[(word.start, word.end) for word in sentence.words] for sentence in sentences], words)
    assert f1 > known["word_f1_from_text"] - BELOW_CARD


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_shipped_pipeline_is_small_and_carries_its_card(language: Language) -> None:
    files = [path for path in (SHIPPED / language).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".pt", ".bin")]
    assert "CC BY-SA" in json.loads((SHIPPED / language / "card.json").read_text(encoding="utf-8"))["licence"]
    assert "CC BY-SA 4.0" in (SHIPPED / "LICENSE.md").read_text(encoding="utf-8")


def test_a_query_becomes_attributes() -> None:
    (analysis,) = load_linguistics("en").analyse(["show me red leather shoes under 50 dollars"])
    found = {(each.kind, each.value) for each in attributes(analysis)}
    assert ("price_at_most", "50 dollars") in found
    assert {kind for kind, _ in found} >= {"colour"}
