"""F1 over labels and the area under the ROC curve, each defined once: of reports, gates and the choice of passes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Scores = npt.NDArray[np.floating]


def macro_f1(truth: Counts, predicted: Counts, counts: Counts | None = None) -> float:
    """Mean F1 over the labels that occur in the truth or among the predictions; NaN where none does.

    That is scikit-learn's default `macro`: a label that is predicted and never true counts 0, so that answers scattered
    over labels that the examples do not have cost something.

    Args:
        truth, predicted: labels by number, from 0 [N].
        counts: how often each pair occurred [N]; None: once.
    """
    size = int(max(truth.max(initial=0), predicted.max(initial=0))) + 1
    same = truth == predicted
    right = np.bincount(truth[same], None if counts is None else counts[same], size)
    return mean_f1(right, np.bincount(truth, counts, size) + np.bincount(predicted, counts, size))


def mean_f1(right: npt.NDArray[np.number], occurs: npt.NDArray[np.number]) -> float:
    """Mean F1 over the labels that occur, NaN where none does.

    Args:
        right: how often each label is true and predicted at once [labels].
        occurs: how often it is true plus how often it is predicted [labels].
    """
    present = occurs > 0
    return float((2.0 * right[present] / occurs[present]).mean()) if present.any() else float("nan")


def micro_f1(right: npt.NDArray[np.number], occurs: npt.NDArray[np.number]) -> float:
    """F1 over the decisions on all labels together; 1 where none occurs. Arguments as in `mean_f1`."""
    return float(2 * right.sum() / occurs.sum()) if occurs.any() else 1.0


def f1_of_true_labels(truth: Counts, predicted: Counts) -> tuple[npt.NDArray[np.float64], Counts]:
    """F1 of each label that occurs in the truth, and how often it does.

    Their mean compares two models on examples that lack rare labels: an answer with one of those costs what any error
    costs, where in `macro_f1` it is a whole class of 0.

    Args:
        truth, predicted: labels by number, from 0 [N].
    """
    size = int(max(truth.max(initial=0), predicted.max(initial=0))) + 1
    right, support = np.bincount(truth[truth == predicted], minlength=size), np.bincount(truth, minlength=size)
    occurs = support > 0
    f1 = 2.0 * right[occurs] / (support + np.bincount(predicted, minlength=size))[occurs]
    return f1, support[occurs]


def roc_auc(truth: npt.NDArray[np.bool_], scores: Scores) -> float:
    """Area under the ROC curve by ranks (Mann and Whitney 1947), ties by half; 0.5 where only one class occurs."""
    positives = int(truth.sum())
    if positives in (0, len(truth)):
        return 0.5
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    area = ranks[truth].sum() - positives * (positives + 1) / 2
    return float(area / (positives * (len(truth) - positives)))
