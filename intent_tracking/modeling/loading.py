"""From a verified artifact directory to a pipeline; nothing is fetched and nothing but these files is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file

from intent_tracking.artifact import ArtifactError
from intent_tracking.modeling.calibration import Calibration
from intent_tracking.modeling.encoder import EncoderError, allowed_config
from intent_tracking.modeling.golden import GoldenCase
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.model import IntentModel, ModelConfig
from intent_tracking.modeling.onnx_backend import OnnxBackend
from intent_tracking.modeling.predicting import Backend, PredictionPipeline, TorchBackend
from intent_tracking.modeling.tokenization import SessionTokenizer

_Record = TypeVar("_Record", bound=BaseModel)


def _read(path: Path, kind: type[_Record]) -> _Record:
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ArtifactError(f"{path}: {field}: {first['msg']}; export the artifact again with this version") from error


def load_config(directory: Path) -> ModelConfig:
    """Read `config.json`; a key that is not on the allow-list is refused.

    Raises:
        ArtifactError: the file does not describe a model of this platform.
    """
    config = _read(directory / "config.json", ModelConfig)
    try:
        kept = allowed_config(config.encoder, str(directory / "config.json"))
    except EncoderError as error:
        raise ArtifactError(f"{error}; export the artifact again with this version") from error
    unknown = sorted(set(config.encoder) - set(kept))
    if unknown:
        raise ArtifactError(
            f"{directory / 'config.json'}: encoder.{unknown[0]} is not allowed; do not use this artifact"
        )
    return config


def load_labels(directory: Path) -> LabelSet:
    """Read `labels.json`."""
    return _read(directory / "labels.json", LabelSet)


def load_calibration(directory: Path) -> Calibration:
    """Read `calibration.json`."""
    return _read(directory / "calibration.json", Calibration)


def load_golden(directory: Path) -> list[GoldenCase]:
    """Read `golden.jsonl`.

    Raises:
        ArtifactError: a line is not a golden case; file and line are named.
    """
    path = directory / "golden.jsonl"
    cases: list[GoldenCase] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            cases.append(GoldenCase.model_validate(json.loads(line)))
        except (ValidationError, json.JSONDecodeError) as error:
            raise ArtifactError(f"{path} line {number}: not a golden case; export the artifact again") from error
    return cases


def load_tokenizer(directory: Path, max_tokens: int) -> SessionTokenizer:
    """Read `tokenizer.json`."""
    return SessionTokenizer.from_file(directory / "tokenizer.json", max_tokens)


def load_model(directory: Path, config: ModelConfig) -> IntentModel:
    """Build the architecture of `config` and fill it from `model.safetensors`.

    Raises:
        ArtifactError: the weights do not fit the architecture.
    """
    path = directory / "model.safetensors"
    model = IntentModel(config)
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise ArtifactError(f"{path}: does not fit config.json ({error}); export the artifact again") from error
    return model


def load_onnx(path: Path) -> OnnxBackend:
    """Read a graph whose weights are all in the file itself.

    Raises:
        ArtifactError: ONNX Runtime does not take it.
    """
    try:
        return OnnxBackend(path.read_bytes())
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}; export the artifact again, or load it with runtime 'torch'") from error


def load_pipeline(directory: Path, device: torch.device, onnx_file: str | None = None) -> PredictionPipeline:
    """The artifact's pipeline; the caller has verified the checksums.

    Args:
        directory: the artifact.
        device: where torch runs the network.
        onnx_file: a file that the manifest lists, which ONNX Runtime is to run on the CPU in place of torch.

    Raises:
        ArtifactError: a file does not fit the others.
    """
    config = load_config(directory)
    labels = load_labels(directory)
    if (config.intent_classes, config.tags) != (labels.intent_classes, labels.tag_count):
        raise ArtifactError(
            f"{directory}: labels.json and config.json disagree on the heads; export the artifact again"
        )
    backend: Backend = (
        TorchBackend(load_model(directory, config), device) if onnx_file is None else load_onnx(directory / onnx_file)
    )
    return PredictionPipeline(
        backend=backend,
        tokenizer=load_tokenizer(directory, config.max_tokens),
        labels=labels,
        calibration=load_calibration(directory),
        feature_names=tuple(feature.name for feature in config.features),
        scenes=config.scenes,
    )
