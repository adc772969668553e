from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from intent_tracking.modeling.dropout import ByteDropout
from intent_tracking.modeling.encoder import build_encoder, find_encoder, load_encoder
from tests.fakes.tiny_encoder import tiny_encoder

pytestmark = pytest.mark.unit


def test_a_share_is_dropped_and_the_mean_stays() -> None:
    torch.manual_seed(0)
    states = torch.ones(63, 17, 33, requires_grad=True)
    shown = ByteDropout(0.1)(states)
    kept = shown != 0
    assert float(kept.float().mean()) == pytest.approx(0.9, abs=0.01)
    assert float(shown.detach().mean()) == pytest.approx(1.0, abs=0.01)
    # Neighbours share a draw of the generator and must not share a fate.
    together = (~kept).flatten()
    assert float((together[:-1] & together[1:]).float().mean()) == pytest.approx(0.01, abs=0.005)
    shown.sum().backward()
    assert torch.equal(states.grad, shown.detach())


def test_the_seed_decides_and_evaluation_drops_nothing() -> None:
    layer, states = ByteDropout(0.5), torch.ones(8, 5)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(layer(states))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(layer.eval()(states), states)
    assert torch.equal(ByteDropout(0.0)(states), states)


_SMALL = {
    "vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1,
    "attention_probs_dropout_prob": 0.1,
}  # fmt: skip
_OF_WEIGHTS = {"mpnet": "attention.attn.dropout", "distilbert": "attention.dropout"}
_SMALL_DISTILBERT = {"vocab_size": 50, "dim": 16, "hidden_dim": 32, "n_heads": 2, "n_layers": 1}


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "mpnet", "distilbert"])
def test_no_encoder_drops_attention_weights_and_all_drop_states(kind: str) -> None:
    encoder = build_encoder({"model_type": kind, **(_SMALL_DISTILBERT if kind == "distilbert" else _SMALL)})
    found = {name: layer for name, layer in encoder.named_modules() if isinstance(layer, nn.Dropout)}
    assert all(type(layer) is ByteDropout for layer in found.values())
    of_weights = _OF_WEIGHTS.get(kind, "attention.self.dropout")
    assert [layer.p for name, layer in found.items() if name.endswith(of_weights)] == [0.0]
    assert 0.1 in {layer.p for layer in found.values()}


def test_a_saved_encoder_that_drops_attention_weights_still_loads(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path)
    config = json.loads((folder / "config.json").read_text()) | {"attention_probs_dropout_prob": 0.1}
    (folder / "config.json").write_text(json.dumps(config))
    assert load_encoder(find_encoder(str(folder))).config.attention_probs_dropout_prob == 0.0
