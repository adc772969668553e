"""Hyperparameter search by Optuna: recipes are tried on the validation split, hopeless ones are stopped early, and a
killed search goes on."""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import optuna
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from intent_tracking.modeling.dataset import DatasetInfo, TokenizedDataset
from intent_tracking.modeling.recipe import Recipe
from intent_tracking.modeling.search_result import (
    FoundRecipe,
    SearchError,
    SearchProgress,
    SearchResult,
    Train,
    Trained,
    TrialRecord,
    note_pass,
    rank,
    recipe_of,
)
from intent_tracking.modeling.training import fine_tune
from intent_tracking.modeling.training_result import Progress, TrainingDivergedError
from intent_tracking.modeling.validation import scores_of
from intent_tracking.settings import Device
from intent_tracking.tables import atomic_write_text

_FIRST_JUDGED_TENTH = 3
_UNJUDGED_TRIALS = 4
# Drawn at random before the sampler models what it has seen.
_RANDOM_TRIALS = 6
# A trial that took its process down this often is given up: it may be too large for the machine.
_MOST_RESTARTS = 3
_BATCH_SIZES = (8, 16, 32, 64)
_FEWEST_FOR_IMPORTANCE = 8


def search_space(default: Recipe) -> dict[str, BaseDistribution]:
    """What is searched, around `default`, which always lies in it."""

    def spread(value: float, low: float, high: float, *, log: bool = False) -> FloatDistribution:
        return FloatDistribution(min(low, value), max(high, value), log=log)

    return {
        "learning_rate": spread(default.learning_rate, default.learning_rate / 4, default.learning_rate * 4, log=True),
        "batch_size": CategoricalDistribution(sorted({*_BATCH_SIZES, default.batch_size})),
        "epochs": IntDistribution(min(default.epochs, max(2, default.epochs // 2)), 2 * default.epochs),
        "weight_decay": spread(default.weight_decay, 0.0, 0.1),
        "dropout": spread(default.dropout, 0.0, 0.3),
        "label_smoothing": spread(default.label_smoothing, 0.0, 0.2),
        "head_factor": spread(default.head_factor, 1.0, 20.0, log=True),
        "added_factor": spread(default.added_factor, 1.0, 20.0, log=True),
        "warmup_share": spread(default.warmup_share, 0.0, 0.2),
        "class_weight_power": spread(default.class_weight_power, 0.0, 1.0),
    }


def study_name(dataset: TokenizedDataset, seed: int) -> str:
    """Name of the search on `dataset`: the same work has the same name, so a killed search finds its study again."""
    decides = [dataset.info.model_dump(mode="json"), dataset.labels.model_dump(mode="json"), seed]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:12]


def search_recipe(
    dataset: TokenizedDataset,
    folder: Path,
    *,
    champion: Path | None = None,
    seed: int = 0,
    device: Device = "auto",
    max_trials: int = 20,
    max_seconds: float | None = None,
    checkpoint_seconds: float = 30.0,
    progress: Callable[[SearchProgress], None] | None = None,
) -> SearchResult:
    """Search for a better recipe than `choose_recipe` gives; go on with the study in `folder` where there is one.

    Trial 0 is the default and always ends, so the result is never worse than it on validation. Further trials are drawn
    by a tree-structured Parzen estimator (Bergstra et al. 2011) and stopped when, at a tenth of their passes, they are
    below the median of the others there. The draw of a trial depends on the seed, its place and the trials before it: a
    search that was killed goes on from its study, and its trial from the checkpoint, as if nothing had happened.

    Args:
        dataset: from `prepare_dataset`, with the same champion.
        folder: takes `study.sqlite`, `recipe.json` and `trials/<number>/` with TensorBoard's files.
        champion: artifact that each trial starts from.
        seed: of the sampler, and of each training.
        device: where to train.
        max_trials: that have ended, over all runs of the search.
        max_seconds: of training, over all runs of the search; a trial that it cuts waits for a run with more.
        checkpoint_seconds: as in `fine_tune`.
        progress: called during trials and after each.

    Raises:
        SearchError: there is no validation split, the study is of other work, or another process searches in `folder`.
    """
    if len(dataset.split("validation")) == 0:
        raise SearchError("the dataset has no validation split to judge recipes by; hold examples out for it")

    def train(work_dir: Path, recipe: Recipe | None, report: Callable[[Progress], None]) -> Trained:
        result = fine_tune(
            dataset,
            work_dir=work_dir,
            champion=champion,
            recipe=recipe,
            seed=seed,
            device=device,
            checkpoint_seconds=checkpoint_seconds,
            progress=report,
        )
        score = math.nan if result.validation is None else scores_of(result.validation).get("score", math.nan)
        history = {figures.epoch + 1: figures.scores.get("score", math.nan) for figures in result.history}
        return Trained(result.recipe, score, history, result.seconds)

    return search_with(
        train,
        dataset.info,
        folder,
        name=study_name(dataset, seed),
        seed=seed,
        max_trials=max_trials,
        max_seconds=max_seconds,
        progress=progress,
    )


def search_with(
    train: Train,
    info: DatasetInfo,
    folder: Path,
    *,
    name: str,
    seed: int = 0,
    max_trials: int = 20,
    max_seconds: float | None = None,
    progress: Callable[[SearchProgress], None] | None = None,
) -> SearchResult:
    """As `search_recipe`, for any way to train; `name` tells this work from other work in the same folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder), _opened(folder, name) as study:
        _Search(study, folder / "trials", train, seed, max_trials, max_seconds, progress).run()
        result = _result(study, info, folder.name, seed)
    atomic_write_text(folder / "recipe.json", result.found.model_dump_json(indent=2) + "\n")
    return result


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One search a folder: what runs in the study of a dead process is then known to be dead as well."""
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SearchError(f"{folder}: another process is searching here; wait for it or stop it") from error
        yield


@contextmanager
def _opened(folder: Path, name: str) -> Iterator[optuna.Study]:
    """The study of this work in `folder`.

    SQLite rather than Optuna's journal: the lock of a journal outlives a killed process, and a line that one has torn
    makes the rest unreadable.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file = folder / "study.sqlite"
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    try:
        others = [study for study in optuna.get_all_study_names(storage) if study != name]
        if others:
            raise SearchError(f"{file}: is the study of other data, labels or another seed; search in another folder")
        pruner = optuna.pruners.MedianPruner(_UNJUDGED_TRIALS, _FIRST_JUDGED_TENTH)
        yield optuna.create_study(
            storage=storage, study_name=name, direction="maximize", pruner=pruner, load_if_exists=True
        )
    finally:
        storage.remove_session()
        storage.engine.dispose()


class _OutOfTimeError(Exception):
    """The search has used its time within a trial."""


class _Search:
    def __init__(
        self,
        study: optuna.Study,
        folder: Path,
        train: Train,
        seed: int,
        max_trials: int,
        max_seconds: float | None,
        progress: Callable[[SearchProgress], None] | None,
    ) -> None:
        self._study, self._folder, self._train, self._seed = study, folder, train, seed
        self._max_trials, self._max_seconds = max_trials, max_seconds
        self._progress = progress
        self._best: float | None = None

    def run(self) -> None:
        default = _default_of(self._study) if self._study.get_trials(deepcopy=False) else self._measure_default()
        space = search_space(default)
        for stale in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._queue_again(stale, space)
        while (place := self._ended()) < self._max_trials and not self._is_over(self._spent()):
            # Of its own seed each: one stream of draws would begin anew, and repeat itself, when a search goes on.
            self._study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=_RANDOM_TRIALS, seed=self._seed * 1_000_003 + place
            )
            trial = self._study.ask(space)
            try:
                self._try(trial, place, recipe_of(default, trial.params))
            except _OutOfTimeError:
                trial.set_user_attr("paused", True)
                return
            self._forget_checkpoints(place)

    def _measure_default(self) -> Recipe:
        # Trained before the study knows of it: only then is it certain what the default is.
        try:
            result = self._train(self._folder / "0", None, lambda progress: self._say(0, training=progress))
        except TrainingDivergedError as error:
            raise SearchError(f"the default recipe: {error}") from error
        if not math.isfinite(result.score):
            raise SearchError("nothing of the validation split is labelled: the trials have no score")
        space = search_space(result.recipe)
        self._study.add_trial(
            optuna.create_trial(
                value=result.score,
                params={name: getattr(result.recipe, name) for name in space},
                distributions=space,
                intermediate_values=result.curve({}),
                user_attrs={"recipe": result.recipe.model_dump_json(), "spent": [len(result.history), result.seconds]},
            )
        )
        self._forget_checkpoints(0)
        self._say(0, ended=f"{result.score:.4f}, the default")
        return result.recipe

    def _try(self, trial: optuna.Trial, place: int, recipe: Recipe) -> None:
        # A trial that goes on has its passes noted already, and its checkpoint in the folder of its place.
        scores = dict(self._study.get_trials(deepcopy=False)[trial.number].intermediate_values)
        spent_on_others = self._spent(but=place)

        def report(progress: Progress) -> None:
            self._say(place, training=progress)
            noted = note_pass(progress.epoch, progress.epochs, progress.scores.get("score"), scores)
            over = self._is_over(spent_on_others + progress.seconds)
            if noted or over:
                trial.set_user_attr("spent", [progress.epoch, progress.seconds])
            if noted:
                trial.report(scores[noted[0]], noted[0])
                if trial.should_prune():
                    raise optuna.TrialPruned
                for tenth in noted[1:]:
                    trial.report(scores[tenth], tenth)
            if over:
                raise _OutOfTimeError

        try:
            result = self._train(self._folder / str(place), recipe, report)
        except optuna.TrialPruned:
            self._study.tell(trial, state=TrialState.PRUNED)
            self._say(place, ended="pruned")
        except torch.OutOfMemoryError as error:
            self._fail(trial, place, f"out of memory on the device: {error}")
        except TrainingDivergedError as error:
            self._fail(trial, place, str(error))
        else:
            trial.set_user_attr("spent", [len(result.history), result.seconds])
            # A pass may have ended between its report and the kill; the others are compared with this trial.
            for tenth, reached in result.curve(scores).items():
                trial.report(reached, tenth)
            self._study.tell(trial, result.score)
            self._say(place, ended=f"{result.score:.4f}")

    def _fail(self, trial: optuna.Trial, place: int, why: str) -> None:
        trial.set_user_attr("error", why)
        self._study.tell(trial, state=TrialState.FAIL)
        self._say(place, ended=f"failed: {why}")

    def _queue_again(self, stale: FrozenTrial, space: Mapping[str, BaseDistribution]) -> None:
        """The trial of a process that died, or of a run that had no more time, waits to go on; the old one is closed.

        One that died before all of its choices were drawn needs no place in the queue: the draw is the same again.
        """
        attributes = dict(stale.user_attrs)
        restarts = int(attributes.get("restarts", 0)) + (0 if attributes.pop("paused", False) else 1)
        queued = any(
            trial.user_attrs.get("continues") == stale.number for trial in self._study.get_trials(deepcopy=False)
        )
        if restarts <= _MOST_RESTARTS and not queued and set(stale.params) == set(space):
            self._study.add_trial(
                optuna.create_trial(
                    state=TrialState.WAITING,
                    params=stale.params,
                    distributions=stale.distributions,
                    intermediate_values=stale.intermediate_values,
                    user_attrs={**attributes, "restarts": restarts, "continues": stale.number},
                )
            )
        self._study.tell(stale.number, state=TrialState.FAIL)

    def _ended(self) -> int:
        return sum(record.state != "interrupted" for record in _records(self._study))

    def _spent(self, but: int | None = None) -> float:
        return sum(record.seconds for record in _records(self._study) if record.number != but)

    def _is_over(self, spent: float) -> bool:
        return self._max_seconds is not None and spent >= self._max_seconds

    def _forget_checkpoints(self, place: int) -> None:
        for of_run in (self._folder / str(place)).glob("checkpoints*"):
            shutil.rmtree(of_run, ignore_errors=True)  # TensorBoard's files stay

    def _say(self, place: int, *, training: Progress | None = None, ended: str | None = None) -> None:
        if self._progress is None:
            return
        if self._best is None or ended is not None:
            done = [record for record in _records(self._study) if record.state == "complete"]
            self._best = max(done, key=rank).score if done else None
        self._progress(SearchProgress(place, self._max_trials, self._best, training, ended))


def _default_of(study: optuna.Study) -> Recipe:
    return Recipe.model_validate_json(study.get_trials(deepcopy=False)[0].user_attrs["recipe"])


def _records(study: optuna.Study) -> list[TrialRecord]:
    """The trials in their order; the attempts that another one went on with are left out."""
    records: list[TrialRecord] = []
    trials = study.get_trials(deepcopy=False)
    continued = {trial.user_attrs.get("continues") for trial in trials}
    for trial in trials:
        error = trial.user_attrs.get("error")
        state: Literal["complete", "pruned", "failed", "interrupted"] = "interrupted"
        if trial.state == TrialState.COMPLETE:
            state = "complete"
        elif trial.state == TrialState.PRUNED:
            state = "pruned"
        elif trial.state == TrialState.FAIL:
            state = "failed"
            if error is None and int(trial.user_attrs.get("restarts", 0)) >= _MOST_RESTARTS:
                error = f"its process died {_MOST_RESTARTS + 1} times"
            if error is None or trial.number in continued:
                continue
        curve = tuple(sorted(trial.intermediate_values.items()))
        passes, seconds = trial.user_attrs.get("spent", (0, 0.0))
        records.append(
            TrialRecord(
                number=len(records),
                state=state,
                score=trial.value if state == "complete" else max((score for _, score in curve), default=None),
                choices=dict(trial.params),
                passes=passes,
                seconds=seconds,
                curve=curve,
                error=error,
            )
        )
    return records


def _result(study: optuna.Study, info: DatasetInfo, name: str, seed: int) -> SearchResult:
    records = tuple(_records(study))
    complete = [record for record in records if record.state == "complete"]
    best = max(complete, key=rank)
    found = FoundRecipe(
        recipe=recipe_of(_default_of(study), best.choices),
        study=name,
        base_encoder=info.base_encoder,
        dataset_fingerprint=info.fingerprint,
        parent=info.parent,
        seed=seed,
        score=rank(best)[0],
        default_score=rank(records[0])[0],
        trials=sum(record.state != "interrupted" for record in records),
        found_at=datetime.now(UTC),
    )
    importances: dict[str, float] = {}
    if len(complete) >= _FEWEST_FOR_IMPORTANCE and len({record.score for record in complete}) > 1:
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=seed)
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
        importances = {name: float(share) for name, share in shares.items()}
    return SearchResult(found, records, importances)
