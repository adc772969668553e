"""Macro-F1, defined once: training chooses its best pass by the figure that reports and gates name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]


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
