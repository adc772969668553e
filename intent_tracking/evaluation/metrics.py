"""Figures of a classifier, computed once here and read by the report, the gate and the drift check.

Labels are strings; `Prediction.label` reduces a prediction to one. Everything that can be counted is counted from one
confusion matrix, so that the figures of a report cannot contradict each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL, Prediction

CALIBRATION_BINS = 15
Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


class EvaluationError(ValueError):
    """The data cannot be evaluated; the message says why and what to do."""


@dataclass(frozen=True)
class Interval:
    """A figure with its bootstrap interval (percentile method)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class ClassFigures:
    """Precision, recall and F1 of one label; `support` is how often it is the truth."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class CalibrationBin:
    """The predictions whose confidence lies in `(low, high]`."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class CalibrationFigures:
    """How far a stated confidence is from how often it is right.

    `ece`: expected calibration error, 15 equal-width bins (Guo et al. 2017, arXiv:1706.04599). `brier`: multi-class
    Brier score, 0..2. Both over the examples whose true intent the model knows.
    """

    ece: float
    brier: float
    count: int
    bins: tuple[CalibrationBin, ...]


@dataclass(frozen=True)
class ScopeFigures:
    """How well the model says "none of these". A figure whose denominator is empty is None."""

    recall: float | None
    precision: float | None
    support: int


@dataclass(frozen=True)
class SpanFigures:
    """Exact-match figures of key-information spans (name, start and end all equal; CoNLL-2000 counting)."""

    precision: float
    recall: float
    f1: float
    gold: int
    predicted: int


def score_matrix(predictions: Sequence[Prediction], labels: Sequence[str]) -> Floats:
    """Probabilities as `[predictions, labels]`; a label that the model does not know gets 0.

    Where `oos` is asked for and the model has no such class, its column is one minus the highest probability: a ranking
    score, which is all that ROC and PR curves need.
    """
    place = {label: column for column, label in enumerate(labels)}
    scores = np.zeros((len(predictions), len(labels)))
    for row, prediction in enumerate(predictions):
        known = False
        for intent in prediction.intents:
            column = place.get(intent.name)
            known = known or intent.name == OUT_OF_SCOPE_LABEL
            if column is not None:
                scores[row, column] = intent.probability
        if OUT_OF_SCOPE_LABEL in place and not known:
            scores[row, place[OUT_OF_SCOPE_LABEL]] = 1.0 - max(intent.probability for intent in prediction.intents)
    return scores


def confusion_matrix(truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> Counts:
    """Counts as `[truth, predicted]` in the order of `labels`.

    Raises:
        EvaluationError: the lengths differ, or a label is not among `labels`.
    """
    if len(truth) != len(predicted):
        raise EvaluationError(
            f"{len(truth)} true labels but {len(predicted)} predictions; give one prediction an example"
        )
    place = {label: row for row, label in enumerate(labels)}
    unknown = sorted((set(truth) | set(predicted)) - set(place))
    if unknown:
        raise EvaluationError(f"labels {unknown} are not in the label set; add them to `labels`")
    size = len(labels)
    cells = np.fromiter((place[t] * size + place[p] for t, p in zip(truth, predicted, strict=True)), np.int64)
    return np.bincount(cells, minlength=size * size).reshape(size, size).astype(np.int64)


def accuracy_of(matrix: Counts) -> float:
    """Share of the diagonal; NaN for an empty matrix."""
    total = int(matrix.sum())
    return float(np.trace(matrix) / total) if total else float("nan")


def _f1_by_class(matrix: Counts) -> tuple[Floats, NDArray[np.bool_]]:
    """F1 a class, and which classes occur in the truth or among the predictions."""
    both = matrix.sum(axis=1) + matrix.sum(axis=0)
    present = both > 0
    return np.where(present, 2.0 * np.diag(matrix) / np.maximum(both, 1), 0.0), present


def macro_f1_of(matrix: Counts) -> float:
    """Mean F1 over the labels that occur in the truth or among the predictions: scikit-learn's default `macro`."""
    f1, present = _f1_by_class(matrix)
    return float(f1[present].mean()) if present.any() else float("nan")


def class_figures(matrix: Counts, labels: Sequence[str]) -> tuple[ClassFigures, ...]:
    """Figures of each label, in the order of `labels`; a figure with an empty denominator is 0, as in scikit-learn."""
    hits, support, named = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    f1, _ = _f1_by_class(matrix)
    return tuple(
        ClassFigures(
            label,
            float(hits[i] / named[i]) if named[i] else 0.0,
            float(hits[i] / support[i]) if support[i] else 0.0,
            float(f1[i]),
            int(support[i]),
        )
        for i, label in enumerate(labels)
    )


def bootstrap_matrices(matrix: Counts, draws: int, seed: int) -> Iterable[Counts]:
    """Confusion matrices of `draws` resamples with replacement.

    Resampling examples and counting cells is a multinomial draw over the cells, which needs no pass over the examples.
    """
    total = int(matrix.sum())
    share = matrix.ravel() / total
    for drawn in np.random.default_rng(seed).multinomial(total, share, size=draws):
        yield drawn.reshape(matrix.shape)


def bootstrap(
    matrix: Counts, figure: Callable[[Counts], float], *, draws: int = 500, level: float = 0.95, seed: int = 0
) -> Interval:
    """Interval of a figure of a confusion matrix, e.g. `bootstrap(matrix, macro_f1_of)`.

    Raises:
        EvaluationError: the matrix is empty.
    """
    if not matrix.sum():
        raise EvaluationError("no examples to evaluate; give at least one labelled example")
    values = np.array([figure(drawn) for drawn in bootstrap_matrices(matrix, draws, seed)])
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(figure(matrix), float(low), float(high))


def calibration_figures(
    truth: Sequence[str], predictions: Sequence[Prediction], labels: Sequence[str], bins: int = CALIBRATION_BINS
) -> CalibrationFigures | None:
    """Calibration of the intent head over the in-scope examples whose true label is in `labels` (the model's own set).

    The out-of-scope decision does not enter: it has its own figures. None where no example counts.
    """
    known = set(labels) - {OUT_OF_SCOPE_LABEL}
    rows = [(t, p) for t, p in zip(truth, predictions, strict=True) if t in known]
    if not rows:
        return None
    confidence = np.array([p.intents[0].probability for _, p in rows])
    correct = np.array([p.intents[0].name == t for t, p in rows], dtype=float)
    scores = score_matrix([p for _, p in rows], labels)
    place = {label: i for i, label in enumerate(labels)}
    target = np.zeros_like(scores)
    target[np.arange(len(rows)), [place[t] for t, _ in rows]] = 1.0
    edges = np.linspace(0.0, 1.0, bins + 1)
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for index in range(bins):
        inside = bin_of == index
        count = int(inside.sum())
        mean = (float(confidence[inside].mean()), float(correct[inside].mean())) if count else (0.0, 0.0)
        found.append(CalibrationBin(float(edges[index]), float(edges[index + 1]), count, *mean))
    ece = sum(b.count * abs(b.confidence - b.accuracy) for b in found) / len(rows)
    return CalibrationFigures(float(ece), float(((scores - target) ** 2).sum(axis=1).mean()), len(rows), tuple(found))


def scope_figures(truth: Sequence[str], predicted: Sequence[str]) -> ScopeFigures:
    """Recall and precision of `oos`."""
    is_out = np.array([t == OUT_OF_SCOPE_LABEL for t in truth], dtype=bool)
    says_out = np.array([p == OUT_OF_SCOPE_LABEL for p in predicted], dtype=bool)
    hits, support, said = int((is_out & says_out).sum()), int(is_out.sum()), int(says_out.sum())
    return ScopeFigures(hits / support if support else None, hits / said if said and support else None, support)


def span_figures(
    gold: Sequence[Iterable[tuple[str, int, int]]], predictions: Sequence[Prediction]
) -> SpanFigures | None:
    """Exact-match span figures over all examples together; None where nobody marked a span.

    `gold` holds the spans of each example as (name, start, end), offsets relative to the utterance as in predictions.
    """
    wanted = [set(spans) for spans in gold]
    if not any(wanted):
        return None
    found = [{(k.name, k.start, k.end) for k in p.key_information} for p in predictions]
    hits = sum(len(w & f) for w, f in zip(wanted, found, strict=True))
    total, said = sum(map(len, wanted)), sum(map(len, found))
    precision, recall = hits / said if said else 0.0, hits / total
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return SpanFigures(precision, recall, f1, total, said)
