"""A search on real trainings: what it finds, and that a kill loses no work."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from intent_tracking.modeling.search import search_recipe
from intent_tracking.modeling.search_result import SearchError, SearchProgress, SearchResult, read_found_recipe
from tests.fakes.search_process import search, tiny_dataset
from tests.fakes.tiny_encoder import tiny_encoder

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE = 240.0
TRIALS = 3


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search") / "study"


@pytest.fixture(scope="module")
def whole(encoder: str, folder: Path) -> SearchResult:
    return search(encoder, folder, TRIALS)


def test_the_result_is_the_best_trial_and_no_worse_than_the_default(whole: SearchResult, folder: Path) -> None:
    assert [trial.number for trial in whole.trials] == list(range(TRIALS))
    complete = [trial.score for trial in whole.trials if trial.state == "complete"]
    assert whole.found.score == max(complete) == whole.best.score
    assert whole.found.score >= whole.found.default_score == whole.trials[0].score
    assert whole.found.recipe.learning_rate == whole.best.choices["learning_rate"]
    assert read_found_recipe(folder / "recipe.json") == whole.found


def test_a_search_that_is_done_gives_its_result_again_without_training(
    whole: SearchResult, encoder: str, folder: Path
) -> None:
    seen: list[SearchProgress] = []
    again = search(encoder, folder, TRIALS, seen.append)
    assert seen == []
    assert again.trials == whole.trials
    assert not list(folder.glob("trials/*/checkpoints"))


def test_a_killed_search_goes_on_in_the_middle_of_its_trial_and_finds_the_same(
    whole: SearchResult, encoder: str, tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    command = [sys.executable, "-m", "tests.fakes.search_process", encoder, str(folder), str(TRIALS)]

    def reached() -> int:
        steps = (folder / "trials" / "1" / "checkpoints").glob("step-*")
        return max((int(path.name.removeprefix("step-")) for path in steps), default=0)

    with subprocess.Popen(command, cwd=ROOT) as killed:
        try:
            end = time.monotonic() + DEADLINE
            while reached() < 8:
                assert killed.poll() is None, "the search ended before it could be killed"
                assert time.monotonic() < end
                time.sleep(0.002)
        finally:
            killed.kill()
    assert killed.returncode == -signal.SIGKILL
    step = reached()

    seen: list[SearchProgress] = []
    resumed = search(encoder, folder, TRIALS, seen.append)
    first = next(entry for entry in seen if entry.training is not None)
    assert first.trial == 1
    assert first.training.step >= step
    assert [trial.state for trial in resumed.trials] == [trial.state for trial in whole.trials]
    for trial, expected in zip(resumed.trials, whole.trials, strict=True):
        assert trial.choices == expected.choices
        assert trial.score == pytest.approx(expected.score, abs=1e-6)
        assert trial.passes == expected.passes


def test_a_study_of_other_work_is_not_gone_on_with(whole: SearchResult, encoder: str, folder: Path) -> None:
    with pytest.raises(SearchError, match="another seed; search in another folder"):
        search_recipe(tiny_dataset(encoder), folder, seed=4, device="cpu", max_trials=1)


def test_a_validation_split_without_labels_is_named(encoder: str, tmp_path: Path) -> None:
    dataset = tiny_dataset(encoder)
    nothing = dataset.split("validation").drop_columns(["intent", "tags"])
    blank = pa.array([[-100] * len(ids) for ids in nothing["input_ids"].to_pylist()], pa.list_(pa.int16()))
    nothing = nothing.append_column("intent", pa.nulls(len(nothing), pa.int32())).append_column("tags", blank)
    table = pa.concat_tables([dataset.split("train"), nothing.select(dataset.table.column_names)])
    with pytest.raises(SearchError, match="nothing of the validation split is labelled"):
        search_recipe(replace(dataset, table=table), tmp_path / "study", device="cpu", max_trials=1)


def test_two_processes_do_not_search_in_one_folder(whole: SearchResult, encoder: str, folder: Path) -> None:
    with (folder / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(SearchError, match="another process is searching here"):
            search(encoder, folder, TRIALS)
