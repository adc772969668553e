"""Pipelines that cannot serve are refused with what to do; others than the shipped ones can be named."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.text.linguistics import LinguisticsError, load_linguistics, write_pipeline
from intent_tracking.text.make_pipelines import make_pipeline
from intent_tracking.text.parsing_network import LONGEST_SENTENCE, NetworkError, NetworkShape, Parser, ParsingNetwork
from intent_tracking.text.quantised_weights import read_quantised, write_quantised
from intent_tracking.text.segmentation import SegmentationNetwork, Segmenter, SegmenterShape
from intent_tracking.text.simplified import simplified

pytestmark = pytest.mark.unit


def untrained_parser() -> Parser:
    torch.manual_seed(0)
    characters = ["[UNK]", "我", "要"]
    shape = NetworkShape("zh", ("NOUN", "VERB"), ("dep", "root"), ("T",), None, len(characters), form_rows=50, hidden=8)
    network = ParsingNetwork(shape)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    return Parser(network.eval(), characters)


def untrained_segmenter() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(SegmentationNetwork(SegmenterShape(styles=1, rows=50, width=8, hidden=8)).eval())


def test_a_written_pipeline_is_read_from_its_folder(tmp_path: Path) -> None:
    write_pipeline(tmp_path / "zh", "zh", untrained_parser(), untrained_segmenter())
    text = "我要 <phone>  红色的鞋。多少钱？"
    (analysis,) = load_linguistics("zh", str(tmp_path / "zh")).analyse([text])
    assert "".join(token.text for token in analysis.tokens) == text.replace(" ", "")
    assert "<phone>" in [token.text for token in analysis.tokens]
    assert [token.head for token in analysis.tokens].count(-1) == 2


def test_a_folder_of_anything_but_a_pipeline_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    write_pipeline(tmp_path / "en", "en", untrained_parser(), None)
    with pytest.raises(FileExistsError, match=r"en: holds .*, which would be erased"):
        make_pipeline("en", tmp_path, tmp_path / "en", print)


def damaged(folder: Path) -> None:
    write_pipeline(folder, "en", untrained_parser(), None)
    (folder / "intent_tracking_parser" / "network.safetensors").write_bytes(b"")


def of_another_encoder(folder: Path) -> None:
    write_pipeline(folder, "en", untrained_parser(), None)
    inside = folder / "intent_tracking_parser"
    shape = NetworkShape("en", ("NOUN",), ("dep", "root"), ("T",), "0" * 64, 0, form_rows=50, hidden=8)
    (inside / "network.json").write_text(json.dumps(asdict(shape)), encoding="utf-8")
    (inside / "characters.txt").write_text("", encoding="utf-8")
    write_quantised(inside / "network.safetensors", ParsingNetwork(shape).state_dict())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (damaged, "is no pipeline of ours"),
        (of_another_encoder, "the pipeline was trained on 000"),
        (lambda folder: None, "neither an installed spaCy package nor a folder"),
        (lambda folder: folder.mkdir(), "cannot be loaded by spaCy"),
        (lambda folder: spacy.blank("de").to_disk(folder), "its language is de, en was asked for"),
        (lambda folder: spacy.blank("en").to_disk(folder), "sets no universal POS tags"),
    ],
)
def test_a_pipeline_that_cannot_serve_is_refused(tmp_path: Path, make, message: str) -> None:
    make(tmp_path / "pipeline")
    with pytest.raises(LinguisticsError, match=message):
        load_linguistics("en", str(tmp_path / "pipeline"))


def test_a_damaged_network_is_named(tmp_path: Path) -> None:
    untrained_parser().save(tmp_path)
    (tmp_path / "characters.txt").write_text("[UNK]\n", encoding="utf-8")
    with pytest.raises(NetworkError, match=r"characters\.txt has 1 lines, network\.json says 3"):
        Parser.load(tmp_path)


def test_a_stored_parser_parses_as_before_up_to_rounding(tmp_path: Path) -> None:
    parser = untrained_parser()
    parser.save(tmp_path)
    kept = Parser.load(tmp_path)
    for name, weight in parser.network.state_dict().items():
        stored = kept.network.state_dict()[name]
        limit = weight.abs().max() / 120 if weight.dim() > 1 else weight.abs().max() / 1000
        assert (stored - weight).abs().max() <= limit


@pytest.mark.parametrize("words", [0, LONGEST_SENTENCE + 1])
def test_a_sentence_of_a_wrong_length_is_refused(words: int) -> None:
    with pytest.raises(ValueError, match=f"has {words or 1} words"):
        untrained_parser().parse([["我"], ["我"] * words])


@given(st.text(max_size=300).filter(lambda text: not any(map(str.isspace, text))))
def test_words_of_a_run_join_to_the_run(run: str) -> None:
    assert "".join(untrained_segmenter().words([run, "", "我要"])[0]) == run


@given(st.text())
def test_simplifying_keeps_the_length(text: str) -> None:
    assert len(simplified(text)) == len(text)


def test_traditional_characters_become_simplified() -> None:
    assert simplified("這雙紅色的鞋子還有貨嗎？ OK") == "这双红色的鞋子还有货吗？ OK"


def test_quantised_weights_are_within_half_a_step(tmp_path: Path) -> None:
    weight = torch.randn(7, 33)
    write_quantised(tmp_path / "w.safetensors", {"w": weight, "b": torch.ones(3)})
    read = read_quantised(tmp_path / "w.safetensors")
    step = weight.abs().amax(-1, keepdim=True) / 127
    assert ((read["w"] - weight).abs() <= step * 0.52).all()
    assert read["b"].tolist() == [1, 1, 1]
