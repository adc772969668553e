"""ROC and precision-recall curves, one label against the rest, with macro and micro means."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from intent_tracking.evaluation.metrics import Floats, Scores
from intent_tracking.modeling.multi_label import names_in
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL
from intent_tracking.modeling.scores import roc_auc

GRID = 201
# Pairs of a text and a label that micro curves sort, several times over: more take gigabytes and minutes.
MOST_MICRO_CELLS = 10_000_000

Targets = NDArray[np.bool_]


@dataclass(frozen=True)
class Curve:
    """Points of one curve and the area under it.

    ROC: `x` false-positive rate, `y` true-positive rate, `area` AUC.
    Precision-recall: `x` recall, `y` precision, `area` average precision: that of steps, each as high as the point at
    its right end.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    area: float
    support: int


@dataclass(frozen=True)
class Curves:
    """The curves of each label that the model knows and that has both positives and negatives, and their means.

    `micro` is without `oos`, whose scores are no probabilities (`metrics.score_matrix`): one order of both would mean
    nothing. It is None where the `cells`, pairs of a text and a label, are more than were allowed, or none.
    """

    by_label: tuple[Curve, ...]
    macro: Curve
    micro: Curve | None
    cells: int


@dataclass(frozen=True)
class GroupCurves:
    """The micro curves of the examples of one group, such as a scene."""

    group: str
    count: int
    roc: Curve
    precision_recall: Curve


@dataclass(frozen=True)
class ScopeCurves:
    """Out of scope against the rest, and the threshold that the model uses as a point on both curves.

    `recall`: out-of-scope examples rejected; `false_rejections`: in-scope examples rejected; `precision`: None where
    nothing was rejected.
    """

    roc: Curve
    precision_recall: Curve
    recall: float
    false_rejections: float
    precision: float | None


def _thin(x: Floats, y: Floats, label: str, area: float, support: int) -> Curve:
    """Keep at most `GRID` points, evenly along the line: enough for a picture, and a JSON report stays small."""
    travelled = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    keep = np.unique(np.searchsorted(travelled, np.linspace(0.0, travelled[-1], GRID)))
    return Curve(label, tuple(map(float, x[keep])), tuple(map(float, y[keep])), float(area), support)


def _targets(truth: Sequence[str], labels: Sequence[str]) -> Targets:
    """Whether an example has a label [examples, labels]: one of them, or several, written `a|b`."""
    place = {label: column for column, label in enumerate(labels)}
    target = np.zeros((len(truth), len(labels)), dtype=bool)
    for row, intent in enumerate(truth):
        # To a model of single labels `a|b` is one more name.
        for name in (intent,) if intent in place else names_in(intent):
            if name in place:
                target[row, place[name]] = True
    return target


def _scorable(target: Targets, labels: Sequence[str], unknown: Collection[str]) -> list[int]:
    positives, unscored = target.sum(axis=0), frozenset(unknown)
    return [i for i, label in enumerate(labels) if label not in unscored and 0 < positives[i] < target.shape[0]]


def _pooled(columns: Sequence[int], labels: Sequence[str]) -> list[int]:
    """Those of the `columns` whose scores are of one scale, for micro curves."""
    return [i for i in columns if labels[i] != OUT_OF_SCOPE_LABEL]


def _roc(target: Targets, scores: Floats | Scores) -> tuple[Floats, Floats, float]:
    from sklearn.metrics import auc, roc_curve

    x, y, _ = roc_curve(target, scores)
    return x, y, float(auc(x, y))


def _precision_recall(target: Targets, scores: Floats | Scores) -> tuple[Floats, Floats, float]:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    precision, recall, _ = precision_recall_curve(target, scores)
    return recall[::-1], precision[::-1], float(average_precision_score(target, scores))


def _step(at: Floats, x: Floats, y: Floats) -> Floats:
    """Height of the steps that average precision sums: that of the first point at or right of each place."""
    height: Floats = y[np.searchsorted(x, at)]
    return height


def _one_against_rest(
    truth: Sequence[str],
    scores: Floats | Scores,
    labels: Sequence[str],
    trace: Callable[[Targets, Floats | Scores], tuple[Floats, Floats, float]],
    at: Callable[[Floats, Floats, Floats], Floats],
    most_cells: int,
    unknown: Collection[str],
) -> Curves | None:
    target = _targets(truth, labels)
    columns = _scorable(target, labels, unknown)
    if not columns:
        return None
    grid = np.linspace(0.0, 1.0, GRID)
    mean = np.zeros(GRID)
    found = []
    for i in columns:
        x, y, area = trace(target[:, i], scores[:, i])
        mean += at(grid, x, y)
        found.append(_thin(x, y, labels[i], area, int(target[:, i].sum())))
    macro = _thin(grid, mean / len(columns), "macro mean", float(np.mean([c.area for c in found])), len(truth))
    pooled, micro = _pooled(columns, labels), None
    cells = len(truth) * len(pooled)
    if 0 < cells <= most_cells:
        x, y, area = trace(target[:, pooled].ravel(), scores[:, pooled].ravel())
        micro = _thin(x, y, "micro mean", area, len(truth))
    return Curves(tuple(found), macro, micro, cells)


def roc_curves(
    truth: Sequence[str],
    scores: Floats | Scores,
    labels: Sequence[str],
    most_cells: int = MOST_MICRO_CELLS,
    *,
    unknown: Collection[str] = (),
) -> Curves | None:
    """One-versus-rest ROC curves; None where no label has both positives and negatives.

    `scores` is `[examples, labels]`; of more than `most_cells` of them there is no micro curve. The macro curve is the
    mean true-positive rate at each false-positive rate. Those of `labels` that the model does not know, `unknown`, are
    named by texts alone: without a score they have no curve and are in no mean.
    """
    return _one_against_rest(truth, scores, labels, _roc, np.interp, most_cells, unknown)


def precision_recall_curves(
    truth: Sequence[str],
    scores: Floats | Scores,
    labels: Sequence[str],
    most_cells: int = MOST_MICRO_CELLS,
    *,
    unknown: Collection[str] = (),
) -> Curves | None:
    """One-versus-rest precision-recall curves, as `roc_curves` gives ROC curves."""
    return _one_against_rest(truth, scores, labels, _precision_recall, _step, most_cells, unknown)


def group_curves(
    truth: Sequence[str],
    scores: Floats | Scores,
    labels: Sequence[str],
    groups: Sequence[str | None],
    most_cells: int = MOST_MICRO_CELLS,
    *,
    unknown: Collection[str] = (),
) -> tuple[GroupCurves, ...]:
    """The micro curves of each group of examples, such as a scene, over the labels but `oos` that occur in it.

    A group in which no such label has both positives and negatives, or with more than `most_cells` scores, is left
    out; `unknown` is as in `roc_curves`.
    """
    found = []
    for group in sorted({g for g in groups if g is not None}):
        rows = [i for i, g in enumerate(groups) if g == group]
        own = [truth[i] for i in rows]
        target = _targets(own, labels)
        columns = _pooled(_scorable(target, labels, unknown), labels)
        if not columns or len(rows) * len(columns) > most_cells:
            continue
        flat = target[:, columns].ravel(), scores[np.ix_(rows, columns)].ravel()
        found.append(
            GroupCurves(
                group,
                len(rows),
                _thin(*(roc := _roc(*flat))[:2], group, roc[2], len(rows)),
                _thin(*(pr := _precision_recall(*flat))[:2], group, pr[2], len(rows)),
            )
        )
    return tuple(found)


def scope_curves(is_out: Sequence[bool], foreign: Sequence[float], rejected: Sequence[bool]) -> ScopeCurves | None:
    """How well a score tells out-of-scope examples from the others, and where the model's threshold lies on it.

    Args:
        is_out: whether each example is out of scope.
        foreign: score, higher for what looks foreign.
        rejected: whether the model called it out of scope.

    Returns:
        None where one kind is missing.
    """
    target, said = np.asarray(is_out, dtype=bool), np.asarray(rejected, dtype=bool)
    if target.all() or not target.any():
        return None
    scores = np.asarray(foreign, dtype=float)
    x, y, area = _roc(target, scores)
    roc = _thin(x, y, "out of scope", area, int(target.sum()))
    x, y, area = _precision_recall(target, scores)
    hits = int((target & said).sum())
    return ScopeCurves(
        roc,
        _thin(x, y, "out of scope", area, int(target.sum())),
        hits / int(target.sum()),
        int((~target & said).sum()) / int((~target).sum()),
        hits / int(said.sum()) if said.any() else None,
    )


def outcome_auc(outcomes: Sequence[bool | None], probabilities: Sequence[float]) -> float | None:
    """ROC AUC of the purchase probability over examples with a known outcome; None where one outcome is missing."""
    rows = [(o, p) for o, p in zip(outcomes, probabilities, strict=True) if o is not None and not math.isnan(p)]
    if len({o for o, _ in rows}) < 2:
        return None
    return roc_auc(np.array([o for o, _ in rows], dtype=bool), np.array([p for _, p in rows]))
