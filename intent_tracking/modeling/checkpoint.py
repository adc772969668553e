"""Checkpoints that a killed training goes on from: safetensors and JSON, written beside and renamed."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file, save_file

from intent_tracking.modeling.dataset import TokenizedDataset
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.tables import atomic_directory

_MOMENTS = ("exp_avg", "exp_avg_sq")
State = TypeVar("State", bound="WorkState")


class EpochFigures(BaseModel):
    """What one pass gave."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epoch: int
    loss: float
    scores: dict[str, float]


class WorkState(BaseModel):
    """Where work on weights stands.

    Attributes:
        key: what is being trained, from what; a checkpoint of another key is not used.
        step: optimiser steps done.
    """

    model_config = ConfigDict(extra="forbid")

    key: str
    step: int = 0


class TrainingState(WorkState):
    """Where a training stands; with the tensors beside it, all that going on needs.

    Attributes:
        epoch: passes finished.
        batch: batches of the current pass done.
        loss_sum: of the current pass, over its batches so far.
        seconds: spent training so far.
        tokens: trained on so far, padding left out.
        best_epoch: the last pass that validation cannot tell from the best, whose weights count; -1 before the first.
        best_score: the highest validation score; None before the first.
    """

    recipe: Recipe
    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    tokens: int = 0
    best_epoch: int = -1
    best_score: float | None = None
    history: list[EpochFigures] = []


@dataclass
class Checkpoint:
    """A training state and its tensors, by parameter name."""

    state: TrainingState
    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]
    best: dict[str, torch.Tensor]


def key_of(dataset: TokenizedDataset, recipe: Recipe | None, seed: int, max_seconds: float | None) -> str:
    """Names the work of a training: a checkpoint of other data, labels, tokens or choices must not be continued."""
    parts: list[Any] = [
        dataset.info.model_dump(mode="json"),
        dataset.labels.model_dump(mode="json"),
        dataset.tokenizer.vocabulary_size,
        None if recipe is None else recipe.identity(),
        seed,
        max_seconds,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def save_step(folder: Path, state: WorkState, **tensors: dict[str, torch.Tensor]) -> None:
    """Write `folder/step-<n>`, then remove older ones; a kill at any moment leaves a whole checkpoint.

    Args:
        folder: of the checkpoints of this work.
        state: goes into `state.json`.
        tensors: each goes into `<its name>.safetensors`.
    """
    target = folder / f"step-{state.step:08d}"
    with atomic_directory(target) as building:
        for name, values in tensors.items():
            save_file(values, building / f"{name}.safetensors")
        (building / "state.json").write_text(state.model_dump_json(indent=2) + "\n", encoding="utf-8")
    for old in folder.glob("step-*"):
        if old != target:
            shutil.rmtree(old)
    # A kill while building leaves a hidden folder behind.
    for torn in folder.glob(".step-*"):
        shutil.rmtree(torn, ignore_errors=True)


def newest_step(folder: Path, kind: type[State], key: str) -> tuple[Path, State] | None:
    """The newest checkpoint of `key` and its state, or None where there is none."""
    for place in sorted(folder.glob("step-*"), reverse=True):
        try:
            state = kind.model_validate_json((place / "state.json").read_text(encoding="utf-8"))
        except ValidationError:
            # Written by another version of this code: it cannot be continued, so the work starts over.
            continue
        if state.key == key:
            return place, state
    return None


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint of a training as `save_step` does."""
    best = {"best": checkpoint.best} if checkpoint.best else {}
    save_step(folder, checkpoint.state, weights=checkpoint.weights, optimizer=checkpoint.optimizer, **best)


def load_checkpoint(folder: Path, key: str) -> Checkpoint | None:
    """The newest checkpoint of the training `key`, or None where there is none."""
    found = newest_step(folder, TrainingState, key)
    if found is None:
        return None
    place, state = found
    best = place / "best.safetensors"
    return Checkpoint(
        state=state,
        weights=load_file(place / "weights.safetensors"),
        optimizer=load_file(place / "optimizer.safetensors"),
        best=load_file(best) if best.exists() else {},
    )


def trainable(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """Parameters that training changes, by name."""
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def snapshot(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of the trainable weights on the CPU."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in trainable(model).items()}


def restore(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Put a snapshot back."""
    parameters = trainable(model)
    with torch.no_grad():
        for name, value in weights.items():
            parameters[name].copy_(value)


def optimizer_tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """AdamW's moments as `<moment>.<parameter name>`; empty before the first step."""
    return {
        f"{moment}.{name}": optimizer.state[value][moment].detach().to("cpu", copy=True).contiguous()
        for name, value in trainable(model).items()
        if value in optimizer.state
        for moment in _MOMENTS
    }


def restore_optimizer(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], step: int
) -> None:
    """Put AdamW's moments and step count back."""
    for name, value in trainable(model).items():
        if f"{_MOMENTS[0]}.{name}" in tensors:
            moments = {moment: tensors[f"{moment}.{name}"].to(value.device) for moment in _MOMENTS}
            optimizer.state[value] = {"step": torch.tensor(float(step), device=value.device), **moments}
