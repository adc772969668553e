"""What training ships for the CPU: an int8 graph that loses nothing, or float32, and an artifact that loads with it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from intent_tracking.artifact import ArtifactError, Manifest, verify, write_manifest
from intent_tracking.inference import IntentPredictor
from intent_tracking.modeling import onnx_export
from intent_tracking.modeling.batching import ExampleArrays
from intent_tracking.modeling.dataset import TokenizedDataset, prepare_dataset
from intent_tracking.modeling.export import train_artifact
from intent_tracking.modeling.loading import load_config, load_golden, load_model
from intent_tracking.modeling.model import IntentModel
from intent_tracking.modeling.onnx_backend import FLOAT_FILE, INT8_FILE
from intent_tracking.modeling.onnx_export import MOST_LOSS, served_graph
from intent_tracking.modeling.predicting import batches_by_length
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.validation import run_split
from intent_tracking.sessions.render import render_utterance
from tests.fakes.tiny_encoder import labelled, tiny_encoder, tiny_examples

pytestmark = pytest.mark.integration

RECIPE = Recipe(epochs=30, batch_size=8, learning_rate=1e-3, patience=30)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, encoder: str) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    _train(tiny_examples(), folder, encoder)
    return folder / "v1"


def _train(examples: pa.Table, folder: Path, encoder: str, recipe: Recipe = RECIPE) -> Manifest:
    return train_artifact(
        examples,
        folder / "v1",
        version="v1",
        work_dir=folder / "work",
        base_encoder=encoder,
        recipe=recipe,
        device="cpu",
    ).manifest


def test_int8_is_shipped_with_its_loss_and_serves_on_a_cpu(artifact: Path) -> None:
    manifest = verify(artifact)
    assert INT8_FILE in manifest.files
    assert FLOAT_FILE not in manifest.files
    assert manifest.metrics["int8_accuracy_loss"] <= MOST_LOSS
    served = IntentPredictor.load(artifact, "cpu")
    torch_predictor = IntentPredictor.load(artifact, "cpu", "torch")
    assert (served.runtime, torch_predictor.runtime) == ("onnx", "torch")
    inputs = [render_utterance(row.text) for row in labelled()]
    for one, other in zip(served.predict(inputs), torch_predictor.predict(inputs), strict=True):
        assert one.intents[0].name == other.intents[0].name
        closeness = one.embedding @ other.embedding
        assert closeness / np.linalg.norm(one.embedding) / np.linalg.norm(other.embedding) > 0.98


def test_each_runtime_is_held_to_golden_answers_of_its_own(artifact: Path) -> None:
    runtimes = [case.runtime for case in load_golden(artifact)]
    assert runtimes == sorted(runtimes)
    assert runtimes.count("onnx") == runtimes.count("torch") > 1
    for runtime in ("onnx", "torch"):
        assert IntentPredictor.load(artifact, "cpu", runtime).replay_golden() == []


def test_a_changed_graph_is_refused_by_its_checksum(artifact: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(artifact, wrong)
    content = bytearray((wrong / INT8_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (wrong / INT8_FILE).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"model\.int8\.onnx: its sha256 is not the manifest's"):
        IntentPredictor.load(wrong, "cpu", "torch")


def test_another_models_graph_is_noticed_by_the_golden_answers(artifact: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    shutil.copytree(artifact, wrong)
    model = load_model(artifact, load_config(artifact)).eval()
    torch.nn.init.normal_(model.intent.weight)
    (wrong / INT8_FILE).write_bytes(onnx_export.float_graph(model))
    write_manifest(wrong, kind="intent_model", version="v1", code_version="1", dataset_fingerprint="f")
    assert IntentPredictor.load(wrong, "cpu").replay_golden() != []
    assert IntentPredictor.load(wrong, "cpu", "torch").replay_golden() == []


def test_a_graph_that_the_manifest_does_not_list_is_not_read(artifact: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(artifact, bare)
    shutil.rmtree(bare / "onnx")
    write_manifest(bare, kind="intent_model", version="v1", code_version="1", dataset_fingerprint="f")
    (bare / "onnx").mkdir()
    (bare / INT8_FILE).write_bytes(b"anything")
    assert IntentPredictor.load(bare, "cpu").runtime == "torch"
    with pytest.raises(ArtifactError, match="has no ONNX graph"):
        IntentPredictor.load(bare, "cpu", "onnx")


def test_without_validation_the_loss_is_unknown_and_float32_is_shipped(tmp_path: Path, encoder: str) -> None:
    examples = tiny_examples()
    train = examples.filter(pc.equal(examples["split"], "train"))
    manifest = _train(train, tmp_path, encoder, RECIPE.model_copy(update={"epochs": 1}))
    assert FLOAT_FILE in manifest.files
    assert INT8_FILE not in manifest.files
    assert IntentPredictor.load(tmp_path / "v1", "cpu").replay_golden() == []


def _wide_rows(layer: torch.nn.Module) -> None:
    """One weight of every row far wider than the rest leaves the others no steps, here and where states grow by it."""
    layer.output.dense.weight[:, 0] *= 1e4


def _wide_inputs(layer: torch.nn.Module) -> None:
    """Two channels between the products, which cancel out, leave the others no steps, though those say more."""
    layer.output.dense.weight *= 300
    layer.intermediate.dense.weight[:2] = 0
    layer.intermediate.dense.bias[:2] = 300
    layer.output.dense.weight[:, 0], layer.output.dense.weight[:, 1] = 300, -300


@pytest.mark.parametrize(
    ("spoil", "file", "said"),
    [
        (_wide_inputs, INT8_FILE, "the second product of each layer stays float32"),
        (_wide_rows, FLOAT_FILE, "float32 is shipped"),
    ],
)
def test_int8_that_costs_more_than_half_a_point_is_not_shipped(
    artifact: Path,
    encoder: str,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[torch.nn.Module], None],
    file: str,
    said: str,
) -> None:
    """What costs too much is left out: first the second products alone, then all of it."""
    dataset: TokenizedDataset = prepare_dataset(tiny_examples(), encoder)
    model = load_model(artifact, load_config(artifact)).eval()
    with torch.no_grad():
        for layer in model.encoder.encoder.layer:
            spoil(layer)
    dataset = _labelled_by(model, dataset)
    exact = run_split(model, ExampleArrays.of(dataset.split("validation"), 0), torch.device("cpu"), bf16=False)
    with caplog.at_level(logging.WARNING):
        graph = served_graph(model, dataset, exact)
    assert graph is not None
    assert graph.file == file
    assert (max(graph.losses.values()) <= MOST_LOSS) is (file == INT8_FILE)
    assert caplog.messages[-1].endswith(said)


def _labelled_by(model: IntentModel, dataset: TokenizedDataset) -> TokenizedDataset:
    """What float32 answers on validation is right, so that every answer that int8 changes is a loss."""
    table = dataset.table
    held_out = dataset.split("validation")
    examples = ExampleArrays.of(held_out, 0)
    answers = np.zeros(len(held_out), dtype=np.int32)
    order = [place for batch in batches_by_length(examples.lengths, 64) for place in batch]
    answers[order] = run_split(model, examples, torch.device("cpu"), bf16=False).intent_logits.argmax(1)
    held_out = held_out.set_column(table.column_names.index("intent"), "intent", pa.array(answers))
    return replace(dataset, table=pa.concat_tables([dataset.split("train"), held_out]))
