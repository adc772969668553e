"""What a training tells while it runs, and what it gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from intent_tracking.modeling.checkpoint import EpochFigures
from intent_tracking.modeling.model import IntentModel
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.validation import SplitOutputs


class TrainingDivergedError(ValueError):
    """The loss is not a number any more: nothing that is worth keeping can come of this training."""


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
        runs: trainings whose weights' mean the model has; fewer than the recipe's where there was no time for more.
        steps: optimiser steps of all passes.
        passes: over the examples, a mean over runs; a share where the time ended within one.
        seconds: spent training, over all runs of a resumed training, validation included.
        tokens_per_second: trained on per second, padding left out.
        stopped: why the training ended; "time" where it ended any of several runs.
    """

    model: IntentModel
    validation: SplitOutputs | None
    recipe: Recipe
    history: tuple[EpochFigures, ...]
    best_epoch: int
    runs: int
    steps: int
    passes: float
    seconds: float
    tokens_per_second: float
    stopped: Literal["finished", "no improvement", "time"]

    @property
    def learning_curve(self) -> tuple[tuple[float, float, float], ...]:
        """Pass, from 1, loss and validation score of each, NaN without one; a row of NaN parts two runs."""
        passes = [(one.epoch + 1.0, one.loss, one.scores.get("score", math.nan)) for one in self.history]
        between = [(run * self.recipe.epochs + 0.5, math.nan, math.nan) for run in range(1, self.runs)]
        return tuple(sorted([*passes, *between]))

    @property
    def kept_pass(self) -> int | None:
        """Number, from 1, of the pass whose weights the model has; None: they are a mean of several runs."""
        return self.best_epoch + 1 if self.runs == 1 else None
