"""Figures of a classifier, computed once here and read by the report, the gate and the drift check.

Labels are strings; `Prediction.label` reduces a prediction to one. Everything that can be counted is counted from the
cells of one confusion matrix, so that the figures of a report cannot contradict each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from intent_tracking.modeling.calibration import (
    CALIBRATION_BINS,
    CalibrationBin,
    expected_calibration_error,
    reliability_bins,
)
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL, Prediction, RankedIntents

Floats = NDArray[np.float64]
Scores = NDArray[np.float32]
Counts = NDArray[np.int64]
# Float32 probabilities sum to 1 within this: what is missing beyond it is real.
_ROUNDING = 1e-5
# So many probabilities are worked on at once: of thousands of labels, those of all texts would take gigabytes.
_CELLS_AT_ONCE = 1 << 22


class EvaluationError(ValueError):
    """The data cannot be evaluated; the message says why and what to do."""


class Cells(NamedTuple):
    """The cells of a confusion matrix that are not empty: K labels make K * K of them, of which N examples fill N.

    Labels by number, and how often the two met; each [C].
    """

    truth: Counts
    predicted: Counts
    counts: Counts


Figure = Callable[[Counts, Counts, Counts], float]


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
class CalibrationFigures:
    """How far a stated probability is from how often it comes true.

    `ece`: expected calibration error; `ece_before`: the same with the temperature taken back, None where it is not
    known or 1, which changes nothing. `brier`: squared error, 0..2 for intents (all classes), 0..1 for the purchase.
    `count` is of examples; the bins count what is stated about them, of label sets a decision on each label.
    """

    ece: float
    ece_before: float | None
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
    """Exact-match figures of key-information spans (name, start and end all equal; CoNLL-2000 counting).

    `by_name` holds the same for each kind of key information; there `label` is its name and `support` the marked spans.
    """

    precision: float
    recall: float
    f1: float
    gold: int
    predicted: int
    by_name: tuple[ClassFigures, ...] = ()


def score_matrix(predictions: Sequence[Prediction], labels: Sequence[str]) -> Scores:
    """Probabilities as `[predictions, labels]`; a label that the model does not know gets 0.

    Where `oos` is asked for its column is one minus the familiarity, by which the model decides: a ranking score, which
    is all that ROC and PR curves need.
    """
    place = {label: column for column, label in enumerate(labels)}
    # A column more, for labels that are not asked for.
    scores = np.zeros((len(predictions), len(labels) + 1), dtype=np.float32)
    known: tuple[str, ...] = ()
    columns = np.zeros(0, dtype=np.int64)
    for row, prediction in enumerate(predictions):
        found = prediction.intents
        if isinstance(found, RankedIntents):
            if found.names is not known:
                known = found.names
                columns = np.array([place.get(name, len(labels)) for name in known], dtype=np.int64)
            scores[row, columns[found.places]] = found.probabilities
        else:
            for intent in found:
                scores[row, place.get(intent.name, len(labels))] = intent.probability
        if OUT_OF_SCOPE_LABEL in place:
            scores[row, place[OUT_OF_SCOPE_LABEL]] = 1.0 - prediction.familiarity
    return scores[:, :-1]


def cells_of(truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> Cells:
    """What is true and what was predicted, counted; labels are numbered in the order of `labels`.

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
    met = np.fromiter((place[t] * size + place[p] for t, p in zip(truth, predicted, strict=True)), np.int64)
    cells, counts = np.unique(met, return_counts=True)
    return Cells(*np.divmod(cells, max(size, 1)), counts)


def accuracy_of(truth: Counts, predicted: Counts, counts: Counts) -> float:
    """Share of the cells on the diagonal; NaN where nothing was counted."""
    total = int(counts.sum())
    return float(counts[truth == predicted].sum() / total) if total else float("nan")


def class_figures(cells: Cells, labels: Sequence[str]) -> tuple[ClassFigures, ...]:
    """Figures of each label, in the order of `labels`; a figure with an empty denominator is 0, as in scikit-learn."""
    truth, predicted, counts = cells
    same = truth == predicted
    columns = ((truth[same], counts[same]), (predicted, counts), (truth, counts))
    hits, named, support = (np.bincount(place, met, len(labels)).astype(int).tolist() for place, met in columns)
    return tuple(map(figures_of, labels, hits, named, support))


def bootstrap(cells: Cells, figure: Figure, *, draws: int = 500, level: float = 0.95, seed: int = 0) -> Interval:
    """Interval of a figure of a confusion matrix, e.g. `bootstrap(cells, macro_f1)`.

    Resampling examples with replacement and counting them is a multinomial draw over the cells that are not empty.

    Raises:
        EvaluationError: there is no example.
    """
    total = int(cells.counts.sum())
    if not total:
        raise EvaluationError("no examples to evaluate; give at least one labelled example")
    generator, share = np.random.default_rng(seed), cells.counts / total
    drawn = (generator.multinomial(total, share) for _ in range(draws))
    values = [figure(cells.truth, cells.predicted, counts) for counts in drawn]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(figure(*cells), float(low), float(high))


def calibration_figures(
    truth: Sequence[str],
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    bins: int = CALIBRATION_BINS,
    *,
    temperature: float | None = None,
) -> CalibrationFigures | None:
    """Calibration of the intent head over the in-scope examples whose true label is in `labels` (the model's own set).

    The out-of-scope decision does not enter: it has its own figures. None where no example counts. With the
    `temperature` that the predictions were made at, the error without it is given too: probabilities at T raised to T
    and scaled to a sum of 1 are those at 1.
    """
    known = [label for label in labels if label != OUT_OF_SCOPE_LABEL]
    place = {label: i for i, label in enumerate(known)}
    rows = [(place[t], p) for t, p in zip(truth, predictions, strict=True) if t in place]
    if not rows:
        return None
    power = None if temperature == 1.0 else temperature
    stated, plain, right, brier = [], [], [], 0.0
    for start in range(0, len(rows), block := max(1, _CELLS_AT_ONCE // len(known))):
        targets = np.array([target for target, _ in rows[start : start + block]])
        scores = score_matrix([p for _, p in rows[start : start + block]], known).astype(np.float64)
        # What is missing to 1 is the probability of "none of these".
        every = np.column_stack([scores, np.clip(1.0 - scores.sum(axis=1), 0.0, 1.0)])
        stated.append(scores.max(axis=1))
        right.append(scores.argmax(axis=1) == targets)
        if power is not None:
            # Of the labels none is too small to count: thousands of them, raised to less than 1, are much together.
            raised = np.column_stack([scores, np.where(every[:, -1] > _ROUNDING, every[:, -1], 0.0)]) ** power
            plain.append(raised[:, :-1].max(axis=1) / raised.sum(axis=1))
        every[np.arange(len(targets)), targets] -= 1.0
        brier += float((every**2).sum())
    correct = np.concatenate(right)
    found = reliability_bins(np.concatenate(stated), correct, bins)
    before = expected_calibration_error(reliability_bins(np.concatenate(plain), correct, bins)) if plain else None
    return CalibrationFigures(expected_calibration_error(found), before, brier / len(rows), len(rows), found)


def outcome_calibration(
    outcomes: Sequence[bool | None], probabilities: Sequence[float], *, temperature: float | None = None
) -> CalibrationFigures | None:
    """Calibration of the purchase probability against what happened; None where no outcome is known."""
    rows = [(o, p) for o, p in zip(outcomes, probabilities, strict=True) if o is not None and not math.isnan(p)]
    if not rows:
        return None
    bought = np.array([o for o, _ in rows], dtype=bool)
    return decision_calibration(np.array([p for _, p in rows]), bought, temperature=temperature)


def decision_calibration(
    stated: Floats, true: NDArray[np.bool_], bins: int = CALIBRATION_BINS, *, temperature: float | None = None
) -> CalibrationFigures:
    """Calibration of probabilities of yes or no against what is true, both [N] or [N, K]; `count` is N.

    With the `temperature` that they were made at, the error without it is given too: the probabilities are sigmoids, of
    which p at T is p^T / (p^T + (1 - p)^T) at 1. `brier` is 0..1.
    """
    found = reliability_bins(stated.ravel(), true.ravel(), bins)
    before = None
    if temperature is not None and temperature != 1.0:
        yes, no = stated**temperature, (1.0 - stated) ** temperature
        before = expected_calibration_error(reliability_bins((yes / (yes + no)).ravel(), true.ravel(), bins))
    brier = float(((stated - true) ** 2).mean())
    return CalibrationFigures(expected_calibration_error(found), before, brier, len(stated), found)


def scope_figures(truth: Sequence[str], predicted: Sequence[str]) -> ScopeFigures:
    """Recall and precision of `oos`."""
    is_out = np.array([t == OUT_OF_SCOPE_LABEL for t in truth], dtype=bool)
    says_out = np.array([p == OUT_OF_SCOPE_LABEL for p in predicted], dtype=bool)
    hits, support, said = int((is_out & says_out).sum()), int(is_out.sum()), int(says_out.sum())
    return ScopeFigures(hits / support if support else None, hits / said if said and support else None, support)


def span_figures(
    gold: Sequence[Iterable[tuple[str, int, int]]], predictions: Sequence[Prediction]
) -> SpanFigures | None:
    """Exact-match span figures, together and by name; None where nobody marked a span.

    `gold` holds the spans of each example as (name, start, end), offsets relative to the utterance as in predictions.
    """
    wanted = [set(spans) for spans in gold]
    if not any(wanted):
        return None
    found = [{(k.name, k.start, k.end) for k in p.key_information} for p in predictions]
    marked, said, hits = Counter[str](), Counter[str](), Counter[str]()
    for w, f in zip(wanted, found, strict=True):
        marked.update(name for name, _, _ in w)
        said.update(name for name, _, _ in f)
        hits.update(name for name, _, _ in w & f)
    overall = figures_of("", hits.total(), said.total(), marked.total())
    by_name = tuple(figures_of(n, hits[n], said[n], marked[n]) for n in sorted(marked | said))
    return SpanFigures(overall.precision, overall.recall, overall.f1, marked.total(), said.total(), by_name)


def figures_of(label: str, hits: int, said: int, support: int) -> ClassFigures:
    """Precision, recall and F1 from counts; a figure with an empty denominator is 0, as in scikit-learn."""
    return ClassFigures(
        label,
        hits / said if said else 0.0,
        hits / support if support else 0.0,
        2 * hits / (said + support) if hits else 0.0,
        support,
    )
