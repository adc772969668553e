"""Figures of a model that gives a text several labels, written `a|b`, or none of them, `oos`.

Sets are counted in the cells of one confusion matrix, as single labels are (`metrics.cells_of`); what is said of one
label is counted from them, so that the figures of a report cannot contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intent_tracking.evaluation.metrics import (
    CalibrationFigures,
    Cells,
    ClassFigures,
    Counts,
    Figure,
    decision_calibration,
    figures_of,
    score_matrix,
)
from intent_tracking.modeling import scores
from intent_tracking.modeling.calibration import CALIBRATION_BINS
from intent_tracking.modeling.multi_label import names_in
from intent_tracking.modeling.prediction import Prediction


def membership(sets: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Which of `labels` each set holds, 0 or 1 [sets, labels]; a name that is not among them is left out."""
    held = np.zeros((len(sets), len(labels)), dtype=np.int64)
    place = {label: column for column, label in enumerate(labels)}
    for row, names in enumerate(map(names_in, sets)):
        held[row, [place[name] for name in names if name in place]] = 1
    return held


def class_figures(cells: Cells, sets: Sequence[str], labels: Sequence[str]) -> tuple[ClassFigures, ...]:
    """Figures of each label over the texts that have it or were given it, in the order of `labels`."""
    right, support, said = _by_label(_held(sets, labels), *cells)
    return tuple(figures_of(label, int(right[i]), int(said[i]), int(support[i])) for i, label in enumerate(labels))


def macro_f1_over(sets: Sequence[str]) -> Figure:
    """Mean F1 over the labels that occur, as a figure of confusion matrices whose rows and columns are `sets`.

    It is 0 where none occurs, as in `modeling.multi_label.label_set_scores`.
    """
    held = _held(sets, _names(sets))

    def figure(truth: Counts, predicted: Counts, counts: Counts) -> float:
        right, support, said = _by_label(held, truth, predicted, counts)
        occurs = support + said
        return scores.mean_f1(right, occurs) if occurs.any() else 0.0

    return figure


def micro_f1(cells: Cells, sets: Sequence[str]) -> float:
    """F1 over the decisions on all labels together; 1 where no text has a label and none was given one."""
    right, support, said = _by_label(_held(sets, _names(sets)), *cells)
    return scores.micro_f1(right, support + said)


def _names(sets: Sequence[str]) -> list[str]:
    return sorted({name for each in sets for name in names_in(each)})


def _held(sets: Sequence[str], labels: Sequence[str]) -> Any:
    """`membership` as a sparse matrix: a set holds few of a thousand labels, and a bootstrap counts them 500 times."""
    from scipy.sparse import csr_matrix

    return csr_matrix(membership(sets, labels))


def _by_label(held: Any, truth: Counts, predicted: Counts, counts: Counts) -> tuple[Counts, Counts, Counts]:
    """For each label the texts that have it and were given it, that have it, and that were given it."""
    true, given = held[truth], held[predicted]
    return counts @ true.multiply(given), counts @ true, counts @ given


def certainty(predictions: Sequence[Prediction], labels: Sequence[str]) -> NDArray[np.float64]:
    """How probable the whole set of each prediction is, its labels taken as independent [predictions].

    The empty set is an answer like another: it is as sure as every label is sure not to hold.
    """
    stated = score_matrix(predictions, labels).astype(np.float64)
    held = membership([prediction.label for prediction in predictions], labels).astype(bool)
    return np.asarray(np.where(held, stated, 1.0 - stated).prod(axis=1))


def calibration_figures(
    truth: Sequence[str],
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    bins: int = CALIBRATION_BINS,
    *,
    temperature: float | None = None,
) -> CalibrationFigures | None:
    """Calibration of every decision, label by label: does this text have it? None without a text or a label.

    Its `count` is of texts; the `temperature` is as in `metrics.decision_calibration`.
    """
    if not truth or not labels:
        return None
    stated = score_matrix(predictions, labels).astype(np.float64)
    return decision_calibration(stated, membership(truth, labels).astype(bool), bins, temperature=temperature)
