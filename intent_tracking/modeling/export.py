"""From a trained model to an artifact: calibrated, with golden answers, checksummed, and put in place in one rename."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import torch
from safetensors.torch import save_file

import intent_tracking
from intent_tracking.artifact import INTENT_MODEL, Manifest, require_place, write_manifest
from intent_tracking.modeling.adaptation import Adaptation
from intent_tracking.modeling.augmentation import Augmentation
from intent_tracking.modeling.calibration import Calibration, calibrate, calibrate_label_sets, uncalibrated
from intent_tracking.modeling.dataset import TokenizedDataset, prepare_dataset
from intent_tracking.modeling.distillation import taught
from intent_tracking.modeling.examples import model_inputs
from intent_tracking.modeling.golden import GoldenCase, Runtime, golden_case
from intent_tracking.modeling.hardware import choose_device
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.onnx_backend import OnnxBackend
from intent_tracking.modeling.onnx_export import ServedGraph, served_graph
from intent_tracking.modeling.out_of_scope import ALLOWED_LOSS
from intent_tracking.modeling.predicting import Backend, PredictionPipeline, TorchBackend
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.training import fine_tune
from intent_tracking.modeling.training_result import Progress, TrainingResult
from intent_tracking.modeling.validation import SplitOutputs, scores_of
from intent_tracking.sessions.render import ModelInput
from intent_tracking.settings import Device
from intent_tracking.tables import atomic_directory

GOLDEN_REQUESTS = 16


@dataclass(frozen=True, eq=False)
class TrainedArtifact:
    """An artifact on disk and the training that made it."""

    directory: Path
    manifest: Manifest
    training: TrainingResult
    calibration: Calibration


def calibration_of(
    outputs: SplitOutputs | None, labels: LabelSet, *, allowed_loss: float = ALLOWED_LOSS
) -> Calibration:
    """Calibrate on the validation outputs of what will serve; without a validation split nothing is corrected.

    `allowed_loss` is the share of in-scope texts whose right answer out-of-scope detection may cost.
    """
    if outputs is None:
        return uncalibrated(labels)
    fitted = calibrate(
        None if labels.multi_label else outputs.intent_logits,
        outputs.intent_targets,
        outputs.outcome_logits,
        outputs.outcome_targets,
        labels,
        allowed_loss=allowed_loss,
    )
    if outputs.intent_logits is None or outputs.label_sets is None:
        return fitted
    return calibrate_label_sets(fitted, outputs.intent_logits, outputs.label_sets)


def export_artifact(
    directory: Path,
    *,
    version: str,
    dataset: TokenizedDataset,
    training: TrainingResult,
    calibration: Calibration,
    graph: ServedGraph | None,
    golden_inputs: Sequence[ModelInput],
    trained_until: datetime | None = None,
    feature_service: str | None = None,
    adaptation: Adaptation | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Manifest:
    """Write the artifact to `directory`, whole or not at all.

    Args:
        directory: its place; an intent model that is there is replaced.
        version: its unique name.
        dataset: what the model was trained on; gives tokenizer, labels and provenance.
        training: the trained model.
        calibration: from `calibration_of`.
        graph: what serves on a CPU, from `served_graph`; None: torch does.
        golden_inputs: requests whose answers are recorded and replayed at load; stored texts only, which are scrubbed.
        trained_until: nothing later was seen.
        feature_service: name of the feature service whose features the outcome head reads.
        adaptation: of an adapted encoder that does not last: the manifest names the one that it was made from.
        metrics: figures to carry in the manifest, besides those on validation.

    Raises:
        FileExistsError: `directory` holds anything else than an intent model.
    """
    require_place(directory, INTENT_MODEL)
    model = training.model
    pipeline = PredictionPipeline(
        backend=TorchBackend(model, torch.device("cpu")),
        tokenizer=dataset.tokenizer,
        labels=dataset.labels,
        calibration=calibration,
        feature_names=tuple(scale.name for scale in dataset.info.features),
        scenes=model.config.scenes,
    )
    backends: dict[Runtime, Backend] = {"torch": pipeline.backend}
    if graph is not None:
        # First, because it is what serves on a CPU.
        backends = {"onnx": OnnxBackend(graph.content), **backends}
    cases: list[GoldenCase] = []
    for runtime, backend in backends.items():
        answers = replace(pipeline, backend=backend).predict(golden_inputs)
        cases += [golden_case(entry, answer, runtime) for entry, answer in zip(golden_inputs, answers, strict=True)]
    figures = {f"validation_{name}": value for name, value in _validation_scores(training).items() if name != "score"}
    if adaptation is not None:
        figures |= {"adaptation_texts": adaptation.texts, "adaptation_loss": adaptation.last_loss}
    with atomic_directory(directory) as building:
        save_file(
            {name: value.contiguous() for name, value in model.state_dict().items()}, building / "model.safetensors"
        )
        (building / "config.json").write_text(model.config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (building / "tokenizer.json").write_text(dataset.tokenizer.to_json(), encoding="utf-8")
        (building / "labels.json").write_text(dataset.labels.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (building / "calibration.json").write_text(calibration.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if graph is not None:
            (building / graph.file).parent.mkdir()
            (building / graph.file).write_bytes(graph.content)
            figures |= graph.losses
        golden = "".join(case.model_dump_json() + "\n" for case in cases)
        (building / "golden.jsonl").write_text(golden, encoding="utf-8")
        return write_manifest(
            building,
            kind=INTENT_MODEL,
            version=version,
            base_encoder=dataset.info.base_encoder if adaptation is None else adaptation.base_encoder,
            code_version=intent_tracking.__version__,
            dataset_fingerprint=dataset.info.fingerprint,
            trained_until=None if trained_until is None else trained_until.isoformat(),
            parent=dataset.info.parent,
            feature_service=feature_service,
            labels=dataset.labels.class_names(),
            key_information=dataset.labels.key_information,
            metrics={**figures, **(metrics or {})},
        )


def train_artifact(
    examples: pa.Table,
    directory: Path,
    *,
    version: str,
    work_dir: Path,
    base_encoder: str,
    dataset: TokenizedDataset | None = None,
    champion: Path | None = None,
    augment: int = 0,
    augmentation: Augmentation | None = None,
    student: bool = False,
    layers: int | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    device: Device = "auto",
    max_seconds: float | None = None,
    trained_until: datetime | None = None,
    feature_service: str | None = None,
    adaptation: Adaptation | None = None,
    checkpoint_seconds: float = 30.0,
    progress: Callable[[Progress], None] | None = None,
) -> TrainedArtifact:
    """The whole way from examples to an artifact: tokenize, fine-tune, calibrate, export.

    Args:
        examples: rows of `EXAMPLE_SCHEMA` and user features.
        directory: where the artifact goes.
        dataset: the examples tokenized already, to save doing it again.
        champion: artifact to start from.
        augment: how often each training text is written anew, where `dataset` is not given.
        augmentation: by which edits; None: the defaults.
        student: the champion is the teacher of a smaller model, which keeps `layers` of its layers (None: half).
        (the rest): as in `fine_tune` and `export_artifact`.

    Raises:
        FileExistsError: `directory` holds anything else than an intent model.
    """
    require_place(directory, INTENT_MODEL)
    if dataset is None:
        dataset = prepare_dataset(
            examples, base_encoder, champion=champion, augment=augment, augmentation=augmentation, seed=seed
        )
    if student:
        if champion is None:
            raise ValueError("a student needs a teacher: give its artifact as the champion")
        dataset = taught(dataset, champion, layers, choose_device(device))
    training = fine_tune(
        dataset,
        work_dir=work_dir,
        champion=champion,
        recipe=recipe,
        seed=seed,
        device=device,
        max_seconds=max_seconds,
        checkpoint_seconds=checkpoint_seconds,
        progress=progress,
    )
    graph = served_graph(training.model, dataset, training.validation)
    # The CPU serves the graph, so that its answers are what must mean what they say.
    calibration = calibration_of(training.validation if graph is None else graph.validation, dataset.labels)
    manifest = export_artifact(
        directory,
        version=version,
        dataset=dataset,
        training=training,
        calibration=calibration,
        graph=graph,
        golden_inputs=choose_golden(examples),
        trained_until=trained_until,
        feature_service=feature_service,
        adaptation=adaptation,
    )
    return TrainedArtifact(directory, manifest, training, calibration)


def choose_golden(examples: pa.Table) -> list[ModelInput]:
    """Requests for `golden.jsonl`: validation texts, else training texts, one of each intent in turn."""
    held_out = examples.filter(pc.equal(examples["split"], "validation"))
    source = held_out if len(held_out) else examples.filter(pc.equal(examples["split"], "train"))
    by_intent: dict[str, list[int]] = {}
    for place, intent in enumerate(source["intent"].to_pylist()):
        by_intent.setdefault(intent or "", []).append(place)
    chosen: list[int] = []
    for turn in range(GOLDEN_REQUESTS):
        chosen += [places[turn] for _, places in sorted(by_intent.items()) if turn < len(places)]
    return model_inputs(source.take(pa.array(chosen[:GOLDEN_REQUESTS], pa.int64())))


def _validation_scores(training: TrainingResult) -> dict[str, float]:
    return {} if training.validation is None else scores_of(training.validation)
