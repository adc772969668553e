from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from intent_tracking.evaluation.metrics import cells_of
from intent_tracking.modeling.multi_label import label_set_scores
from intent_tracking.modeling.scores import macro_f1

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("truth", "predicted"), [([0, 0, 1, 1], [0, 0, 1, 2]), ([0, 1, 1], [3, 3, 1]), ([2, 2], [2, 2])]
)
def test_macro_f1_counts_a_label_that_is_predicted_and_never_true(truth: list[int], predicted: list[int]) -> None:
    """Training took the mean over the true labels and reports over both: one example gave .833 here and .556 there."""
    wanted = f1_score(truth, predicted, average="macro", zero_division=0)
    assert macro_f1(np.array(truth), np.array(predicted)) == pytest.approx(wanted)
    names = [f"label {place}" for place in range(5)]
    cells = cells_of([names[t] for t in truth], [names[p] for p in predicted], names)
    assert macro_f1(*cells) == pytest.approx(wanted)
    sets = [np.eye(5, dtype=bool)[side] for side in (truth, predicted)]
    assert label_set_scores(*sets)["macro_f1"] == pytest.approx(wanted)


def test_macro_f1_of_nothing_is_no_number() -> None:
    empty = np.zeros(0, dtype=np.int64)
    assert np.isnan(macro_f1(empty, empty))
