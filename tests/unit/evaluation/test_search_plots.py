from __future__ import annotations

from pathlib import Path

import pytest

from intent_tracking.evaluation.search_plots import search_pictures
from intent_tracking.modeling.search_result import TrialRecord

pytestmark = pytest.mark.unit


def trial(number: int, state: str, score: float | None) -> TrialRecord:
    choices = {
        "learning_rate": 1e-4 * (number + 1),
        "batch_size": 8 << number % 3,
        "epochs": 10,
        "dropout": 0.1 * number,
    }
    return TrialRecord(number, state, score, choices, 3, 1.0, ((3, 0.5),), None)


TRIALS = (
    trial(0, "complete", 0.8),
    trial(1, "pruned", 0.2),
    trial(2, "complete", 0.9),
    trial(3, "failed", None),
    trial(4, "interrupted", 0.1),
)


def test_every_picture_of_a_search_is_drawn(tmp_path: Path) -> None:
    names = search_pictures(tmp_path, TRIALS, {"dropout": 0.7, "epochs": 0.3, "batch_size": 0.0})
    assert names == ["search_history.png", "search_parallel.png", "search_slices.png", "search_importances.png"]
    assert all((tmp_path / name).stat().st_size > 5_000 for name in names)


@pytest.mark.parametrize("trials", [TRIALS[:1], (TRIALS[0], TRIALS[3]), (TRIALS[0], trial(1, "complete", 0.8))])
def test_the_first_trials_of_a_search_are_drawn_too(tmp_path: Path, trials: tuple[TrialRecord, ...]) -> None:
    names = search_pictures(tmp_path, trials, {})
    assert names[0] == "search_history.png"
    assert "search_importances.png" not in names
    assert (len(names) > 1) is (len([entry for entry in trials if entry.score is not None]) > 1)
