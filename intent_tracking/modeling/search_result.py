"""What a search for a recipe gives: the trials, and the best recipe with what it was found on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from intent_tracking.modeling.dataset import DatasetInfo
from intent_tracking.modeling.hardware import choose_device, has_fast_bf16
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.training_result import Progress
from intent_tracking.settings import Device

# Trials are compared at tenths of their own passes: a recipe of 4 passes has come down from its peak rate where one of
# 16 has hardly begun, so that the same pass of both says nothing.
TENTHS = 10


class SearchError(ValueError):
    """A search cannot be made or its result not used; the message says why and what to do."""


class FoundRecipe(BaseModel):
    """The best recipe of a search and what it was found on; the content of `recipe.json`.

    `score` and `default_score` are on the validation split: the trials were chosen by it, so a test set will say less.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    study: str
    base_encoder: str
    dataset_fingerprint: str
    parent: str | None
    seed: int
    score: float
    default_score: float
    trials: int
    found_at: AwareDatetime

    def differences(self, info: DatasetInfo) -> tuple[str, ...]:
        """What the dataset `info` does not share with the one that the recipe was found on."""
        here = {"base_encoder": info.base_encoder, "dataset_fingerprint": info.fingerprint, "parent": info.parent}
        return tuple(name for name, value in here.items() if getattr(self, name) != value)

    def recipe_for(self, info: DatasetInfo, device: Device = "auto") -> Recipe:
        """The recipe for training on `info`, with the arithmetic that `device` is fast at.

        Other data and another parent are taken as they are (see `differences`): new days of the same shop want the same
        recipe.

        Raises:
            SearchError: it was found for another base encoder, whose rates do not carry over.
        """
        if self.base_encoder != info.base_encoder:
            raise SearchError(
                f"the recipe of study {self.study} was found for base encoder {self.base_encoder}, not for "
                f"{info.base_encoder}: run search_job again, or train without the searched recipe"
            )
        return self.recipe.model_copy(update={"bf16": has_fast_bf16(choose_device(device))})


def read_found_recipe(path: Path) -> FoundRecipe:
    """Read `recipe.json`.

    Raises:
        SearchError: it is missing, or not what a search writes.
    """
    if not path.exists():
        raise SearchError(f"{path}: no search has found a recipe yet; run search_job first")
    try:
        return FoundRecipe.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, entry["loc"])) or "the file" for entry in error.errors())
        raise SearchError(f"{path}: {fields} is not what this version writes; run search_job again") from error


@dataclass(frozen=True)
class TrialRecord:
    """One recipe that was tried.

    Attributes:
        number: 0 is the recipe that `choose_recipe` gives.
        state: `interrupted` is one that the next run of the search goes on with.
        score: of a complete trial on validation; of any other the best that it had reached, None where no pass ended.
        choices: the fields of the recipe that are searched.
        passes: passes that ended.
        seconds: spent training.
        curve: score by tenths of its passes.
        error: why it failed.
    """

    number: int
    state: Literal["complete", "pruned", "failed", "interrupted"]
    score: float | None
    choices: Mapping[str, float]
    passes: int
    seconds: float
    curve: tuple[tuple[int, float], ...]
    error: str | None


@dataclass(frozen=True)
class SearchResult:
    """What a search found, and every trial in order.

    `importances` is the share of the variance of the score that each choice accounts for (fANOVA, Hutter et al. 2014);
    empty where too few trials are complete to tell.
    """

    found: FoundRecipe
    trials: tuple[TrialRecord, ...]
    importances: Mapping[str, float]

    @property
    def best(self) -> TrialRecord:
        """The trial of the recipe that was found; of equals the first."""
        return max((trial for trial in self.trials if trial.state == "complete"), key=rank)


@dataclass(frozen=True)
class SearchProgress:
    """Where a search stands: during a trial with the progress of its training, and once with how it ended."""

    trial: int
    trials: int
    best: float | None
    training: Progress | None = None
    ended: str | None = None


@dataclass(frozen=True)
class Trained:
    """What a search needs to know of a training.

    Attributes:
        recipe: that it was trained by.
        score: of the model on validation.
        history: score after each pass, by the passes ended, which count on over the runs of the recipe.
        seconds: spent on all runs.
    """

    recipe: Recipe
    score: float
    history: Mapping[int, float]
    seconds: float

    def curve(self, known: Mapping[int, float]) -> dict[int, float]:
        """Score by tenth of the passes, without the tenths that are `known`."""
        scores = dict(known)
        for ended, score in self.history.items():
            note_pass(ended, self.recipe.epochs * self.recipe.runs, score, scores)
        return {tenth: score for tenth, score in scores.items() if tenth not in known}


Train = Callable[[Path, Recipe | None, Callable[[Progress], None]], Trained]
"""Trains in a folder by a recipe (None: the default), goes on from what lies there, and reports its progress."""


def note_pass(ended: int, passes: int, score: float | None, scores: dict[int, float]) -> list[int]:
    """Note `score`, of the last of `ended` passes, at the tenths of `passes` from there until the next one ends.

    Returns:
        Those tenths, unless they were noted before.
    """
    first, following = (-(-TENTHS * count // passes) for count in (ended, ended + 1))
    if score is None or first in scores:
        return []
    noted = list(range(max(first, 1), min(following, TENTHS + 1)))
    scores.update(dict.fromkeys(noted, score))
    return noted


def recipe_of(default: Recipe, choices: Mapping[str, float]) -> Recipe:
    """`default` with `choices`; patience grows and shrinks with the passes."""
    epochs = int(choices["epochs"])
    patience = default.patience if epochs == default.epochs else round(default.patience * epochs / default.epochs)
    return default.model_copy(update={**choices, "patience": max(2, patience)})


def rank(record: TrialRecord) -> tuple[float, int]:
    """Of equal scores the first trial is the best: the default, where nothing beats it."""
    return (-math.inf if record.score is None else record.score, -record.number)
