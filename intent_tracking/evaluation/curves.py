"""ROC and precision-recall curves, one label against the rest, with macro and micro means."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from intent_tracking.evaluation.metrics import Floats
from intent_tracking.modeling.multi_label import names_in

GRID = 201


@dataclass(frozen=True)
class Curve:
    """Points of one curve and the area under it.

    ROC: `x` false-positive rate, `y` true-positive rate, `area` AUC.
    Precision-recall: `x` recall, `y` precision, `area` average precision.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    area: float
    support: int


@dataclass(frozen=True)
class Curves:
    """The curves of each label that has both positives and negatives, and their means."""

    by_label: tuple[Curve, ...]
    macro: Curve
    micro: Curve


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


def _targets(truth: Sequence[str], labels: Sequence[str]) -> Floats:
    """1 where an example has a label: one of them, or several, written `a|b`."""
    place = {label: column for column, label in enumerate(labels)}
    target = np.zeros((len(truth), len(labels)))
    for row, intent in enumerate(truth):
        for name in names_in(intent) or (intent,):
            if name in place:
                target[row, place[name]] = 1.0
    return target


def _scorable(target: Floats) -> list[int]:
    positives = target.sum(axis=0)
    return [i for i in range(target.shape[1]) if 0 < positives[i] < target.shape[0]]


def _roc(target: Floats, scores: Floats) -> tuple[Floats, Floats, float]:
    from sklearn.metrics import auc, roc_curve

    x, y, _ = roc_curve(target, scores)
    return x, y, float(auc(x, y))


def _precision_recall(target: Floats, scores: Floats) -> tuple[Floats, Floats, float]:
    from sklearn.metrics import average_precision_score, precision_recall_curve

    precision, recall, _ = precision_recall_curve(target, scores)
    return recall[::-1], precision[::-1], float(average_precision_score(target, scores))


def _one_against_rest(
    truth: Sequence[str],
    scores: Floats,
    labels: Sequence[str],
    trace: Callable[[Floats, Floats], tuple[Floats, Floats, float]],
) -> Curves | None:
    target = _targets(truth, labels)
    columns = _scorable(target)
    if not columns:
        return None
    grid = np.linspace(0.0, 1.0, GRID)
    mean = np.zeros(GRID)
    found = []
    for i in columns:
        x, y, area = trace(target[:, i], scores[:, i])
        mean += np.interp(grid, x, y)
        found.append(_thin(x, y, labels[i], area, int(target[:, i].sum())))
    x, y, area = trace(target[:, columns].ravel(), scores[:, columns].ravel())
    macro = _thin(grid, mean / len(columns), "macro mean", float(np.mean([c.area for c in found])), len(truth))
    return Curves(tuple(found), macro, _thin(x, y, "micro mean", area, len(truth)))


def roc_curves(truth: Sequence[str], scores: Floats, labels: Sequence[str]) -> Curves | None:
    """One-versus-rest ROC curves; None where no label has both positives and negatives.

    `scores` is `[examples, labels]`. The macro curve is the mean true-positive rate at each false-positive rate.
    """
    return _one_against_rest(truth, scores, labels, _roc)


def precision_recall_curves(truth: Sequence[str], scores: Floats, labels: Sequence[str]) -> Curves | None:
    """One-versus-rest precision-recall curves; None where no label has both positives and negatives."""
    return _one_against_rest(truth, scores, labels, _precision_recall)


def group_curves(
    truth: Sequence[str], scores: Floats, labels: Sequence[str], groups: Sequence[str | None]
) -> tuple[GroupCurves, ...]:
    """The micro curves of each group of examples, such as a scene, over the labels that occur in it.

    A group without a label that has both positives and negatives is left out.
    """
    found = []
    for group in sorted({g for g in groups if g is not None}):
        rows = [i for i, g in enumerate(groups) if g == group]
        own = [truth[i] for i in rows]
        target = _targets(own, labels)
        columns = _scorable(target)
        if not columns:
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
    x, y, area = _roc(target.astype(float), scores)
    roc = _thin(x, y, "out of scope", area, int(target.sum()))
    x, y, area = _precision_recall(target.astype(float), scores)
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
    from sklearn.metrics import roc_auc_score

    rows = [(o, p) for o, p in zip(outcomes, probabilities, strict=True) if o is not None and not math.isnan(p)]
    if len({o for o, _ in rows}) < 2:
        return None
    return float(roc_auc_score([o for o, _ in rows], [p for _, p in rows]))
