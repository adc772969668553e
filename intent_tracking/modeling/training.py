"""Fine-tuning: one loop that resumes exactly, stops early and stays within its time."""

from __future__ import annotations

import json
import logging
import math
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from intent_tracking.modeling.assembly import assemble
from intent_tracking.modeling.batching import ExampleArrays, pass_size, plan_pass
from intent_tracking.modeling.board import Board
from intent_tracking.modeling.checkpoint import (
    Checkpoint,
    EpochFigures,
    TrainingState,
    key_of,
    load_checkpoint,
    optimizer_tensors,
    restore,
    restore_optimizer,
    save_checkpoint,
    snapshot,
)
from intent_tracking.modeling.dataset import TokenizedDataset
from intent_tracking.modeling.encoder import attend_for, find_encoder, shape_of
from intent_tracking.modeling.hardware import (
    choose_device,
    expected_tokens_per_second,
    has_fast_bf16,
    keep_freed_memory,
)
from intent_tracking.modeling.intent_head import prototypes_of
from intent_tracking.modeling.lexical_fit import fit_lexical_head
from intent_tracking.modeling.loading import load_config, load_labels
from intent_tracking.modeling.objective import class_weights
from intent_tracking.modeling.optimizer import make_optimizer, rate_at
from intent_tracking.modeling.packing import why_padded
from intent_tracking.modeling.processes import Processes, join
from intent_tracking.modeling.recipe import Recipe, choose_recipe
from intent_tracking.modeling.stepping import Stepper
from intent_tracking.modeling.training_result import Progress, TrainingDivergedError, TrainingResult
from intent_tracking.modeling.validation import chance_of, pooled_texts, run_split, scores_of
from intent_tracking.settings import Device

logger = logging.getLogger(__name__)

_UNTRAINED_BEFORE = -1.0
_TEXTS_OF_A_PROTOTYPE = 32
# Seconds between two looks at a loss on a GPU, each of which waits for the device, and between two calls of `progress`.
_LOOK = 0.5
# A pass that the clock would end earlier does not begin.
_LEAST_OF_A_PASS = 0.1


def fine_tune(
    dataset: TokenizedDataset,
    *,
    work_dir: Path,
    champion: Path | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    device: Device = "auto",
    max_seconds: float | None = None,
    checkpoint_seconds: float = 30.0,
    progress: Callable[[Progress], None] | None = None,
) -> TrainingResult:
    """Fine-tune on the dataset's training split; go on from a checkpoint of the same work in `work_dir`.

    A killed run that is started again with the same arguments ends as it would have: batches, dropout and learning rate
    depend on the seed and the step alone, unless the machine is too slow for its time budget.

    Passes are judged on the validation split by the mean F1 of the intents that it has (without intents: by key
    information, then by the outcome): the last pass counts that is within one standard error of the best score, and
    training stops early where `patience` passes in a row are not. Without a validation split the last pass counts.

    A recipe of several runs trains so often from the same start, each run in an order and with a dropout of its own,
    and takes the mean of their weights, which generalises better than any of them ("model soups", Wortsman et al.
    2022). Another one begins only where there is time for one as long as the first: the mean of trainings that were cut
    short is worse than one that was not.

    Where torchrun or Accelerate started several processes, each calls this with the same arguments and takes its share
    of every batch; process 0 validates, keeps the time, writes to `work_dir` and returns the model. Any number of
    processes goes on from a checkpoint, if all see the same `work_dir`.

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
        TrainingDivergedError: the loss is not a number any more.
        WorkerFinished: at the end, in every process but process 0.
    """
    keep_freed_memory()
    processes = join(choose_device(device))
    trainer = _Trainer(dataset, work_dir, champion, recipe, seed, processes, max_seconds)
    with torch.random.fork_rng(devices=[processes.device] if processes.device.type == "cuda" else []):
        ends = [trainer.run(checkpoint_seconds, progress)]
        for run in range(1, trainer.recipe.runs):
            if not trainer.leaves_time_for_another():
                logger.info("no time for more than %d of %d trainings", run, trainer.recipe.runs)
                break
            spent, recipe = trainer.seconds, trainer.recipe
            another = _Trainer(dataset, work_dir, champion, recipe, seed, processes, max_seconds, run=run, spent=spent)
            ends.append(another.run(checkpoint_seconds, progress))
            trainer.take_in(another)
    processes.part()
    # One run that was cut short is not made good by others that were not.
    return trainer.result("time" if "time" in ends else ends[0])


def _default_recipe(
    dataset: TokenizedDataset,
    train: ExampleArrays,
    sure: Sequence[bool],
    device: torch.device,
    champion: Path | None,
    max_seconds: float | None,
) -> Recipe:
    start = load_config(champion).encoder if champion else find_encoder(dataset.info.base_encoder).config()
    layers, hidden = shape_of(start)
    return choose_recipe(
        len(train),
        len(dataset.labels.intents),
        train.lengths,
        bf16=has_fast_bf16(device),
        n_labelled=train.labelled(len(dataset.labels.intents)),
        warm_start=champion is not None and dataset.info.layers is None,
        versions=dataset.info.versions,
        max_seconds=max_seconds,
        doubtful=[not each for each in sure],
        tokens_per_second=expected_tokens_per_second(device, layers, hidden),
        hidden=hidden,
    )


class _Trainer:
    def __init__(
        self,
        dataset: TokenizedDataset,
        work_dir: Path,
        champion: Path | None,
        recipe: Recipe | None,
        seed: int,
        processes: Processes,
        max_seconds: float | None,
        *,
        run: int = 0,
        spent: float = 0.0,
    ) -> None:
        device = processes.device
        self._run, self._spent, self._processes = run, spent, processes
        # The weights start from the seed alone; what is drawn on the way differs from run to run.
        self._seed = seed + run * 7_919
        self._checkpoints = work_dir / ("checkpoints" if run == 0 else f"checkpoints-{run}")
        self._board = work_dir / "tensorboard" / ("" if run == 0 else f"run-{run}")
        self._others: list[_Trainer] = []
        features, labels = len(dataset.info.features), dataset.labels
        self._train = ExampleArrays.of(dataset.split("train"), features, dataset.info.scenes, labels.set_size)
        self._validation = ExampleArrays.of(dataset.split("validation"), features, dataset.info.scenes, labels.set_size)
        self._sure = (self._train.weights >= 1.0).tolist()
        key = key_of(dataset, recipe, self._seed, max_seconds)
        found = load_checkpoint(self._checkpoints, key)
        agreed = int(processes.agree_on(-1 if found is None else found.state.step))
        if agreed != (-1 if found is None else found.state.step):
            raise ValueError(
                f"{self._checkpoints}: process 0 goes on from step {agreed}, process {processes.rank} does not; "
                "give all processes the same folder"
            )
        if found is None:
            chosen = recipe or _default_recipe(dataset, self._train, self._sure, device, champion, max_seconds)
            # How fast a device is is measured: the processes may have found different recipes.
            chosen = Recipe.model_validate_json(processes.agree(chosen.model_dump_json()))
            self._state = TrainingState(key=key, recipe=chosen)
        else:
            self._state = found.state
            logger.info("training goes on from step %d", self._state.step)
        self._recipe = self._state.recipe
        self._max_seconds = None if max_seconds is None else max(max_seconds - spent, 1e-9)
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
        attend_for(self._model.encoder, device, bf16=self._recipe.bf16)
        if found is None and self._model.intent is not None:
            before = load_labels(champion) if champion is not None else None
            # A champion of one label has no head that could have learned it.
            known = before.class_names() if before is not None and before.intent_classes else ()
            new = [row for row, name in enumerate(labels.class_names()) if name not in known]
            pooled, having = pooled_texts(
                self._model, self._train, device, classes=labels.intent_classes, most=_TEXTS_OF_A_PROTOTYPE
            )
            self._model.intent.start_from(prototypes_of(pooled, having), new)
        self._optimizer = make_optimizer(self._model, self._recipe)
        self._best: dict[str, torch.Tensor] = {}
        if found is not None:
            restore(self._model, found.weights)
            restore_optimizer(self._model, self._optimizer, found.optimizer, self._state.step)
            self._best = found.best
        processes.start_equal(self._model)
        padded = why_padded(self._model.encoder.config, device, bf16=self._recipe.bf16)
        logger.info("batches are packed" if padded is None else "batches are padded: %s", *([padded] if padded else []))
        shown_again = self._recipe.consistency_weight and len(dataset.info.scenes) > 1
        # Of what behaviour labels a pass sees a share.
        seen = np.where(self._sure, 1.0, self._recipe.behaviour_share).astype(np.float32)
        weights = class_weights(
            self._train.intents, self._train.weights * seen, labels.intent_classes, self._recipe.class_weight_power
        )
        self._stepper = Stepper(
            self._model,
            self._optimizer,
            self._recipe,
            weights.to(device),
            dataset.scene_tokens() if shown_again else None,
            processes,
            packed=padded is None,
            seed=self._seed,
        )
        # Losses of the newest steps, perhaps still being computed.
        self._losses: list[torch.Tensor] = []
        sure = sum(self._sure)
        per_pass = pass_size(sure, len(self._sure) - sure, self._recipe.behaviour_share)
        self._steps = self._recipe.epochs * -(-per_pass // self._recipe.batch_size)

    def run(
        self, checkpoint_seconds: float, progress: Callable[[Progress], None] | None
    ) -> Literal["finished", "no improvement", "time"]:
        """Train to the end; why it ended."""
        state, recipe, main = self._state, self._recipe, self._processes.main
        board = Board(self._board if main else None, state.step)
        self._began = time.monotonic() - state.seconds
        saved = looked = time.monotonic()
        try:
            # Asked before a pass, not after it: what was killed between its end and its artifact must not go on.
            while (stopped := self._stopped()) is None:
                batches = plan_pass(
                    self._train.lengths,
                    recipe.batch_size,
                    self._seed,
                    state.epoch,
                    always=self._sure,
                    share=recipe.behaviour_share,
                )
                for places in batches[state.batch :]:
                    loss, tokens = self._stepper.step(self._train, places, state.step, self._rate())
                    self._losses.append(loss)
                    state.batch += 1
                    state.step += 1
                    state.tokens += tokens
                    state.seconds = self._clock()
                    now = time.monotonic()
                    if loss.device.type == "cpu" or now - looked >= _LOOK:
                        self._read_losses(board)
                    if main and now - saved >= checkpoint_seconds:
                        self._read_losses(board)
                        self._save()
                        saved = time.monotonic()
                    if now - looked >= _LOOK:
                        if main and progress is not None:
                            progress(self._progress())
                        looked = now
                    if self._max_seconds is not None and state.seconds >= self._max_seconds:
                        break
                self._read_losses(board)
                figures = self._finish_pass()
                state.seconds = self._clock()
                for name, value in figures.scores.items():
                    board.write(f"validation/{name}", value, state.step)
                board.write("train/learning_rate", self._rate(), state.step)
                if main and progress is not None:
                    progress(self._progress())
                if main and time.monotonic() - saved >= checkpoint_seconds:
                    self._save()
                    saved = time.monotonic()
            if main and recipe.runs > 1:
                # The run is over, the training is not: what goes on with it must find the run done.
                self._save()
        finally:
            board.close()
        return stopped

    @property
    def recipe(self) -> Recipe:
        """How it trains."""
        return self._recipe

    @property
    def seconds(self) -> float:
        """Spent so far on this run and those that it took in."""
        return sum(trainer._state.seconds for trainer in (self, *self._others))

    def leaves_time_for_another(self) -> bool:
        """Whether a run as long as this one would still end in time."""
        return self._max_seconds is None or self._max_seconds - self.seconds >= self._state.seconds

    def take_in(self, other: _Trainer) -> None:
        """Count the weights of another run, which has ended, for the mean."""
        self._others.append(other)

    def _stopped(self) -> Literal["finished", "no improvement", "time"] | None:
        """Why the training has ended; None: another pass begins, or goes on."""
        state, passed = self._state, bool(self._state.history) and self._state.batch == 0
        if passed and self._max_seconds is not None:
            # What a pass could not get far into is no pass.
            another = state.epoch < self._recipe.epochs
            least = _LEAST_OF_A_PASS * state.seconds / state.epoch if another else 0.0
            if state.seconds + least >= self._max_seconds:
                return "time"
        if passed and len(self._validation) and state.epoch - 1 - state.best_epoch >= self._recipe.patience:
            return "no improvement"
        return "finished" if state.epoch >= self._recipe.epochs else None

    def _clock(self) -> float:
        """Seconds of training so far; where they decide something, those of process 0."""
        seconds = time.monotonic() - self._began
        return seconds if self._max_seconds is None else self._processes.agree_on(seconds)

    def _rate(self) -> float:
        left = None if self._max_seconds is None else 1.0 - self._state.seconds / self._max_seconds
        return rate_at(self._state.step, self._steps, self._recipe.warmup_share, left)

    def _read_losses(self, board: Board) -> None:
        first = self._state.step - len(self._losses) + 1
        for step, loss in enumerate(self._losses, start=first):
            value = float(loss)
            if not math.isfinite(value):
                raise TrainingDivergedError(
                    f"training diverged: the loss of step {step:,} is {value}; take a learning rate below "
                    f"{self._recipe.learning_rate:g}"
                )
            self._state.loss_sum += value
            board.write("train/loss", value, step)
        self._losses.clear()

    def _finish_pass(self) -> EpochFigures:
        state = self._state
        judged: tuple[dict[str, float], float] = ({}, 0.0)
        if len(self._validation) and self._processes.main:
            outputs = run_split(self._model, self._validation, self._processes.device, bf16=self._recipe.bf16)
            judged = scores_of(outputs), chance_of(outputs)
        scores, chance = json.loads(self._processes.agree(json.dumps(judged)))
        figures = EpochFigures(epoch=state.epoch, loss=state.loss_sum / max(1, state.batch), scores=scores)
        score = scores.get("score", _UNTRAINED_BEFORE)
        highest = score if state.best_score is None else max(score, state.best_score)
        # Of passes that the validation texts cannot tell apart the last one has learned most, at the lowest rate.
        if score >= highest - chance:
            state.best_epoch = state.epoch
            self._best = snapshot(self._model)
        state.best_score = highest
        state.history.append(figures)
        state.epoch, state.batch, state.loss_sum = state.epoch + 1, 0, 0.0
        return figures

    def _save(self) -> None:
        save_checkpoint(
            self._checkpoints,
            Checkpoint(self._state, snapshot(self._model), optimizer_tensors(self._model, self._optimizer), self._best),
        )

    def _progress(self) -> Progress:
        state, runs = self._state, self._recipe.runs
        return Progress(
            epoch=state.epoch + self._run * self._recipe.epochs,
            epochs=runs * self._recipe.epochs,
            step=state.step + self._run * self._steps,
            steps=runs * self._steps,
            loss=state.loss_sum / state.batch if state.batch else (state.history[-1].loss if state.history else 0.0),
            seconds=self._spent + state.seconds,
            scores=state.history[-1].scores if state.history else {},
            rate=self._rate(),
        )

    def result(self, stopped: Literal["finished", "no improvement", "time"]) -> TrainingResult:
        """The model at its best pass; process 0 alone asks for it."""
        state, states = self._state, [self._state, *(other._state for other in self._others)]
        found = [self._best, *(other._best for other in self._others)]
        restore(self._model, {name: torch.stack([best[name] for best in found]).mean(0) for name in self._best})
        self._model.merge_rows()
        model = self._model.to("cpu").eval()
        attend_for(model.encoder, torch.device("cpu"), bf16=False)
        outputs = None
        if len(self._validation):
            # In float32, as the model is served: calibration is fitted on what will be seen.
            outputs = run_split(model, self._validation, torch.device("cpu"), bf16=False)
            head = fit_lexical_head(self._train, self._validation, outputs) if self._recipe.lexical_head else None
            if head is not None:
                model.add_lexical(head)
                outputs = run_split(model, self._validation, torch.device("cpu"), bf16=False)
        return TrainingResult(
            model=model,
            validation=outputs,
            recipe=self._recipe,
            history=tuple(
                figures.model_copy(update={"epoch": figures.epoch + run * self._recipe.epochs})
                for run, of_run in enumerate(states)
                for figures in of_run.history
            ),
            best_epoch=state.best_epoch,
            runs=len(states),
            steps=sum(of_run.step for of_run in states),
            passes=statistics.mean(of_run.step for of_run in states) * self._recipe.epochs / self._steps,
            seconds=self.seconds,
            tokens_per_second=sum(of_run.tokens for of_run in states) / max(self.seconds, 1e-9),
            stopped=stopped,
        )
