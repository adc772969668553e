"""ROC and precision-recall curves, one label against the rest, with macro and micro means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from intent_tracking.evaluation.metrics import Floats

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


def _thin(x: Floats, y: Floats, label: str, area: float, support: int) -> Curve:
    """Keep at most `GRID` points: a picture needs no more, and a JSON report should stay small."""
    keep = np.unique(np.linspace(0, len(x) - 1, min(GRID, len(x))).round().astype(int))
    return Curve(label, tuple(map(float, x[keep])), tuple(map(float, y[keep])), float(area), support)


def _one_hot(truth: Sequence[str], labels: Sequence[str]) -> Floats:
    return np.array([[float(t == label) for label in labels] for t in truth])


def _scorable(target: Floats) -> list[int]:
    positives = target.sum(axis=0)
    return [i for i in range(target.shape[1]) if 0 < positives[i] < target.shape[0]]


def roc_curves(truth: Sequence[str], scores: Floats, labels: Sequence[str]) -> Curves | None:
    """One-versus-rest ROC curves; None where no label has both positives and negatives.

    `scores` is `[examples, labels]`. The macro curve is the mean true-positive rate at each false-positive rate.
    """
    from sklearn.metrics import auc, roc_curve

    target = _one_hot(truth, labels)
    columns = _scorable(target)
    if not columns:
        return None
    grid = np.linspace(0.0, 1.0, GRID)
    mean = np.zeros(GRID)
    found = []
    for i in columns:
        x, y, _ = roc_curve(target[:, i], scores[:, i])
        mean += np.interp(grid, x, y)
        found.append(_thin(x, y, labels[i], auc(x, y), int(target[:, i].sum())))
    mean /= len(columns)
    mean[0] = 0.0
    x, y, _ = roc_curve(target[:, columns].ravel(), scores[:, columns].ravel())
    macro = _thin(grid, mean, "macro mean", float(np.mean([c.area for c in found])), len(truth))
    return Curves(tuple(found), macro, _thin(x, y, "micro mean", auc(x, y), len(truth)))


def precision_recall_curves(truth: Sequence[str], scores: Floats, labels: Sequence[str]) -> Curves | None:
    """One-versus-rest precision-recall curves; None where no label has both positives and negatives."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    target = _one_hot(truth, labels)
    columns = _scorable(target)
    if not columns:
        return None
    grid = np.linspace(0.0, 1.0, GRID)
    mean = np.zeros(GRID)
    found = []
    for i in columns:
        precision, recall, _ = precision_recall_curve(target[:, i], scores[:, i])
        mean += np.interp(grid, recall[::-1], precision[::-1])
        area = average_precision_score(target[:, i], scores[:, i])
        found.append(_thin(recall[::-1], precision[::-1], labels[i], area, int(target[:, i].sum())))
    flat_target, flat_scores = target[:, columns].ravel(), scores[:, columns].ravel()
    precision, recall, _ = precision_recall_curve(flat_target, flat_scores)
    micro_area = average_precision_score(flat_target, flat_scores)
    macro = _thin(grid, mean / len(columns), "macro mean", float(np.mean([c.area for c in found])), len(truth))
    return Curves(tuple(found), macro, _thin(recall[::-1], precision[::-1], "micro mean", micro_area, len(truth)))


def outcome_auc(outcomes: Sequence[bool | None], probabilities: Sequence[float]) -> float | None:
    """ROC AUC of the purchase probability over examples with a known outcome; None where one outcome is missing."""
    from sklearn.metrics import roc_auc_score

    rows = [(o, p) for o, p in zip(outcomes, probabilities, strict=True) if o is not None and not math.isnan(p)]
    if len({o for o, _ in rows}) < 2:
        return None
    return float(roc_auc_score([o for o, _ in rows], [p for _, p in rows]))
