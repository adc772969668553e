"""Fine-tuning: one loop that resumes exactly, stops early and stays within its time."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from intent_tracking.modeling.assembly import assemble
from intent_tracking.modeling.batching import Batch, ExampleArrays, in_other_scenes, make_batch, pass_size, plan_pass
from intent_tracking.modeling.checkpoint import (
    Checkpoint,
    EpochFigures,
    TrainingState,
    load_checkpoint,
    optimizer_tensors,
    restore,
    restore_optimizer,
    save_checkpoint,
    snapshot,
    trainable,
)
from intent_tracking.modeling.dataset import TokenizedDataset
from intent_tracking.modeling.hardware import (
    choose_device,
    expected_tokens_per_second,
    has_fast_bf16,
    keep_freed_memory,
)
from intent_tracking.modeling.intent_head import prototypes_of
from intent_tracking.modeling.loading import load_labels
from intent_tracking.modeling.model import IntentModel
from intent_tracking.modeling.objective import class_weights, loss_of, rows_of, scene_consistency
from intent_tracking.modeling.recipe import Recipe, choose_recipe
from intent_tracking.modeling.validation import SplitOutputs, pooled_texts, run_split, scores_of
from intent_tracking.sessions.vocabulary import scene_token

logger = logging.getLogger(__name__)

_UNTRAINED_BEFORE = -1.0
_TEXTS_OF_A_PROTOTYPE = 32
# Share of a time budget by which a run may lag before its learning rate follows the clock.
_BEHIND = 0.05


@dataclass(frozen=True)
class Progress:
    """Where a training stands, for displays and metadata; `rate` is the share of the peak learning rate."""

    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float
    seconds: float
    scores: dict[str, float]
    rate: float


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """A trained model at its best pass, its validation outputs, and how it got there.

    Attributes:
        model: on the CPU, in evaluation mode, with one plain word table.
        validation: outputs on the validation split at the best pass; None where there is no such split.
        steps: optimiser steps of all passes.
        seconds: spent training, over all runs of a resumed training, validation included.
        tokens_per_second: trained on per second, padding left out.
        stopped: why the training ended.
    """

    model: IntentModel
    validation: SplitOutputs | None
    recipe: Recipe
    history: tuple[EpochFigures, ...]
    best_epoch: int
    steps: int
    seconds: float
    tokens_per_second: float
    stopped: Literal["finished", "no improvement", "time"]


def fine_tune(
    dataset: TokenizedDataset,
    *,
    work_dir: Path,
    champion: Path | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    max_seconds: float | None = None,
    checkpoint_seconds: float = 30.0,
    progress: Callable[[Progress], None] | None = None,
) -> TrainingResult:
    """Fine-tune on the dataset's training split; go on from a checkpoint of the same work in `work_dir`.

    A killed run that is started again with the same arguments ends as it would have: batches, dropout and learning rate
    depend on the seed and the step alone, unless the machine is too slow for its time budget.

    Passes are judged on the validation split by the macro F1 of the intents (without intents: by key information, then
    by the outcome); without a validation split the last pass counts.

    Args:
        dataset: from `prepare_dataset`, with the same champion.
        work_dir: takes `checkpoints/` and TensorBoard's `tensorboard/`.
        champion: artifact to start from.
        recipe: how to train; None: chosen from the data and `max_seconds`.
        seed: of new weights, order and dropout.
        device: where to train.
        max_seconds: stop after this time, and choose a recipe that should fit in it.
        checkpoint_seconds: least time between two checkpoints; 0: after every step.
        progress: called after each checkpoint-worthy moment, at least twice a second of training.

    Raises:
        ValueError: nothing in the training split is labelled, or the device is not there.
    """
    keep_freed_memory()
    trainer = _Trainer(dataset, work_dir, champion, recipe, seed, choose_device(device), max_seconds)
    with torch.random.fork_rng():
        return trainer.run(checkpoint_seconds, progress)


class _Trainer:
    def __init__(
        self,
        dataset: TokenizedDataset,
        work_dir: Path,
        champion: Path | None,
        recipe: Recipe | None,
        seed: int,
        device: torch.device,
        max_seconds: float | None,
    ) -> None:
        self._seed, self._device, self._max_seconds = seed, device, max_seconds
        self._checkpoints = work_dir / "checkpoints"
        self._board = work_dir / "tensorboard"
        features, labels = len(dataset.info.features), dataset.labels
        self._train = ExampleArrays.of(dataset.split("train"), features, dataset.info.scenes, labels.set_size)
        self._validation = ExampleArrays.of(dataset.split("validation"), features, dataset.info.scenes, labels.set_size)
        self._sure = (self._train.weights >= 1.0).tolist()
        key = _key(dataset, recipe, seed, max_seconds)
        found = load_checkpoint(self._checkpoints, key)
        if found is None:
            chosen = recipe or choose_recipe(
                len(self._train),
                len(labels.intents),
                self._train.lengths,
                bf16=has_fast_bf16(device),
                warm_start=champion is not None,
                max_seconds=max_seconds,
                doubtful=[not sure for sure in self._sure],
                tokens_per_second=expected_tokens_per_second(device),
            )
            self._state = TrainingState(key=key, recipe=chosen)
        else:
            self._state = found.state
            logger.info("training goes on from step %d", self._state.step)
        self._recipe = self._state.recipe
        self._model = assemble(
            dataset,
            champion=champion,
            dropout=self._recipe.dropout,
            seed=seed,
            adapter_width=self._recipe.adapter_width,
        )
        if self._model.intent is None and self._model.tags is None and self._model.outcome is None:
            raise ValueError("the training split has no two intents, no slots and no outcomes; label some data")
        self._model.freeze_base_rows()
        self._model.to(device)
        if found is None and self._model.intent is not None:
            known = load_labels(champion).class_names() if champion is not None else ()
            new = [row for row, name in enumerate(labels.class_names()) if name not in known]
            pooled, intents = pooled_texts(self._model, self._train, device, most=_TEXTS_OF_A_PROTOTYPE)
            self._model.intent.start_from(prototypes_of(pooled, intents, labels.intent_classes), new)
        self._optimizer = _optimizer(self._model, self._recipe)
        self._best: dict[str, torch.Tensor] = {}
        if found is not None:
            restore(self._model, found.weights)
            restore_optimizer(self._model, self._optimizer, found.optimizer, self._state.step)
            self._best = found.best
        classes = labels.intent_classes
        self._by_class = class_weights(self._train.intents, classes, self._recipe.class_weight_power).to(device)
        sure = sum(self._sure)
        per_pass = pass_size(sure, len(self._sure) - sure, self._recipe.behaviour_share)
        self._scene_tokens = (
            _scene_tokens(dataset).to(device) if self._recipe.consistency_weight and dataset.info.scenes else None
        )
        self._steps = self._recipe.epochs * -(-per_pass // self._recipe.batch_size)

    def run(self, checkpoint_seconds: float, progress: Callable[[Progress], None] | None) -> TrainingResult:
        from torch.utils.tensorboard import SummaryWriter

        state, recipe = self._state, self._recipe
        board = SummaryWriter(str(self._board), purge_step=state.step)
        began = time.monotonic() - state.seconds
        saved = reported = time.monotonic()
        stopped: Literal["finished", "no improvement", "time"] = "finished"
        lengths = self._train.lengths
        out_of_time = False
        try:
            while state.epoch < recipe.epochs and not out_of_time:
                batches = plan_pass(
                    lengths,
                    recipe.batch_size,
                    self._seed,
                    state.epoch,
                    always=self._sure,
                    share=recipe.behaviour_share,
                )
                for places in batches[state.batch :]:
                    batch = make_batch(self._train, places, self._device)
                    loss = self._step(batch)
                    state.batch += 1
                    state.step += 1
                    state.loss_sum += loss
                    state.tokens += batch.tokens
                    now = time.monotonic()
                    state.seconds = now - began
                    board.add_scalar("train/loss", loss, state.step)
                    if now - saved >= checkpoint_seconds:
                        self._save()
                        saved = time.monotonic()
                    if progress is not None and now - reported >= 0.5:
                        progress(self._progress())
                        reported = now
                    if self._max_seconds is not None and state.seconds >= self._max_seconds:
                        out_of_time = True
                        break
                figures = self._finish_pass()
                state.seconds = time.monotonic() - began
                for name, value in figures.scores.items():
                    board.add_scalar(f"validation/{name}", value, state.step)
                board.add_scalar("train/learning_rate", self._rate(), state.step)
                if progress is not None:
                    progress(self._progress())
                if time.monotonic() - saved >= checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
                if out_of_time:
                    stopped = "time"
                elif len(self._validation) and state.epoch - 1 - state.best_epoch >= recipe.patience:
                    stopped = "no improvement"
                    break
        finally:
            board.close()
        return self._result(stopped)

    def _rate(self) -> float:
        """Share of the peak learning rate: a linear warm-up, then linearly down to zero.

        A run that falls behind its time budget comes down with the time instead of the steps, so that it does not end
        at a high rate; only then do the weights depend on the speed of the machine.
        """
        step = self._state.step
        warm = max(1, int(self._recipe.warmup_share * self._steps))
        if step < warm:
            return (step + 1) / warm
        left = (self._steps - step) / max(1, self._steps - warm)
        if self._max_seconds is not None:
            time_left = 1.0 - self._state.seconds / self._max_seconds
            if time_left < left - _BEHIND:
                left = time_left
        return max(0.0, left)

    def _step(self, batch: Batch) -> float:
        model, optimizer, state = self._model.train(), self._optimizer, self._state
        # Dropout depends on the step, not on what ran before: a resumed run draws the same masks.
        torch.manual_seed(self._seed * 1_000_003 + state.step)
        rate = self._rate()
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        shown, again = batch, None
        if self._scene_tokens is not None:
            shown, again = in_other_scenes(batch, self._scene_tokens)
        with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._recipe.bf16):
            output = model(shown.ids, shown.mask, shown.features, shown.scenes)
        own = rows_of(output, slice(len(batch.ids)))
        loss = loss_of(
            own,
            batch.intents,
            batch.tags,
            batch.outcomes,
            batch.weights,
            self._by_class,
            self._recipe,
            batch.label_sets,
        )
        if again is not None and len(again):
            other = rows_of(output, slice(len(batch.ids), None))
            loss = loss + self._recipe.consistency_weight * scene_consistency(
                rows_of(own, again), other, multi_label=bool(batch.label_sets.shape[1])
            )
        optimizer.zero_grad(set_to_none=True)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(trainable(model).values(), self._recipe.clip_norm)
            optimizer.step()
        return float(loss.detach())

    def _finish_pass(self) -> EpochFigures:
        state = self._state
        scores: dict[str, float] = {}
        if len(self._validation):
            outputs = run_split(self._model, self._validation, self._device, bf16=self._recipe.bf16)
            scores = scores_of(outputs)
        figures = EpochFigures(epoch=state.epoch, loss=state.loss_sum / max(1, state.batch), scores=scores)
        score = scores.get("score", _UNTRAINED_BEFORE)
        if not scores or state.best_score is None or score > state.best_score:
            state.best_score, state.best_epoch = score, state.epoch
            self._best = snapshot(self._model)
        state.history.append(figures)
        state.epoch, state.batch, state.loss_sum = state.epoch + 1, 0, 0.0
        return figures

    def _save(self) -> None:
        save_checkpoint(
            self._checkpoints,
            Checkpoint(self._state, snapshot(self._model), optimizer_tensors(self._model, self._optimizer), self._best),
        )

    def _progress(self) -> Progress:
        state = self._state
        return Progress(
            epoch=state.epoch,
            epochs=self._recipe.epochs,
            step=state.step,
            steps=self._steps,
            loss=state.loss_sum / state.batch if state.batch else (state.history[-1].loss if state.history else 0.0),
            seconds=state.seconds,
            scores=state.history[-1].scores if state.history else {},
            rate=self._rate(),
        )

    def _result(self, stopped: Literal["finished", "no improvement", "time"]) -> TrainingResult:
        state = self._state
        restore(self._model, self._best)
        self._model.merge_rows()
        model = self._model.to("cpu").eval()
        outputs = None
        if len(self._validation):
            # In float32, as the model is served: calibration is fitted on what will be seen.
            outputs = run_split(model, self._validation, torch.device("cpu"), bf16=False)
        return TrainingResult(
            model=model,
            validation=outputs,
            recipe=self._recipe,
            history=tuple(state.history),
            best_epoch=state.best_epoch,
            steps=state.step,
            seconds=state.seconds,
            tokens_per_second=state.tokens / max(state.seconds, 1e-9),
            stopped=stopped,
        )


def _key(dataset: TokenizedDataset, recipe: Recipe | None, seed: int, max_seconds: float | None) -> str:
    """Names the work: a checkpoint of other data, labels, tokens or choices must not be continued."""
    parts: list[Any] = [
        dataset.info.model_dump(mode="json"),
        dataset.labels.model_dump(mode="json"),
        dataset.tokenizer.vocabulary_size,
        None if recipe is None else recipe.model_dump(mode="json"),
        seed,
        max_seconds,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _scene_tokens(dataset: TokenizedDataset) -> torch.Tensor:
    """Token id of each scene, int64 [S + 1]; scene 0, an unknown one, has none."""
    vocabulary = dataset.tokenizer.vocabulary
    return torch.tensor([0, *(vocabulary.token_to_id(scene_token(scene)) for scene in dataset.info.scenes)])


def _optimizer(model: IntentModel, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW in groups: heads and added rows learn faster than the encoder, biases and norms do not decay."""
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, value in trainable(model).items():
        factor = 1.0
        # The intent head starts where it should be; the others start at random.
        if not name.startswith(("encoder.", "intent.")):
            factor = recipe.head_factor
        elif name.endswith("embeddings.added"):
            factor = recipe.added_factor
        decay = recipe.weight_decay if value.ndim > 1 and factor != recipe.added_factor else 0.0
        groups.setdefault((recipe.learning_rate * factor, decay), []).append(value)
    settings = [{"params": values, "peak": rate, "weight_decay": decay} for (rate, decay), values in groups.items()]
    return torch.optim.AdamW(settings, lr=recipe.learning_rate, fused=True)


def count_parameters(model: IntentModel) -> dict[str, int]:
    """Parameters in all and parameters that training changes, for metadata."""
    model.freeze_base_rows()
    trained = int(np.sum([value.numel() for value in trainable(model).values()]))
    model.merge_rows()
    return {"parameters": sum(value.numel() for value in model.parameters()), "trained": trained}
