from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.modeling.dataset import DatasetInfo
from intent_tracking.modeling.recipe import Recipe, choose_recipe
from intent_tracking.modeling.search import search_space, search_with
from intent_tracking.modeling.search_result import (
    FoundRecipe,
    SearchError,
    SearchProgress,
    SearchResult,
    Trained,
    note_pass,
    read_found_recipe,
    recipe_of,
)
from intent_tracking.modeling.training_result import Progress, TrainingDivergedError

pytestmark = pytest.mark.unit

DEFAULT = choose_recipe(8_000, 20, [12] * 8_000, bf16=False)
INFO = DatasetInfo(base_encoder="some/encoder", parent=None, max_tokens=64, fingerprint="f" * 64, features=())
FOUND = FoundRecipe(
    recipe=DEFAULT,
    study="5a0c",
    base_encoder=INFO.base_encoder,
    dataset_fingerprint=INFO.fingerprint,
    parent=None,
    seed=0,
    score=0.9,
    default_score=0.8,
    trials=20,
    found_at=datetime(2026, 3, 1, tzinfo=UTC),
)


@pytest.mark.parametrize("default", [DEFAULT, Recipe(epochs=1, batch_size=5, learning_rate=3e-6, dropout=0.5)])
def test_the_default_lies_in_its_own_space(default: Recipe) -> None:
    space = search_space(default)
    assert set(space) <= set(Recipe.model_fields)
    for name, choices in space.items():
        assert choices._contains(choices.to_internal_repr(getattr(default, name))), name


def test_the_choices_of_the_default_give_the_default() -> None:
    assert recipe_of(DEFAULT, {name: getattr(DEFAULT, name) for name in search_space(DEFAULT)}) == DEFAULT


def test_patience_follows_the_passes_and_the_rest_of_the_recipe_stays() -> None:
    longer = recipe_of(DEFAULT, {"epochs": 2 * DEFAULT.epochs, "learning_rate": 1e-3})
    assert (longer.epochs, longer.patience, longer.learning_rate) == (2 * DEFAULT.epochs, 2 * DEFAULT.patience, 1e-3)
    assert longer.head_factor == DEFAULT.head_factor


@pytest.mark.parametrize("seed", range(5))
def test_every_draw_is_a_recipe(seed: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    drawn = recipe_of(DEFAULT, study.ask(search_space(DEFAULT)).params)
    assert Recipe.model_validate_json(drawn.model_dump_json()) == drawn
    assert DEFAULT.learning_rate / 4 <= drawn.learning_rate <= 4 * DEFAULT.learning_rate


def test_a_recipe_of_another_encoder_is_refused_and_other_data_is_said() -> None:
    assert FOUND.differences(INFO) == ()
    assert FOUND.differences(INFO.model_copy(update={"fingerprint": "0", "parent": "v1"})) == (
        "dataset_fingerprint",
        "parent",
    )
    assert FOUND.recipe_for(INFO, "cpu").epochs == DEFAULT.epochs
    with pytest.raises(SearchError, match=r"found for base encoder some/encoder, not for other: run search_job"):
        FOUND.recipe_for(INFO.model_copy(update={"base_encoder": "other"}))


def test_a_missing_or_foreign_recipe_file_says_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "recipe.json"
    with pytest.raises(SearchError, match="run search_job first"):
        read_found_recipe(file)
    file.write_text(FOUND.model_dump_json())
    assert read_found_recipe(file) == FOUND
    file.write_text('{"recipe": {"epochs": "many"}}')
    with pytest.raises(SearchError, match=r"recipe\.epochs.*run search_job again"):
        read_found_recipe(file)


class DiedError(Exception):
    """Stands for the end of the process."""


class Trainer:
    """A training whose score depends on the learning rate alone, best at three times the default's; a pass a second."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, Recipe]] = []
        self.dies_in: dict[str, int] = {}
        self.breaks_in: dict[str, Exception] = {}
        self.is_silent = False

    def __call__(self, work: Path, recipe: Recipe | None, report: Callable[[Progress], None]) -> Trained:
        chosen = recipe or DEFAULT
        self.begun.append((work.name, chosen))
        best = math.exp(-abs(math.log(chosen.learning_rate / (3 * DEFAULT.learning_rate))))
        # What a killed training left: the passes that it goes on from.
        work.mkdir(parents=True, exist_ok=True)
        kept = work / "passes"
        done = int(kept.read_text()) if kept.exists() else 0
        for epoch in range(done + 1, chosen.epochs + 1):
            kept.write_text(str(epoch))
            if self.dies_in.get(work.name) == epoch:
                raise DiedError
            if work.name in self.breaks_in:
                raise self.breaks_in[work.name]
            score = best * epoch / chosen.epochs
            if self.is_silent:
                continue
            report(Progress(epoch, chosen.epochs, epoch, chosen.epochs, 1.0, float(epoch), {"score": score}, 1.0))
        history = {epoch: best * epoch / chosen.epochs for epoch in range(1, chosen.epochs + 1)}
        return Trained(chosen, best, history, float(chosen.epochs))


def searched(train: Trainer, folder: Path, trials: int, seconds: float | None = None) -> SearchResult:
    return search_with(train, INFO, folder, name="work", seed=1, max_trials=trials, max_seconds=seconds)


def test_the_best_recipe_is_found_and_the_default_is_the_first_trial(tmp_path: Path) -> None:
    train = Trainer()
    result = searched(train, tmp_path / "s", 12)
    assert train.begun[0] == ("0", DEFAULT)
    assert result.found.default_score == pytest.approx(1 / 3)
    assert result.found.score == max(t.score for t in result.trials if t.state == "complete") > 0.8
    assert result.found.recipe.learning_rate == result.best.choices["learning_rate"]


def test_what_matters_is_found_where_enough_trials_are_complete(tmp_path: Path) -> None:
    train = Trainer()
    train.is_silent = True
    importances = searched(train, tmp_path / "s", 9).importances
    assert set(importances) == set(search_space(DEFAULT))
    assert sum(importances.values()) == pytest.approx(1.0)
    assert searched(Trainer(), tmp_path / "few", 2).importances == {}


def test_where_nothing_beats_the_default_it_is_the_result(tmp_path: Path) -> None:
    train = Trainer()
    train.breaks_in = {name: TrainingDivergedError("the loss of step 3 is nan") for name in "12"}
    result = searched(train, tmp_path / "s", 3)
    assert result.found.recipe == DEFAULT
    assert [trial.state for trial in result.trials] == ["complete", "failed", "failed"]
    assert "step 3 is nan" in (result.trials[1].error or "")


def test_trials_below_the_median_of_the_others_are_stopped_at_that_tenth(tmp_path: Path) -> None:
    result = searched(Trainer(), tmp_path / "s", 12)
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    assert pruned
    curves = {trial.number: dict(trial.curve) for trial in result.trials}
    for trial in pruned:
        tenth, score = trial.curve[-1]
        others = sorted(
            curves[other.number][tenth]
            for other in result.trials
            if other.number < trial.number and other.state == "complete" and tenth in curves[other.number]
        )
        assert score < others[(len(others) - 1) // 2 + (len(others) - 1) % 2]
        assert trial.passes < trial.choices["epochs"]


def test_curves_of_few_and_of_many_passes_are_compared_at_the_same_share_of_their_passes(tmp_path: Path) -> None:
    for trial in searched(Trainer(), tmp_path / "s", 6).trials:
        if trial.state == "complete":
            epochs, best = trial.choices["epochs"], trial.score
            assert trial.curve[-1] == (10, pytest.approx(best))
            for tenth, score in trial.curve:
                ended = epochs * tenth // 10
                assert score == pytest.approx(best * ended / epochs)


@given(epochs=st.integers(1, 12), runs=st.integers(1, 3), data=st.data())
def test_the_curve_of_a_training_is_that_of_its_reports(epochs: int, runs: int, data: st.DataObject) -> None:
    """The default is judged by its history and the other trials by what they report: runs may stop early in both."""
    lasted = [data.draw(st.integers(1, epochs)) for _ in range(runs)]
    ended = [run * epochs + place for run, passes in enumerate(lasted) for place in range(1, passes + 1)]
    history = {passes: float(passes) for passes in ended}
    live: dict[int, float] = {}
    for passes, score in history.items():
        note_pass(passes, epochs * runs, score, live)
    recipe = DEFAULT.model_copy(update={"epochs": epochs, "runs": runs})
    curve = Trained(recipe, 1.0, history, 1.0).curve({})
    assert curve == live
    assert all(score <= epochs * runs * tenth / 10 for tenth, score in curve.items())


def test_a_search_that_died_goes_on_with_its_trial_and_draws_what_it_would_have_drawn(tmp_path: Path) -> None:
    whole = searched(Trainer(), tmp_path / "whole", 8)
    for died in ("0", "7"):
        train = Trainer()
        train.dies_in = {died: 3}
        with pytest.raises(DiedError):
            searched(train, tmp_path / died, 8)
        assert train.begun[-1][0] == died
        train.dies_in = {}
        resumed = searched(train, tmp_path / died, 8)
        assert [name for name, _ in train.begun].count(died) == 2
        assert resumed.trials == whole.trials


def test_a_trial_that_takes_its_process_down_again_and_again_is_given_up(tmp_path: Path) -> None:
    train = Trainer()
    # The checkpoint does not get past the pass that ends the process: only the first attempt reaches it anew.
    train.breaks_in = {"1": DiedError()}
    for _ in range(4):
        with pytest.raises(DiedError):
            searched(train, tmp_path / "s", 3)
    result = searched(train, tmp_path / "s", 3)
    assert [trial.state for trial in result.trials] == ["complete", "failed", "complete"]
    assert result.trials[1].error == "its process died 4 times"
    assert len({recipe for name, recipe in train.begun if name == "1"}) == 1


def test_a_recipe_that_is_too_large_for_the_device_costs_its_trial_alone(tmp_path: Path) -> None:
    train = Trainer()
    train.breaks_in = {"2": torch.OutOfMemoryError("tried to allocate 9 GiB")}
    result = searched(train, tmp_path / "s", 4)
    assert [trial.state for trial in result.trials] == ["complete", "complete", "failed", "complete"]
    assert "9 GiB" in (result.trials[2].error or "")


def test_time_is_counted_over_all_runs_and_a_cut_trial_waits(tmp_path: Path) -> None:
    folder, seconds = tmp_path / "s", DEFAULT.epochs + 2.0
    train = Trainer()
    cut = searched(train, folder, 5, seconds)
    assert [trial.state for trial in cut.trials] == ["complete", "interrupted"]
    assert cut.found.trials == 1
    assert sum(trial.seconds for trial in cut.trials) == pytest.approx(seconds, abs=1)
    assert searched(train, folder, 5, seconds).trials == cut.trials
    done = searched(train, folder, 2)
    assert [trial.state for trial in done.trials] == ["complete", "complete"]
    assert done.trials[1].choices == cut.trials[1].choices
    assert train.begun[-1][0] == "1"


def test_progress_names_the_trial_the_best_so_far_and_how_each_ended(tmp_path: Path) -> None:
    seen: list[SearchProgress] = []
    search_with(Trainer(), INFO, tmp_path / "s", name="work", max_trials=2, progress=seen.append)
    assert next((entry.trial, entry.ended) for entry in seen if entry.ended) == (0, "0.3333, the default")
    assert {entry.trial for entry in seen} == {0, 1}
    assert seen[-1].best == pytest.approx(max(1 / 3, seen[-1].best or 0))
    assert all((entry.training is None) is (entry.ended is not None) for entry in seen)


def test_a_default_that_diverges_is_an_error(tmp_path: Path) -> None:
    train = Trainer()
    train.breaks_in = {"0": TrainingDivergedError("the loss of step 3 is nan")}
    with pytest.raises(SearchError, match="the default recipe: the loss of step 3 is nan"):
        searched(train, tmp_path / "s", 2)


def test_a_study_of_other_work_is_not_gone_on_with(tmp_path: Path) -> None:
    searched(Trainer(), tmp_path / "s", 1)
    with pytest.raises(SearchError, match="search in another folder"):
        search_with(Trainer(), INFO, tmp_path / "s", name="other work")
