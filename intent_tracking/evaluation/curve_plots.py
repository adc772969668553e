"""ROC, precision-recall and abstention curves as pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from intent_tracking.evaluation import style
from intent_tracking.evaluation.abstention import AbstentionCurve
from intent_tracking.evaluation.curves import Curve, Curves, GroupCurves, ScopeCurves
from intent_tracking.evaluation.style import drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED_CURVES = 8
_DASHES = (0, (5, 2))
_DOTS = (0, (4, 4))
# Points of this many of the examples to either side of a place on the axis tell what holds there.
_NEAR = 0.025

_DrawStyle = Literal["default", "steps-pre"]
# As average precision sums them: each step is as high as the point at its right end.
_STEPS: _DrawStyle = "steps-pre"


def roc(curves: Curves) -> Figure:
    """ROC curves: the means, and the labels with the smallest area named."""
    title = "ROC, one intent against the rest"
    return _many(curves, title, "false-positive rate", "true-positive rate", "AUC", diagonal=True)


def precision_recall(curves: Curves) -> Figure:
    """Precision-recall curves: the means, and the labels with the smallest area named."""
    title = "Precision and recall, one intent against the rest"
    return _many(curves, title, "recall", "precision", "AP", diagonal=False)


def _many(curves: Curves, title: str, x: str, y: str, area: str, *, diagonal: bool) -> Figure:
    picture = style.figure(8.6, 5.6)
    axes = picture.add_subplot()
    drawn: _DrawStyle = "default" if diagonal else _STEPS
    if diagonal:
        axes.plot([0, 1], [0, 1], color=style.QUIET, linewidth=1, linestyle=_DOTS)
    ranked = sorted(curves.by_label, key=lambda c: (c.area, c.label))
    for curve in ranked[NAMED_CURVES:]:
        axes.plot(curve.x, curve.y, color=style.QUIET, linewidth=0.6, alpha=0.35, drawstyle=drawn)
    for colour, curve in zip(style.SERIES[2:], ranked[:NAMED_CURVES], strict=False):
        _one(axes, curve, colour, area, drawn=drawn)
    _one(axes, curves.macro, style.BLUE, area, 2.6, drawn=drawn)
    if curves.micro is not None:
        _one(axes, curves.micro, style.ORANGE, area, 2.6, _DASHES, drawn=drawn)
    rest = len(ranked) - NAMED_CURVES
    note = f"the {NAMED_CURVES} smallest areas are named, the other {rest} are grey" if rest > 0 else ""
    style.dress(axes, title, x, y, note)
    _unit_square(axes)
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8.5)
    return picture


def _one(
    axes: Axes,
    curve: Curve,
    colour: str,
    area: str,
    width: float = 1.3,
    line: str | tuple[int, tuple[int, int]] = "-",
    *,
    drawn: _DrawStyle = "default",
) -> None:
    name = drawable(f"{curve.label}  ({area} {curve.area:.3f})")
    axes.plot(curve.x, curve.y, color=colour, linewidth=width, linestyle=line, label=name, drawstyle=drawn)


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)


def by_scene(scenes: Sequence[GroupCurves]) -> Figure:
    """ROC and precision-recall of each scene: all its intents together, one against the rest (micro)."""
    picture = style.figure(12.4, 5.4)
    left, right = picture.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=style.QUIET, linewidth=1, linestyle=_DOTS)
    for number, scene in enumerate(scenes):
        colour = style.SERIES[number % len(style.SERIES)]
        _one(left, scene.roc, colour, "AUC", 2.0)
        _one(right, scene.precision_recall, colour, f"n = {scene.count:,}, AP", 2.0, drawn=_STEPS)
    note = "all intents of the scene together, one against the rest (micro)"
    style.dress(left, "ROC by scene", "false-positive rate", "true-positive rate", note)
    style.dress(right, "Precision and recall by scene", "recall", "precision", note)
    for axes, corner in ((left, "lower right"), (right, "lower left")):
        _unit_square(axes)
        axes.legend(frameon=False, fontsize=8.5, loc=corner)
    return picture


def out_of_scope(curves: ScopeCurves) -> Figure:
    """Out of scope against the rest: ROC and precision-recall, with the threshold that the model uses."""
    picture = style.figure(12.4, 5.4)
    left, right = picture.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=style.QUIET, linewidth=1, linestyle=_DOTS)
    _one(left, curves.roc, style.BLUE, "AUC", 2.2)
    _one(right, curves.precision_recall, style.BLUE, "AP", 2.2, drawn=_STEPS)
    told = f"threshold: {curves.recall:.1%} recalled"
    left.plot(
        curves.false_rejections,
        curves.recall,
        "o",
        color=style.RED,
        markersize=8,
        label=f"{told}, {curves.false_rejections:.1%} of the others rejected",
    )
    if curves.precision is not None:
        shown = f"{told}, {curves.precision:.1%} of the rejected are out of scope"
        right.plot(curves.recall, curves.precision, "o", color=style.RED, markersize=8, label=shown)
    note = f"{curves.roc.support:,} out-of-scope examples against the rest"
    style.dress(left, "Out of scope: ROC", "in-scope examples rejected", "out-of-scope examples recalled", note)
    style.dress(right, "Out of scope: precision and recall", "recall", "precision", note)
    for axes, corner in ((left, "lower right"), (right, "best")):
        _unit_square(axes)
        axes.legend(frameon=False, fontsize=8.5, loc=corner)
    return picture


def abstention(curve: AbstentionCurve, *, of_sets: bool = False) -> Figure:
    """Accuracy of what is answered against the share answered, and the point where the model itself stands.

    By its familiarity an answer is withheld, and the model's threshold lies on the curve; of sets by its certainty, and
    what the model leaves empty lies beside it.
    """
    by, own = ("certainty", "sets that are not empty") if of_sets else ("familiarity", "threshold")
    picture = style.figure(7.8, 5.0)
    axes = picture.add_subplot()
    axes.plot(curve.coverage, curve.accuracy, color=style.BLUE, linewidth=2.2, label=f"lowest {by} withheld first")
    reached = curve.full_accuracy
    axes.plot(
        [share / 200 for share in range(1, 201)],
        [min(1.0, reached * 200 / share) for share in range(1, 201)],
        color=style.QUIET,
        linewidth=1,
        linestyle=_DOTS,
        label="wrong answers withheld first (the best there could be)",
    )
    if curve.answered_accuracy is not None:
        reads = (
            f"{own}: {curve.answered:.1%} answered" if curve.answered < 1 else "no example is rejected: all answered"
        )
        said = f"{reads}, {curve.answered_accuracy:.1%} of it right"
        axes.plot(curve.answered, curve.answered_accuracy, "o", color=style.RED, markersize=8, label=said)
    style.dress(
        axes,
        "Abstention: accuracy against coverage",
        f"share of examples answered, and the {by} that it takes",
        "share of the answers that is right",
        f"AURC {curve.aurc:.4f}, best possible {curve.best_aurc:.4f}; everything answered: {reached:.1%} right",
    )
    axes.set_xlim(0, 1.01)
    low = min(*curve.accuracy, reached)
    axes.set_ylim(max(0.0, low - 0.15 * (1 - low) - 0.01), 1 + 0.03 * (1 - low) + 0.002)
    shares = [tenth / 10 for tenth in range(0, 11, 2)]
    axes.set_xticks(shares, [f"{share:.0%}{_familiarity(curve, share) if share else ''}" for share in shares])
    axes.set_yticks(*_percentages(*axes.get_ylim()))
    axes.legend(frameon=False, fontsize=8.5, loc="best")
    return picture


def _familiarity(curve: AbstentionCurve, share: float) -> str:
    """A second line for the name of a share answered; empty where no threshold answers about so many."""
    at = min(range(len(curve.coverage)), key=lambda i: abs(curve.coverage[i] - share))
    return f"\n{curve.threshold[at]:.3f}" if abs(curve.coverage[at] - share) <= _NEAR else ""


def _percentages(low: float, high: float) -> tuple[list[float], list[str]]:
    """Places on an axis of shares from `low` to `high`, and their names with the decimals that they need."""
    from matplotlib.ticker import MaxNLocator

    places = [float(at) for at in MaxNLocator(8, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= at <= high]
    step = 100 * min((after - before for before, after in pairwise(places)), default=1.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-6))
    return places, [f"{at:.{decimals}%}" for at in places]
