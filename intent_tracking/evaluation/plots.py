"""The pictures of an evaluation, as PNG files. Each function writes one file and returns its name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from intent_tracking.evaluation import style
from intent_tracking.evaluation.curves import Curve, Curves
from intent_tracking.evaluation.metrics import CalibrationFigures, Counts, Floats
from intent_tracking.evaluation.style import drawable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from intent_tracking.evaluation.report import Confusion, SliceFigures

READABLE_CLASSES = 25
LISTED_PAIRS = 20
NAMED_CURVES = 8


def confusion_matrix(folder: Path, confusion: Confusion) -> str:
    """Up to 25 labels: each cell with its count. More: shares of each row, worst labels first, worst pairs beside."""
    counts = np.array(confusion.counts, dtype=float)
    used = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    if len(used) <= READABLE_CLASSES:
        return _small_confusion(folder, [confusion.labels[i] for i in used], counts[np.ix_(used, used)])
    return _large_confusion(folder, confusion, counts, used)


def _shares(
    counts: Floats,
) -> Floats:
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1.0))


def _small_confusion(folder: Path, labels: Sequence[str], counts: Floats) -> str:
    from matplotlib.colors import PowerNorm

    size = len(labels)
    shares = _shares(counts)
    side = max(5.2, 2.2 + 0.52 * size)
    picture = style.figure(side + 0.9, side)
    axes = picture.add_subplot()
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.6, 0.0, 1.0))
    font = 8.5 if size <= 14 else 6.5
    for row in range(size):
        for column in range(size):
            if counts[row, column]:
                colour = "white" if shares[row, column] > 0.45 else style.INK
                axes.text(
                    column, row, f"{int(counts[row, column]):,}", ha="center", va="center", color=colour, fontsize=font
                )
    total = counts.sum()
    style.dress(
        axes,
        "Confusion matrix",
        "predicted",
        "true",
        f"{int(total):,} examples, {np.trace(counts) / max(total, 1):.1%} on the diagonal; colour: share of the row",
    )
    axes.grid(visible=False)
    axes.set_xticks(range(size), [drawable(label) for label in labels], rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(size), [drawable(label) for label in labels])
    bar = picture.colorbar(image, ax=axes, shrink=0.7, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8, colors=style.QUIET)
    return style.save(picture, folder, "confusion_matrix")


def _large_confusion(
    folder: Path,
    confusion: Confusion,
    counts: Floats,
    used: Counts,
) -> str:
    from matplotlib.colors import PowerNorm

    shares = _shares(counts)
    order = used[np.argsort(np.diag(shares)[used], kind="stable")]
    sorted_shares = shares[np.ix_(order, order)]
    picture = style.figure(15.5, 8.2)
    left, right = picture.subplots(1, 2, width_ratios=(1.15, 1))
    image = left.imshow(sorted_shares, cmap="magma_r", norm=PowerNorm(0.45, 0.0, 1.0), interpolation="nearest")
    total = counts.sum()
    style.dress(
        left,
        f"Confusion matrix of {len(order)} labels",
        "predicted (rank)",
        "true (rank: lowest recall first)",
        f"{int(total):,} examples, {np.trace(counts) / max(total, 1):.1%} on the diagonal; colour: share of the row",
    )
    left.grid(visible=False)
    bar = picture.colorbar(image, ax=left, shrink=0.7, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8, colors=style.QUIET)

    pairs = confusion.worst_pairs(LISTED_PAIRS)
    place = {label: i for i, label in enumerate(confusion.labels)}
    rows = range(len(pairs))
    part = [count / max(counts[place[truth]].sum(), 1) for truth, _, count in pairs]
    right.barh(rows, part, color=style.RED, height=0.68)
    names = [drawable(f"{truth}  →  {predicted}") for truth, predicted, _ in pairs]
    right.set_yticks(rows, names)
    for row, (share, (_, _, count)) in enumerate(zip(part, pairs, strict=True)):
        right.text(share, row, f"  {share:.0%}  ({count})", va="center", fontsize=8, color=style.INK)
    style.dress(right, "Most confused", "share of the true label", "", "true → predicted, by count")
    right.grid(visible=False, axis="y")
    right.set_xlim(0, max(part, default=1.0) * 1.25)
    right.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    right.invert_yaxis()
    return style.save(picture, folder, "confusion_matrix")


def roc(folder: Path, curves: Curves) -> str:
    """ROC curves: the means, and the labels with the smallest area named."""
    return _curves(
        folder,
        curves,
        "roc",
        "ROC, one intent against the rest",
        "false-positive rate",
        "true-positive rate",
        "AUC",
        True,
    )


def precision_recall(folder: Path, curves: Curves) -> str:
    """Precision-recall curves: the means, and the labels with the smallest area named."""
    return _curves(
        folder,
        curves,
        "precision_recall",
        "Precision and recall, one intent against the rest",
        "recall",
        "precision",
        "AP",
        False,
    )


def _curves(folder: Path, curves: Curves, name: str, title: str, x: str, y: str, area: str, diagonal: bool) -> str:
    picture = style.figure(8.6, 5.6)
    axes = picture.add_subplot()
    if diagonal:
        axes.plot([0, 1], [0, 1], color=style.QUIET, linewidth=1, linestyle=(0, (4, 4)))
    ranked = sorted(curves.by_label, key=lambda c: (c.area, c.label))
    for curve in ranked[NAMED_CURVES:]:
        axes.plot(curve.x, curve.y, color=style.QUIET, linewidth=0.6, alpha=0.35)
    for colour, curve in zip(style.SERIES[2:], ranked[:NAMED_CURVES], strict=False):
        _one(axes, curve, colour, 1.3, "-", area)
    _one(axes, curves.macro, style.BLUE, 2.6, "-", area)
    _one(axes, curves.micro, style.ORANGE, 2.6, (0, (5, 2)), area)
    rest = len(ranked) - NAMED_CURVES
    note = f"the {NAMED_CURVES} smallest areas are named, the other {rest} are grey" if rest > 0 else ""
    style.dress(axes, title, x, y, note)
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.02)
    handles, names = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], names[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8.5)
    return style.save(picture, folder, name)


def _one(
    axes: Axes, curve: Curve, colour: str, width: float, line: str | tuple[int, tuple[int, int]], area: str
) -> None:
    name = drawable(f"{curve.label}  ({area} {curve.area:.3f})")
    axes.plot(curve.x, curve.y, color=colour, linewidth=width, linestyle=line, label=name)


def calibration(folder: Path, figures: CalibrationFigures) -> str:
    """Reliability diagram: how often a stated confidence is right, and how many predictions state it."""
    picture = style.figure(6.4, 6.2)
    top, bottom = picture.subplots(2, 1, height_ratios=(3.2, 1), sharex=True)
    filled = [b for b in figures.bins if b.count]
    top.plot([0, 1], [0, 1], color=style.QUIET, linewidth=1, linestyle=(0, (4, 4)))
    for b in filled:
        top.plot([b.confidence, b.confidence], [b.confidence, b.accuracy], color=style.ORANGE, linewidth=5, alpha=0.35)
    top.plot([b.confidence for b in filled], [b.accuracy for b in filled], "o-", color=style.BLUE, linewidth=1.8)
    style.dress(
        top,
        "Reliability of the stated confidence",
        "",
        "share that is right",
        f"ECE {figures.ece:.3f}, Brier {figures.brier:.3f}, {figures.count:,} examples; dashed: perfect",
    )
    top.set_ylim(0, 1.03)
    width = figures.bins[0].high - figures.bins[0].low
    bottom.bar(
        [(b.low + b.high) / 2 for b in figures.bins],
        [b.count for b in figures.bins],
        width=width * 0.9,
        color=style.BLUE,
    )
    style.dress(bottom, "", "confidence", "examples")
    bottom.set_xlim(0, 1)
    return style.save(picture, folder, "calibration")


def learning_curve(folder: Path, history: Sequence[tuple[int, float, float]]) -> str:
    """Training loss and validation macro-F1 by epoch, from (epoch, loss, macro-F1); NaN where none was measured."""
    picture = style.figure(7.6, 4.6)
    axes = picture.add_subplot()
    steps = [step for step, _, _ in history]
    (loss,) = axes.plot(
        steps, [loss for _, loss, _ in history], color=style.ORANGE, linewidth=2, marker="o", markersize=3
    )
    style.dress(axes, "Learning curve", "epoch", "training loss")
    axes.set_ylim(bottom=0)
    other = axes.twinx()
    (score,) = other.plot(
        steps, [score for _, _, score in history], color=style.BLUE, linewidth=2, marker="o", markersize=3
    )
    scored = [point for point in history if not math.isnan(point[2])]
    if scored:
        step, _, top = max(scored, key=lambda point: point[2])
        other.plot(step, top, "o", color=style.BLUE, markersize=9, markerfacecolor="white", markeredgewidth=2)
        other.annotate(
            f"best {top:.3f}", (step, top), xytext=(0, 10), textcoords="offset points", ha="center", fontsize=8.5
        )
    other.set_ylim(0, 1.08)
    other.set_ylabel("validation macro-F1", color=style.INK, fontsize=9.5)
    other.tick_params(length=0, labelsize=8.5, colors=style.INK)
    for side in ("top", "right", "left", "bottom"):
        other.spines[side].set_visible(False)
    axes.legend(
        [loss, score], ["training loss", "validation macro-F1"], frameon=False, fontsize=8.5, loc="center right"
    )
    return style.save(picture, folder, "learning_curve")


def slices(folder: Path, figures: Sequence[SliceFigures]) -> str:
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
    return style.save(picture, folder, "slices")


def _drifted(drift: bool, enough: bool) -> bool:
    return drift and enough


def _calm(drift: bool, enough: bool) -> bool:
    return enough and not drift


def drift_timeline(
    folder: Path,
    windows: Sequence[tuple[date, int, int, bool, bool]],
    retrained: Sequence[date] = (),
    *,
    min_columns: int,
) -> str:
    """Columns that drifted, day by day.

    `windows` holds (day, drifted columns, measured columns, drift verdict, enough samples); `retrained` the days on
    which a retraining was asked for.
    """
    picture = style.figure(9.4, 3.9)
    axes = picture.add_subplot()
    place = {day: i for i, (day, *_) in enumerate(windows)}
    top = max([measured for _, _, measured, _, _ in windows], default=1)
    kinds = (
        (style.RED, "drift", _drifted),
        (style.BLUE, "no drift", _calm),
    )
    for colour, name, belongs in kinds:
        rows = [(place[d], drifted) for d, drifted, _, drift, enough in windows if belongs(drift, enough)]
        if rows:
            axes.bar([x for x, _ in rows], [max(y, 0.12) for _, y in rows], color=colour, width=0.7, label=name)
    few = [place[d] for d, _, _, _, enough in windows if not enough]
    if few:
        axes.plot(few, [0.35] * len(few), "x", color=style.QUIET, label="too few samples")
    axes.axhline(min_columns - 0.5, color=style.QUIET, linestyle=(0, (4, 4)), linewidth=1)
    for number, day in enumerate(d for d in retrained if d in place):
        axes.axvline(place[day] + 0.5, color=style.GREEN, linewidth=2, label=None if number else "retraining asked for")
    style.dress(
        axes,
        "Drift, day by day",
        "",
        f"drifted columns of {top}",
        f"dashed: {min_columns} columns make a drift, or one that moves far",
    )
    axes.set_ylim(0, top + 0.5)
    step = max(1, len(windows) // 12)
    axes.set_xticks(range(0, len(windows), step), [f"{windows[i][0]:%d %b}" for i in range(0, len(windows), step)])
    axes.grid(visible=False, axis="x")
    axes.legend(frameon=False, fontsize=8.5, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4)
    return style.save(picture, folder, "drift_timeline")


def before_after(
    folder: Path,
    figures: Mapping[str, Mapping[str, tuple[float, float, float]]],
    *,
    title: str = "Before and after the drift",
) -> str:
    """Bars that compare models over situations.

    `figures[situation][model]` is (macro-F1, low, high); each situation holds the same models, in the same order.
    """
    situations = list(figures)
    models = list(figures[situations[0]])
    picture = style.figure(2.2 + 2.1 * len(situations), 4.4)
    axes = picture.add_subplot()
    width = 0.8 / len(models)
    for number, model in enumerate(models):
        x = np.arange(len(situations)) + (number - (len(models) - 1) / 2) * width
        found = [figures[situation][model] for situation in situations]
        value = np.array([f[0] for f in found])
        spread = np.array([[max(f[0] - f[1], 0.0), max(f[2] - f[0], 0.0)] for f in found]).T
        axes.bar(x, value, width=width * 0.92, color=style.SERIES[number % len(style.SERIES)], label=drawable(model))
        axes.errorbar(x, value, yerr=spread, fmt="none", ecolor=style.INK, elinewidth=1, capsize=3)
        for left, f in zip(x, found, strict=True):
            axes.text(left, 0.02, f"{f[0]:.3f}", ha="center", color="white", fontsize=8.5, fontweight="bold")
    style.dress(axes, title, "", "macro-F1", "bars: 95% bootstrap intervals")
    axes.set_xticks(range(len(situations)), [drawable(s) for s in situations])
    axes.set_ylim(0, 1.02)
    axes.grid(visible=False, axis="x")
    axes.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return style.save(picture, folder, "before_after")
