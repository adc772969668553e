from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from intent_tracking.modeling.encoder import EncoderError, allowed_config, find_encoder, load_encoder, positions_of
from intent_tracking.settings import PACKAGED_ENCODER
from tests.fakes.tiny_encoder import tiny_encoder

pytestmark = pytest.mark.unit


def test_packaged_encoder_is_found_and_is_the_published_one() -> None:
    config = find_encoder(PACKAGED_ENCODER).config()
    assert (config["model_type"], config["hidden_size"], config["num_hidden_layers"]) == ("bert", 384, 6)


def test_local_folder_is_loaded_in_float32_whatever_the_prefix(tmp_path: Path) -> None:
    encoder = load_encoder(find_encoder(str(tiny_encoder(tmp_path))))
    assert {value.dtype for value in encoder.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_incomplete_folder_names_what_is_missing(tmp_path: Path, name: str) -> None:
    (tiny_encoder(tmp_path) / name).unlink()
    with pytest.raises(EncoderError, match=f"{name}: missing"):
        find_encoder(str(tmp_path))


def test_pickled_weights_are_not_looked_at(tmp_path: Path) -> None:
    (tiny_encoder(tmp_path) / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(EncoderError, match="no \\*\\.safetensors"):
        find_encoder(str(tmp_path))


@pytest.mark.parametrize("spec", ["./not/here", "/not/here", "word", "a/b/c"])
def test_what_is_neither_folder_nor_hub_id_says_what_to_set(spec: str) -> None:
    with pytest.raises(EncoderError, match="set INTENT_BASE_ENCODER"):
        find_encoder(spec)


def test_config_keys_that_name_code_are_left_out(tmp_path: Path) -> None:
    config = find_encoder(str(tiny_encoder(tmp_path))).config()
    assert "auto_map" not in config
    assert "architectures" not in config


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0}, 512),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "distilbert", "max_position_embeddings": 64, "pad_token_id": 0}, 64),
    ],
)
def test_positions_are_those_that_tokens_can_have(config: dict[str, object], positions: int) -> None:
    assert positions_of(config) == positions


def test_other_architectures_are_refused() -> None:
    with pytest.raises(EncoderError, match="model_type 'gpt2'"):
        allowed_config({"model_type": "gpt2"}, "config.json")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    config = json.loads((tiny_encoder(tmp_path) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(EncoderError, match=r"the weights lack encoder\.layer\.2"):
        load_encoder(find_encoder(str(tmp_path)))
