"""Every runtime of the network gives the same outputs: torch, ONNX in float32, and ONNX in int8 within its rounding."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from intent_tracking.modeling.encoder import SUPPORTED
from intent_tracking.modeling.model import FeatureScale, IntentModel, ModelConfig
from intent_tracking.modeling.onnx_backend import EXACT_PRODUCTS, INPUTS, OnnxBackend
from intent_tracking.modeling.onnx_export import float_graph
from intent_tracking.modeling.predicting import Backend, IntArray, Outputs, TorchBackend
from intent_tracking.modeling.quantising import NetworkInput, input_ranges, quantised

pytestmark = pytest.mark.contract

WORDS, LONGEST = 60, 64
FEATURES = (FeatureScale(name="orders", mean=1.0, deviation=2.0), FeatureScale(name="value", mean=3.0, deviation=1.0))
# Largest difference from torch in float32, as a share of the largest output; a network this small
# shows rounding more than a real one.
EXACT, ROUNDED = 1e-4, 0.25
Make = Callable[[IntentModel], Backend]


def _batch(rows: int, length: int, *, features: int, scenes: int, seed: int = 0) -> NetworkInput:
    random = np.random.default_rng(seed)
    mask = np.zeros((rows, length), dtype=np.int64)
    for row in range(rows):
        # One row fills the batch, the others end earlier, at one token at the least.
        mask[row, : length if row == 0 else 1 + random.integers(length)] = 1
    ids = np.where(mask == 1, random.integers(2, WORDS, (rows, length)), 1)
    values = random.normal(size=(rows, features)).astype(np.float32) * 10
    values[random.random(values.shape) < 0.4] = np.nan
    return ids, mask, values, random.integers(0, scenes + 1, rows)


def _int8(model: IntentModel) -> Backend:
    config = model.config
    seen = [_batch(16, 24, features=len(config.features), scenes=len(config.scenes), seed=seed) for seed in (7, 8)]
    with quantised(model, input_ranges(model, seen)):
        return OnnxBackend(float_graph(model), threads=1)


MAKERS: dict[str, tuple[Make, float]] = {
    "torch": (lambda model: TorchBackend(model, torch.device("cpu")), EXACT),
    "onnx": (lambda model: OnnxBackend(float_graph(model), threads=1), EXACT),
    "int8": (_int8, ROUNDED),
}


def _model(
    kind: str = "bert", *, intents: int = 4, tags: int = 5, outcome: bool = True, scenes: int = 2, lexical: bool = False
) -> IntentModel:
    sizes: dict[str, str | int | float | None] = {
        "model_type": kind, "vocab_size": WORDS, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": LONGEST + 4,
    }  # fmt: skip
    if kind == "distilbert":
        sizes = {
            "model_type": kind, "vocab_size": WORDS, "dim": 32, "hidden_dim": 64, "n_heads": 2, "n_layers": 3,
            "max_position_embeddings": LONGEST + 4,
        }  # fmt: skip
    elif kind == "electra":
        sizes["embedding_size"] = 16
    config = ModelConfig(
        encoder=sizes,
        base_vocabulary=WORDS,
        max_tokens=LONGEST,
        intent_classes=intents,
        tags=tags,
        lexical=lexical,
        outcome=outcome,
        features=FEATURES if outcome else (),
        scenes=("search", "support", "cart")[:scenes],
        adapter_width=4 if scenes else 0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = IntentModel(config).eval()
        for parameter in model.parameters():
            # Adapters begin as the identity, norms as nothing: all must show in the outputs.
            parameter.data += 0.1 * torch.randn_like(parameter)
        if model.lexical is not None:
            model.lexical.weight.copy_(torch.randn_like(model.lexical.weight))
            model.lexical.frequency.copy_(1 + torch.rand_like(model.lexical.frequency))
    return model


def _expected(model: IntentModel, batch: NetworkInput) -> Outputs:
    with torch.inference_mode():
        output = model(*(torch.from_numpy(part) for part in batch))
    return Outputs(*(None if part is None else part.numpy() for part in output))


def _parts(outputs: Outputs, mask: IntArray) -> Iterator[tuple[str, np.ndarray | None]]:
    for name in ("pooled", "intents", "tags", "outcomes"):
        part = getattr(outputs, name)
        # What is said of padding means nothing.
        yield name, part[mask == 1] if name == "tags" and part is not None else part


def _assert_same(got: Outputs, expected: Outputs, mask: IntArray, tolerance: float) -> None:
    for (name, one), (_, other) in zip(_parts(got, mask), _parts(expected, mask), strict=True):
        assert (one is None) == (other is None), name
        if one is not None and other is not None:
            assert one.dtype == np.float32, name
            assert one.shape == other.shape, name
            assert np.abs(one - other).max() <= tolerance * max(1.0, np.abs(other).max()), name


@pytest.mark.parametrize("runtime", MAKERS)
@pytest.mark.parametrize(
    ("intents", "tags", "outcome", "scenes"),
    [(4, 5, True, 2), (4, 0, False, 0), (0, 5, False, 2), (0, 0, True, 0), (3, 0, True, 3), (0, 5, True, 0)],
)
def test_heads_features_and_scenes(runtime: str, intents: int, tags: int, outcome: bool, scenes: int) -> None:
    make, tolerance = MAKERS[runtime]
    model = _model(intents=intents, tags=tags, outcome=outcome, scenes=scenes)
    backend = make(model)
    features = len(model.config.features)
    for rows, length in ((1, 1), (1, LONGEST), (3, 7), (70, 5)):
        batch = _batch(rows, length, features=features, scenes=scenes)
        _assert_same(backend.run(*batch), _expected(model, batch), batch[1], tolerance)


@pytest.mark.parametrize("runtime", MAKERS)
def test_a_lexical_head(runtime: str) -> None:
    make, tolerance = MAKERS[runtime]
    model = _model(lexical=True)
    backend = make(model)
    for rows, length in ((1, 1), (1, LONGEST), (70, 5)):
        batch = _batch(rows, length, features=len(FEATURES), scenes=2)
        _assert_same(backend.run(*batch), _expected(model, batch), batch[1], tolerance)


@pytest.mark.parametrize("runtime", MAKERS)
@pytest.mark.parametrize("scenes", [0, 2])
@pytest.mark.parametrize("kind", sorted(SUPPORTED))
def test_every_supported_encoder(runtime: str, kind: str, scenes: int) -> None:
    make, tolerance = MAKERS[runtime]
    model = _model(kind, scenes=scenes)
    batch = _batch(5, 11, features=len(FEATURES), scenes=scenes)
    _assert_same(make(model).run(*batch), _expected(model, batch), batch[1], tolerance)


@pytest.mark.parametrize("runtime", MAKERS)
def test_an_answer_does_not_depend_on_the_texts_beside_it(runtime: str) -> None:
    model = _model()
    backend = MAKERS[runtime][0](model)
    batch = _batch(32, 20, features=len(FEATURES), scenes=2)
    together = backend.run(*batch)
    ids, mask, features, scenes = batch
    for row in (0, 7, 31):
        length, only = int(mask[row].sum()), slice(row, row + 1)
        alone = backend.run(ids[only, :length], mask[only, :length], features[only], scenes[only])
        assert alone.intents is not None
        assert together.intents is not None
        assert np.allclose(alone.intents[0], together.intents[row], atol=1e-4)


def test_quantising_leaves_the_model_as_it_was() -> None:
    model = _model()
    batch = _batch(4, 9, features=len(FEATURES), scenes=2)
    before, names = _expected(model, batch), list(model.state_dict())
    _int8(model)
    _assert_same(_expected(model, batch), before, batch[1], 0.0)
    assert list(model.state_dict()) == names
    assert not model.training


def test_int8_is_smaller_and_computes_in_integers() -> None:
    model = _model()
    whole = float_graph(model)
    with quantised(model, input_ranges(model, [_batch(8, 9, features=len(FEATURES), scenes=2)])):
        small = float_graph(model)
    layers = sum(isinstance(layer, torch.nn.Linear) for layer in model.encoder.modules())
    assert small.count(b"MatMulIntegerToFloat") >= layers
    assert whole.count(b"MatMulIntegerToFloat") == 0


def test_int8_spends_its_steps_on_the_values_that_occur() -> None:
    """The input of each second product of a layer comes out of GELU: steps for negative values would be lost."""
    model = _model()
    with torch.no_grad():
        for layer in model.encoder.encoder.layer:
            layer.intermediate.dense.weight.mul_(50)
    batch = _batch(16, 24, features=len(FEATURES), scenes=2)
    encoder, inputs = model.encoder, input_ranges(model, [batch])
    with quantised(model, inputs):
        layers = {name: encoder.get_submodule(name) for range_ in inputs for name in range_.readers}
    after_gelu = [
        layer.zero for name, layer in layers.items() if name.endswith("output.dense") and ".attention" not in name
    ]
    assert len(after_gelu) == model.encoder.config.num_hidden_layers
    assert max(map(int, after_gelu)) < 100, [int(zero) for zero in after_gelu]


@pytest.mark.parametrize("place", ["weights.bin", "../weights.bin", "{absolute}"])
def test_weights_outside_of_the_graph_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    # The file lies in the working directory, where ONNX Runtime would look, and is what the graph says.
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for folder in (here, tmp_path):
        (folder / "weights.bin").write_bytes(np.ones((2, 2), np.float32).tobytes())
    weights = onnx.TensorProto(
        name="w", data_type=onnx.TensorProto.FLOAT, dims=[2, 2], data_location=onnx.TensorProto.EXTERNAL
    )
    weights.external_data.add(key="location", value=place.format(absolute=here / "weights.bin"))
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["ids", "w"], ["pooled"])],
        "outside",
        [value("ids", onnx.TensorProto.FLOAT, [1, 2])],
        [value("pooled", onnx.TensorProto.FLOAT, [1, 2])],
        [weights],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ValueError, match="xternal"):
        OnnxBackend(model.SerializeToString(), threads=1)


def test_a_damaged_graph_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="ONNX Runtime refuses the graph"):
        OnnxBackend(float_graph(_model())[:-5000], threads=1)


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="an option for x86-64 alone")
def test_the_runtime_makes_uint8_of_the_weights_of_int8_layers_where_it_is_asked_to(tmp_path: Path) -> None:
    """Without VNNI uint8 x int8 is added in saturating 16 bits, and nothing asked for the exact way."""
    model = _model()
    batch = _batch(4, 12, features=len(FEATURES), scenes=2)
    with quantised(model, input_ranges(model, [batch])):
        content = float_graph(model)
    kinds, answers = [], []
    for asked in ("0", "1"):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        options.optimized_model_filepath = str(tmp_path / f"{asked}.onnx")
        options.add_session_config_entry(EXACT_PRODUCTS, asked)
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        answers.append(session.run(None, dict(zip(INPUTS, batch, strict=True)))[0])
        graph = onnx.load(options.optimized_model_filepath).graph
        kinds_of = {tensor.name: tensor.data_type for tensor in graph.initializer}
        kinds.append({kinds_of[node.input[1]] for node in graph.node if node.op_type == "MatMulIntegerToFloat"})
    assert kinds == [{onnx.TensorProto.INT8}, {onnx.TensorProto.UINT8}]
    assert np.abs(answers[0] - answers[1]).max() <= ROUNDED * np.abs(answers[1]).max()
