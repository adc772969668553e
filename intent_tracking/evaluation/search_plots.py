"""The pictures of a hyperparameter search, as PNG files. Each function writes one file and returns its name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from intent_tracking.evaluation import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from intent_tracking.modeling.search_result import TrialRecord

_COLUMNS = 4
# Choices that are told apart by their ratio.
_LOGARITHMIC = frozenset({"learning_rate", "head_factor", "added_factor", "batch_size"})


def search_pictures(folder: Path, trials: Sequence[TrialRecord], importances: Mapping[str, float]) -> list[str]:
    """All pictures of a search; that of the importances only where there are any, the rest from two trials on.

    `trials` begin with the default.
    """
    names = [history(folder, trials)]
    if len(_scored(trials)) > 1:
        names += [parallel(folder, trials), slices(folder, trials)]
    if importances:
        names.append(importance(folder, importances))
    return names


def history(folder: Path, trials: Sequence[TrialRecord]) -> str:
    """The score of each trial, the best so far, and the default as a line."""
    from matplotlib.ticker import MaxNLocator

    picture = style.figure(8.6, 4.4)
    axes = picture.add_subplot()
    scored = _scored(trials)
    complete = [trial for trial in scored if trial.state == "complete"]
    pruned = [trial for trial in scored if trial.state == "pruned"]
    default = _score(trials[0])
    axes.axhline(default, color=style.QUIET, linestyle=(0, (4, 4)), linewidth=1)
    best = np.maximum.accumulate([_score(trial) for trial in complete])
    places = [trial.number for trial in complete]
    end = max(trial.number for trial in trials)
    axes.step([*places, end], [*best, best[-1]], where="post", color=style.ORANGE, linewidth=2, label="best so far")
    axes.plot(places, [_score(trial) for trial in complete], "o", color=style.BLUE, label="complete")
    axes.plot(
        [trial.number for trial in pruned],
        [_score(trial) for trial in pruned],
        "x",
        color=style.QUIET,
        label="stopped early",
    )
    low = min((trial for trial in scored), key=_score)
    axes.annotate(
        f"best {best[-1]:.4f}",
        (places[int(np.argmax(best))], best[-1]),
        xytext=(0, 8),
        textcoords="offset points",
        ha="center",
        fontsize=8.5,
        color=style.INK,
    )
    style.dress(
        axes,
        "Search, trial by trial",
        "trial",
        "score on validation",
        f"dashed: the default recipe, {default:.4f}; of what was stopped early the best pass is drawn",
    )
    span = max(float(best[-1]) - _score(low), 0.01)
    axes.set_ylim(_score(low) - 0.08 * span, float(best[-1]) + 0.15 * span)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return style.save(picture, folder, "search_history")


def importance(folder: Path, importances: Mapping[str, float]) -> str:
    """Share of the variance of the score that each choice accounts for, the largest first."""
    ranked = sorted(importances.items(), key=lambda entry: (-entry[1], entry[0]))
    picture = style.figure(7.6, 1.4 + 0.34 * len(ranked))
    axes = picture.add_subplot()
    places = range(len(ranked))
    axes.barh(places, [share for _, share in ranked], color=style.BLUE, height=0.68)
    for place, (_, share) in enumerate(ranked):
        axes.text(share, place, f"  {share:.0%}", va="center", fontsize=8.5, color=style.INK)
    axes.set_yticks(places, [name for name, _ in ranked])
    style.dress(axes, "What matters", "share of the variance of the score", "", "fANOVA over the complete trials")
    axes.set_xlim(0, max(share for _, share in ranked) * 1.15 or 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(visible=False, axis="y")
    axes.invert_yaxis()
    return style.save(picture, folder, "search_importances")


def parallel(folder: Path, trials: Sequence[TrialRecord]) -> str:
    """Every trial as a line through its choices to its score, better ones darker; best orange, default dashed."""
    from matplotlib import colormaps

    scored = sorted(_scored(trials), key=_score)
    names = list(scored[0].choices)
    picture = style.figure(1.6 + 1.25 * (len(names) + 1), 5.2)
    axes = picture.add_subplot()
    columns = {name: [trial.choices[name] for trial in trials if trial.choices] for name in names}
    scores = [_score(trial) for trial in scored]
    blues = colormaps["Blues"]
    best = max((trial for trial in scored if trial.state == "complete"), key=_score)
    for trial in [trial for trial in scored if trial is not best] + [best]:
        line = [_place(trial.choices[name], columns[name], name) for name in names]
        line.append(_place(_score(trial), scores, "score"))
        # The lighter third of the colours is too pale for a line.
        colour = style.ORANGE if trial is best else blues((1 + 2 * line[-1]) / 3)
        dashes = (0, (3, 2)) if trial.number == 0 else "-"
        width = 2.6 if trial is best else 1.9 if trial.number == 0 else 1.1
        axes.plot(
            range(len(line)),
            line,
            color=style.INK if trial.number == 0 and trial is not best else colour,
            linewidth=width,
            linestyle=dashes,
        )
    for column, values in enumerate([*columns.values(), scores]):
        axes.axvline(column, color=style.QUIET, linewidth=0.8)
        for value, side, height in ((min(values), "top", -0.03), (max(values), "bottom", 1.03)):
            axes.text(column, height, _said(value), ha="center", va=side, fontsize=8, color=style.INK)
    style.dress(
        axes, "Choices and scores", "", "", "orange: the best recipe; dashed: the default; the darker the better"
    )
    axes.set_xticks(range(len(names) + 1), [*[name.replace("_", "\n") for name in names], "score"])
    axes.set_yticks([])
    axes.set_ylim(-0.1, 1.1)
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.grid(visible=False)
    return style.save(picture, folder, "search_parallel")


def slices(folder: Path, trials: Sequence[TrialRecord]) -> str:
    """The score over each choice alone; the default is ringed."""
    scored = _scored(trials)
    names = list(scored[0].choices)
    rows = math.ceil(len(names) / _COLUMNS)
    picture = style.figure(3.1 * _COLUMNS, 0.6 + 2.4 * rows)
    grid = picture.subplots(rows, _COLUMNS, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        _slice(axes, scored, name)
    for axes in list(grid.flat)[len(names) :]:
        axes.set_visible(False)
    for row in grid:
        row[0].set_ylabel("score", color=style.INK, fontsize=9.5)
    return style.save(picture, folder, "search_slices")


def _slice(axes: Axes, scored: Sequence[TrialRecord], name: str) -> None:
    for state, mark, colour in (("pruned", "x", style.QUIET), ("complete", "o", style.BLUE)):
        chosen = [trial for trial in scored if trial.state == state]
        axes.plot(
            [trial.choices[name] for trial in chosen],
            [_score(trial) for trial in chosen],
            mark,
            color=colour,
            markersize=4,
        )
    default = next((trial for trial in scored if trial.number == 0), None)
    if default is not None:
        axes.plot(default.choices[name], _score(default), "o", markersize=9, markerfacecolor="none", color=style.ORANGE)
    if name in _LOGARITHMIC:
        values = sorted({trial.choices[name] for trial in scored})
        if name != "batch_size" and len(values) > 1:
            values = list(np.geomspace(values[0], values[-1], 4))
        axes.set_xscale("log")
        axes.set_xticks(values, [_said(value) for value in values])
        axes.minorticks_off()
    style.dress(axes, name)
    axes.title.set_fontsize(10)


def _scored(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.score is not None and trial.state in ("complete", "pruned")]


def _score(trial: TrialRecord) -> float:
    return math.nan if trial.score is None else trial.score


def _place(value: float, values: Sequence[float], name: str) -> float:
    """Where `value` lies between the smallest and the largest of `values`, 0 to 1."""
    low, high = min(values), max(values)
    if name in _LOGARITHMIC:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return 0.5 if high == low else (value - low) / (high - low)


def _said(value: float) -> str:
    return f"{value:.2g}" if value < 1e-3 else f"{value:.3g}"
