"""A packed batch gives the outputs and the gradients of the padded one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from intent_tracking.modeling.batching import Batch, ExampleArrays, in_other_scenes, make_batch, pack, share_of
from intent_tracking.modeling.dataset import TokenizedDataset
from intent_tracking.modeling.encoder import SUPPORTED, build_encoder
from intent_tracking.modeling.labels import IGNORED
from intent_tracking.modeling.lexical_head import LexicalHead
from intent_tracking.modeling.model import FeatureScale, IntentModel, ModelConfig, ModelOutput
from intent_tracking.modeling.objective import loss_of, rows_of, scene_consistency
from intent_tracking.modeling.packing import Packing, why_padded
from intent_tracking.modeling.processes import Processes
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.scene_adapters import encode
from tests.fakes.tiny_encoder import tiny_encoder
from tests.fakes.train_together import together_dataset

pytestmark = pytest.mark.unit

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=1, batch_size=8, learning_rate=1e-3)
SHAPE = {"vocab_size": 200, "max_position_embeddings": 80, "pad_token_id": 1}
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64}
KINDS: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": SIZES,
    "xlm-roberta": SIZES,
    "electra": {**SIZES, "embedding_size": 16},
    "distilbert": {"dim": 32, "n_layers": 3, "n_heads": 2, "hidden_dim": 64},
    "mpnet": SIZES,
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> tuple[TokenizedDataset, ExampleArrays]:
    dataset = together_dataset(str(tiny_encoder(tmp_path_factory.mktemp("encoder"))))
    arrays = ExampleArrays.of(dataset.split("train"), 0, dataset.info.scenes)
    # Some texts have an outcome, some have none.
    arrays.outcomes[::3] = 1.0
    arrays.outcomes[1::3] = 0.0
    return dataset, arrays


def _model(kind: str, adapter_width: int) -> IntentModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = build_encoder({"model_type": kind, **SHAPE, **KINDS[kind]})
        config = ModelConfig(
            encoder={"model_type": kind},
            base_vocabulary=200,
            max_tokens=64,
            intent_classes=3,
            tags=3,
            outcome=True,
            features=(FeatureScale(name="spent", mean=0.0, deviation=1.0),),
            scenes=("cart", "search"),
            adapter_width=adapter_width,
        )
        model = IntentModel(config, encoder)
        for name, value in model.named_parameters():
            if name.startswith("adapters"):
                torch.nn.init.normal_(value, std=0.2)
    return model.eval()


def _batch(examples: ExampleArrays) -> tuple[Batch, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return in_other_scenes(make_batch(examples, range(len(examples)), CPU), torch.tensor([0, 7, 8]))


def _loss(model: IntentModel, batch: Batch, again: torch.Tensor, part: float = 1.0) -> tuple[ModelOutput, torch.Tensor]:
    output: ModelOutput = model(batch.ids, batch.mask, None, batch.scenes, batch.packing)
    loss = loss_of(output, batch, torch.ones(3), RECIPE)
    if len(again):
        loss = loss + part * scene_consistency(rows_of(output, again), rows_of(output, slice(batch.own, None)))
    return output, loss


def _gradients(model: IntentModel, losses: list[torch.Tensor]) -> dict[str, torch.Tensor]:
    model.zero_grad()
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


def _same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], relative: float = 0.0) -> None:
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=relative)


@pytest.mark.parametrize("adapter_width", [0, 4])
@pytest.mark.parametrize("kind", sorted(SUPPORTED - {"mpnet"}))
def test_packed_is_padded_without_the_padding(
    kind: str, adapter_width: int, examples: tuple[TokenizedDataset, ExampleArrays]
) -> None:
    model = _model(kind, adapter_width)
    padded, again = _batch(examples[1])
    assert int(padded.mask.sum()) < padded.mask.numel()
    packed = pack(padded)
    assert packed.ids.shape == (1, padded.tokens)
    (output, loss), (other, other_loss) = _loss(model, padded, again), _loss(model, packed, again)
    assert output.intents is not None
    assert output.outcomes is not None
    assert output.tags is not None
    torch.testing.assert_close(other.pooled, output.pooled, atol=1e-4, rtol=0)
    torch.testing.assert_close(other.intents, output.intents, atol=1e-4, rtol=0)
    torch.testing.assert_close(other.outcomes, output.outcomes, atol=1e-4, rtol=0)
    torch.testing.assert_close(other.tags, output.tags[padded.mask.bool()].unsqueeze(0), atol=1e-4, rtol=0)
    _same(_gradients(model, [other_loss]), _gradients(model, [loss]))
    # The next padded batch is attended to as before.
    assert model.encoder.config._attn_implementation == "sdpa"


class _Called(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.names.add(func.name())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("longest", "in_tiles"), [(64, False), (65, True)])
def test_the_kernels_of_gpus_take_what_they_are_given(longest: int, in_tiles: bool) -> None:
    """Shapes and types of the calls and of their gradients, without a GPU: on meta tensors nothing is computed."""
    meta = torch.device("meta")
    model = _model("bert", 4).to(device=meta, dtype=torch.bfloat16)
    packing = Packing.of(torch.tensor([3, 9, longest])).to(meta)
    assert model.adapters is not None
    ids, scenes = (torch.zeros(shape, dtype=torch.long, device=meta) for shape in ((1, 12 + longest), (3,)))
    with _Called() as called:
        states = encode(model.encoder, ids, torch.ones_like(ids), model.adapters, scenes, packing)
        states.sum().backward()  # type: ignore[no-untyped-call]
    assert (states.shape, states.dtype) == ((1, 12 + longest, 32), torch.bfloat16)
    query = model.encoder.encoder.layer[0].attention.self.query.weight
    assert query.grad.shape == query.shape
    assert any("varlen" in name or "flash" in name for name in called.names) is in_tiles


def test_a_lexical_head_refuses_a_packed_batch(examples: tuple[TokenizedDataset, ExampleArrays]) -> None:
    model = _model("bert", 0)
    model.add_lexical(LexicalHead(model.config.intent_classes))
    packed = pack(make_batch(examples[1], [0, 5], CPU))
    with pytest.raises(ValueError, match="padded batches"):
        model(packed.ids, packed.mask, None, packed.scenes, packed.packing)


def test_a_text_does_not_see_its_neighbours(examples: tuple[TokenizedDataset, ExampleArrays]) -> None:
    model = _model("bert", 4)
    with torch.inference_mode():
        many = pack(make_batch(examples[1], [0, 5, 9], CPU))
        alone = pack(make_batch(examples[1], [5], CPU))
        wide, narrow = (model(b.ids, b.mask, None, b.scenes, b.packing) for b in (many, alone))
    torch.testing.assert_close(wide.pooled[1], narrow.pooled[0], atol=1e-4, rtol=0)


def test_positions_begin_again_with_each_text() -> None:
    packing = Packing.of(torch.tensor([3, 1, 2]))
    assert packing.positions.tolist() == [[0, 1, 2, 0, 0, 1]]
    assert packing.boundaries.tolist() == [0, 3, 4, 6]
    assert packing.texts.tolist() == [0, 0, 0, 1, 2, 2]
    assert packing.longest == 3
    means = packing.means(torch.tensor([[1.0], [2.0], [6.0], [5.0], [1.0], [2.0]]))
    assert means.squeeze(1).tolist() == [3.0, 5.0, 1.5]


def test_what_cannot_be_packed_says_why() -> None:
    mpnet, bert = (_model(kind, 0).encoder.config for kind in ("mpnet", "bert"))
    assert why_padded(bert, CPU, bf16=True) == "no GPU"
    assert "relative positions" in str(why_padded(mpnet, torch.device("cuda"), bf16=True))
    assert why_padded(bert, torch.device("cuda"), bf16=False) == "variable-length attention needs bf16"


@pytest.mark.parametrize("rows", [25, 2, 1])
def test_the_shares_of_three_processes_add_up_to_the_whole(
    rows: int, examples: tuple[TokenizedDataset, ExampleArrays]
) -> None:
    model = _model("bert", 4)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        whole, again = in_other_scenes(make_batch(examples[1], range(rows), CPU), torch.tensor([0, 7, 8]))
    shares = [share_of(whole, again, rank, 3) for rank in range(3)]
    assert sum(int((share.intents[: share.own] != IGNORED).sum()) for share, _ in shares) == rows
    assert sum(len(of_it) for _, of_it in shares) == len(again)
    losses = [_loss(model, share, of_it, len(of_it) / max(1, len(again)))[1] for share, of_it in shares]
    expected = _loss(model, whole, again)[1]
    assert sum(float(loss.detach()) for loss in losses) == pytest.approx(float(expected.detach()), abs=1e-5)
    _same(_gradients(model, losses), _gradients(model, [expected]), relative=1e-5)


def test_alone_nothing_is_exchanged() -> None:
    alone = Processes(CPU)
    assert alone.main
    assert alone.agree("words") == "words"
    assert alone.agree_on(2.5) == 2.5
    alone.part()
