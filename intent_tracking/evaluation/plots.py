"""The pictures of an evaluation but for curves and confusion matrices; `style.save` writes them as PNG files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from intent_tracking.evaluation import style
from intent_tracking.evaluation.metrics import CalibrationFigures
from intent_tracking.evaluation.style import drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from intent_tracking.evaluation.report import SliceFigures


def calibration(
    figures: CalibrationFigures,
    title: str = "Reliability of the stated confidence",
    stated: str = "confidence",
    came_true: str = "share that is right",
) -> Figure:
    """Reliability diagram: how often a stated probability comes true, and how many answers state it."""
    picture = style.figure(6.4, 6.2)
    top, bottom = picture.subplots(2, 1, height_ratios=(3.2, 1), sharex=True)
    filled = [b for b in figures.bins if b.count]
    top.plot([0, 1], [0, 1], color=style.QUIET, linewidth=1, linestyle=(0, (4, 4)))
    for b in filled:
        top.plot([b.confidence, b.confidence], [b.confidence, b.accuracy], color=style.ORANGE, linewidth=5, alpha=0.35)
    top.plot([b.confidence for b in filled], [b.accuracy for b in filled], "o-", color=style.BLUE, linewidth=1.8)
    before = "" if figures.ece_before is None else f" ({figures.ece_before:.3f} before the temperature)"
    stating = sum(b.count for b in figures.bins)
    # Of label sets each text has a decision on each label.
    several = stating != figures.count
    counted = f"{figures.count:,} texts, {stating:,} decisions" if several else f"{figures.count:,} examples"
    style.dress(
        top,
        title,
        "",
        came_true,
        f"ECE {figures.ece:.3f}{before}, Brier {figures.brier:.3f}, {counted}; dashed: perfect",
    )
    top.set_ylim(0, 1.03)
    width = figures.bins[0].high - figures.bins[0].low
    bottom.bar(
        [(b.low + b.high) / 2 for b in figures.bins],
        [b.count for b in figures.bins],
        width=width * 0.9,
        color=style.BLUE,
    )
    style.dress(bottom, "", stated, "decisions" if several else "examples")
    bottom.set_xlim(0, 1)
    return picture


def learning_curve(history: Sequence[tuple[float, float, float]], kept: float | None = None) -> Figure:
    """Training loss and validation score by pass, from (pass, loss, score); NaN where none was measured: a gap.

    The score is the one that chooses the pass (`modeling.validation.scores_of`): the mean F1 of single intents that
    are true, the micro-F1 of sets of them, and without intents that of another head. Without one there is no
    axis for it.

    Args:
        history: passes as counted by the reader, from 1; one that is no whole number only makes a gap, between two
            trainings.
        kept: the pass of `history` whose weights were kept, which need not have the highest score; None: no mark.
    """
    from matplotlib.ticker import MaxNLocator

    picture = style.figure(7.6, 4.6)
    axes = picture.add_subplot()
    steps = [step for step, _, _ in history]
    drawn = axes.plot(
        steps, [loss for _, loss, _ in history], color=style.ORANGE, linewidth=2, marker="o", markersize=3
    )
    between = _between_trainings(steps)
    note = f"{len(between) + 1} trainings" if between else ""
    if between and kept is None:
        note += ", the mean of their weights is kept"
    style.dress(axes, "Learning curve", "pass", "training loss", note)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    passes = [step for step in steps if step == int(step)]
    axes.set_xlim(min(passes) - 0.5, max(passes) + 0.5)
    axes.set_ylim(bottom=0)
    for place in between:
        axes.axvline(place, color=style.QUIET, linewidth=1, zorder=1)
    scores = [score for _, _, score in history]
    scored = not all(map(math.isnan, scores))
    if scored:
        other = axes.twinx()
        drawn += other.plot(steps, scores, color=style.BLUE, linewidth=2, marker="o", markersize=3)
        other.set_ylim(0, 1.12)
        other.set_ylabel("validation score", color=style.INK, fontsize=9.5)
        other.tick_params(length=0, labelsize=8.5, colors=style.INK)
        other.spines[:].set_visible(False)
    if kept is not None:
        _mark(other if scored else axes, kept, next((score for step, _, score in history if step == kept), math.nan))
    axes.legend(
        drawn,
        ["training loss", "validation score"][: len(drawn)],
        frameon=False,
        fontsize=8.5,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=2,
    )
    return picture


def _between_trainings(steps: Sequence[float]) -> list[float]:
    """Gaps that have passes on both sides: where time ran out, further trainings were planned and not made."""
    passes = [step for step in steps if step == int(step)]
    return [step for step in steps if step != int(step) and min(passes) < step < max(passes)]


def _mark(axes: Axes, kept: float, score: float) -> None:
    """The pass that is kept: a line, its name, and a ring on its score where it has one."""
    axes.axvline(kept, color=style.QUIET, linewidth=1, linestyle=(0, (4, 4)), zorder=1)
    name = f"kept: pass {kept:g}"
    if not math.isnan(score):
        name += f", {score:.3f}"
        axes.plot(kept, score, "o", color=style.BLUE, markersize=9, markerfacecolor="white", markeredgewidth=2)
    first, last = axes.get_xlim()
    side = "left" if kept < first + (last - first) / 2 else "right"
    axes.annotate(
        name,
        (kept, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4 if side == "left" else -4, -3),
        textcoords="offset points",
        ha=side,
        va="top",
        fontsize=8.5,
        color=style.INK,
    )


def slices(figures: Sequence[SliceFigures]) -> Figure:
    """Accuracy and macro-F1 of each scene and language, with their bootstrap intervals."""
    rows = list(figures)
    picture = style.figure(8.4, 1.6 + 0.62 * len(rows))
    axes = picture.add_subplot()
    place = np.arange(len(rows), dtype=float)
    for offset, colour, name in ((-0.19, style.BLUE, "accuracy"), (0.19, style.ORANGE, "macro-F1")):
        found = [row.accuracy if name == "accuracy" else row.macro_f1 for row in rows]
        value = np.array([f.value for f in found])
        spread = np.array([[max(f.value - f.low, 0.0), max(f.high - f.value, 0.0)] for f in found]).T
        axes.barh(place + offset, value, height=0.34, color=colour, label=name)
        axes.errorbar(value, place + offset, xerr=spread, fmt="none", ecolor=style.INK, elinewidth=1, capsize=2)
        for y, f in zip(place + offset, found, strict=True):
            axes.text(0.01, y, f"{f.value:.3f}", va="center", color="white", fontsize=8, fontweight="bold")
    style.dress(axes, "By scene and language", "", "", "bars: 95% bootstrap intervals")
    axes.set_yticks(place, [drawable(f"{row.column}: {row.value}\nn = {row.count:,}") for row in rows])
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, 1.02)
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8.5, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    return picture
