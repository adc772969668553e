from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.modeling.encoder import SUPPORTED, attend_for, build_encoder
from intent_tracking.modeling.model import IntentModel, ModelConfig
from intent_tracking.modeling.scene_adapters import ADAPTED_LAYERS, SceneAdapter, encode, scene_adapters

pytestmark = pytest.mark.unit

SCENES = ("browse", "cart", "search")


def _architecture(kind: str) -> dict[str, Any]:
    common = {"model_type": kind, "vocab_size": 50, "max_position_embeddings": 64}
    if kind == "distilbert":
        return {**common, "dim": 32, "hidden_dim": 64, "n_heads": 2, "n_layers": 3}
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 3}
    return {**common, **sizes, **({"embedding_size": 16} if kind == "electra" else {})}


def _trained(adapters: torch.nn.Module) -> None:
    """Adapters that do something: fresh ones are the identity."""
    for adapter in adapters.modules():
        if isinstance(adapter, SceneAdapter):
            torch.nn.init.normal_(adapter.up)


def _model(**changes: Any) -> IntentModel:
    config = ModelConfig(
        encoder=_architecture("bert"),
        base_vocabulary=50,
        max_tokens=32,
        intent_classes=4,
        tags=3,
        outcome=True,
        **changes,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = IntentModel(config).eval()
        if model.adapters is not None:
            _trained(model.adapters)
    return model


def _texts(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(3, 50, (rows, 9), generator=random)
    lengths = torch.randint(2, 10, (rows,), generator=random)
    return ids, (torch.arange(9)[None, :] < lengths[:, None]).long()


@pytest.mark.parametrize("in_products", [False, True], ids=["fused", "in products"])
@pytest.mark.parametrize("kind", sorted(SUPPORTED))
def test_our_loop_over_the_layers_is_the_encoders_own(kind: str, in_products: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder: Any = build_encoder(_architecture(kind)).eval()
        adapters = scene_adapters(32, 8, 2, encoder.config.num_hidden_layers)
    attend_for(encoder, torch.device("cpu"), bf16=in_products)
    ids, mask = _texts(3, 0)
    assert not mask.all()
    scenes = torch.tensor([0, 1, 2])
    with torch.inference_mode():
        own = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        fresh = encode(encoder, ids, mask, adapters, scenes)
        _trained(adapters)
        trained = encode(encoder, ids, mask, adapters, scenes)
    words = mask.bool()
    assert torch.allclose(own[words], fresh[words], atol=1e-6)
    assert torch.allclose(own[0][words[0]], trained[0][words[0]], atol=1e-6)
    assert not torch.allclose(own[2][words[2]], trained[2][words[2]], atol=0.1)


def test_an_unknown_scene_is_answered_as_without_adapters() -> None:
    model, plain = _model(scenes=SCENES, adapter_width=8), _model()
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if "adapters" not in name})
    ids, mask = _texts(4, 1)
    with torch.inference_mode():
        unknown = model(ids, mask, None, torch.zeros(4, dtype=torch.long))
        unsaid, without = model(ids, mask), plain(ids, mask)
    for left, middle, right in zip(unknown, unsaid, without, strict=True):
        assert torch.equal(left, middle)
        assert torch.allclose(left[..., :1], right[..., :1], atol=1e-4)


@settings(max_examples=20)
@given(st.lists(st.integers(0, len(SCENES)), min_size=1, max_size=7), st.integers(0, 2**16))
def test_a_mixed_batch_equals_a_batch_for_each_scene(scenes: list[int], seed: int) -> None:
    model = _model(scenes=SCENES, adapter_width=8)
    ids, mask = _texts(len(scenes), seed)
    chosen = torch.tensor(scenes)
    with torch.inference_mode():
        mixed = model(ids, mask, None, chosen)
        for scene in set(scenes):
            rows = chosen == scene
            alone = model(ids[rows], mask[rows], None, chosen[rows])
            assert torch.allclose(mixed.pooled[rows], alone.pooled, atol=1e-4)
            assert torch.allclose(mixed.intents[rows], alone.intents, atol=1e-4)


def test_what_stands_in_the_padding_changes_nothing_in_whatever_way_texts_attend() -> None:
    """A mask that is added to the scores and says True for words let every text attend to its padding."""
    model = _model(scenes=SCENES, adapter_width=8)
    ids, mask = _texts(4, 2)
    other = torch.where(mask > 0, ids, 3 + (ids + 1) % 40)
    for bf16 in (False, True):
        attend_for(model.encoder, torch.device("cpu"), bf16=bf16)
        with torch.inference_mode():
            one, two = (model(words, mask, None, torch.tensor([0, 1, 2, 3])) for words in (ids, other))
        assert torch.allclose(one.pooled, two.pooled, atol=1e-6)


def test_a_new_scene_starts_from_the_mean_and_the_others_keep_theirs() -> None:
    old, new = SceneAdapter(32, 8, 2), SceneAdapter(32, 8, 3)
    _trained(old)
    new.grow_from(old, ("cart", "search"), ("cart", "search", "browse"))
    assert torch.equal(new.up[:2], old.up)
    assert torch.allclose(new.up[2], old.up.mean(0))
    assert torch.allclose(new.down[2], old.down.mean(0))


def test_only_the_last_layers_are_adapted_and_only_where_scenes_are_told_apart() -> None:
    assert len(_model(scenes=SCENES, adapter_width=8).adapters or ()) == ADAPTED_LAYERS
    assert _model(scenes=SCENES).adapters is None
    assert _model(adapter_width=8).adapters is None


def test_a_config_from_before_scenes_loads(tmp_path: Path) -> None:
    config = _model().config.model_dump(exclude={"scenes", "adapter_width"})
    assert IntentModel(ModelConfig.model_validate(config)).adapters is None
