"""Macro-F1 and the area under the ROC curve, each defined once: training chooses by what reports and gates name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Scores = npt.NDArray[np.floating]


def macro_f1_of(matrix: Counts) -> float:
    """Mean F1 over the labels that occur in the truth or among the predictions; NaN for an empty matrix.

    That is scikit-learn's default `macro`: a label that is predicted and never true counts 0, so that answers scattered
    over labels that the examples do not have cost something.

    Args:
        matrix: counts as [truth, predicted].
    """
    both = matrix.sum(axis=1) + matrix.sum(axis=0)
    present = both > 0
    if not present.any():
        return float("nan")
    return float((2.0 * np.diag(matrix)[present] / both[present]).mean())


def macro_f1(truth: Counts, predicted: Counts) -> float:
    """`macro_f1_of` for classes, counted from 0 [N]; 0 without any."""
    if not len(truth):
        return 0.0
    size = int(max(truth.max(), predicted.max())) + 1
    return macro_f1_of(np.bincount(truth * size + predicted, minlength=size * size).reshape(size, size))


def roc_auc(truth: npt.NDArray[np.bool_], scores: Scores) -> float:
    """Area under the ROC curve by ranks (Mann and Whitney 1947), ties by half; 0.5 where only one class occurs."""
    positives = int(truth.sum())
    if positives in (0, len(truth)):
        return 0.5
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    area = ranks[truth].sum() - positives * (positives + 1) / 2
    return float(area / (positives * (len(truth) - positives)))
