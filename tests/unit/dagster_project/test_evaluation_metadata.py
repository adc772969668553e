"""What the evaluation asset shows: figures that Dagster can plot, and the learning curve of the training before it."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest

from dagster_project.defs.evaluation.assets import headline_figures
from dagster_project.defs.training.model import HISTORY_FILE, LearningHistory, learning_history
from intent_tracking.evaluation.report import evaluate_predictions
from intent_tracking.modeling.calibration import Calibration
from tests.fakes.prediction_tables import sure

pytestmark = pytest.mark.unit
LABELS = ("bargain", "purchase")


def test_every_headline_figure_is_a_number_and_what_was_not_measured_is_left_out() -> None:
    table = pa.table({"intent": ["bargain", "purchase", "oos"], "scene": ["cart", "cart", "search"]})
    said = [sure("bargain", LABELS), sure("bargain", LABELS), sure("oos", LABELS)]
    figures = headline_figures(evaluate_predictions(table, said, LABELS, calibration=Calibration(temperature=2.0)))
    assert all(math.isfinite(value) for value in figures.values())
    assert figures["in_scope_accuracy"] == 0.5
    assert figures["out_of_scope_recall"] == 1.0
    assert figures["answered"] == pytest.approx(2 / 3)
    assert {"ece", "ece_before", "aurc", "out_of_scope_auc", "slice/scene/cart/roc_auc"} <= set(figures)
    assert not {"purchase_auc", "span_f1", "slice/scene/search/roc_auc"} & set(figures)


def test_the_learning_history_is_read_back_or_empty(tmp_path: Path) -> None:
    passes = ((1, 2.0, 0.5), (2, 1.0, 0.75))
    assert learning_history(tmp_path) == LearningHistory()
    (tmp_path / HISTORY_FILE).write_text(json.dumps({"passes": passes, "kept": 2}))
    assert learning_history(tmp_path) == LearningHistory(passes, kept=2)
    # Between two runs of a training nothing was learned.
    (tmp_path / HISTORY_FILE).write_text(json.dumps({"passes": [[1, 2.0, None]], "kept": None}))
    [(number, loss, score)] = learning_history(tmp_path).passes
    assert (number, loss, math.isnan(score)) == (1, 2.0, True)
    # Written before the file said which pass is kept.
    (tmp_path / HISTORY_FILE).write_text(json.dumps(passes))
    assert learning_history(tmp_path) == LearningHistory(passes)
