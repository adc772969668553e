"""The confusion matrix as pictures that can be read, from two labels to hundreds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from intent_tracking.evaluation import style
from intent_tracking.evaluation.metrics import Counts, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from intent_tracking.evaluation.report import Confusion

READABLE_CLASSES = 25
# Names of more labels than these are too small to read on the widest map, and to order them takes minutes.
MOST_MAPPED_CLASSES = 600
LISTED_PAIRS = 25
_WIDEST_MAP = 40.0
# In inches. What is wider than the widest name loses its middle: 30 letters, Chinese ones too, are drawn whole.
_WIDEST_NAME = 3.8
_TITLE_ROOM = 0.7
_AXIS_ROOM = 0.45
_BAR_ROOM = 0.9
_NOTE_POINTS = 8.5


def confusion_matrix(confusion: Confusion) -> Figure:
    """Up to 25 labels: each cell with its count. More: the labels that are confused most, and the worst pairs beside.

    `full_confusion_matrix` shows all of up to 600 labels.
    """
    return _whole(confusion) if len(confusion.labels) <= READABLE_CLASSES else _worst(confusion)


def is_mapped(confusion: Confusion) -> bool:
    """Whether the labels are too many for one readable matrix, and not for a full map besides."""
    return READABLE_CLASSES < len(confusion.labels) <= MOST_MAPPED_CLASSES


def alike_first(counts: Counts) -> Counts:
    """An order of the labels in which those that are taken for each other stand together.

    Average linkage over the share of mutual confusion: the two groups that are taken for each other most are joined
    until one is left, so that confused groups show as blocks.
    """
    shares = _shares(counts)
    alike = shares + shares.T
    np.fill_diagonal(alike, -1.0)
    groups: list[list[int]] = [[label] for label in range(len(counts))]
    left = np.arange(len(counts))
    while len(left) > 1:
        first, second = divmod(int(alike[np.ix_(left, left)].argmax()), len(left))
        one, other = left[first], left[second]
        sizes = len(groups[one]), len(groups[other])
        alike[one] = (sizes[0] * alike[one] + sizes[1] * alike[other]) / sum(sizes)
        alike[:, one] = alike[one]
        alike[one, one] = -1.0
        groups[one] += groups[other]
        left = np.delete(left, second)
    return np.array(groups[left[0]] if len(left) else [], dtype=np.int64)


def _shares(counts: Counts) -> Floats:
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


@dataclass(frozen=True)
class _Names:
    """The names of a matrix as they are drawn.

    Attributes:
        shown: without the middle of what is too wide.
        points: size of the letters.
        slanted: below the matrix at 45 degrees; else upright.
        left: room that they take beside the matrix, in inches.
        below: room that they take under it, in inches.
    """

    shown: list[str]
    points: float
    slanted: bool
    left: float
    below: float

    @classmethod
    def of(cls, labels: Sequence[str], points: float, *, slanted: bool) -> _Names:
        shown = style.names_within(labels, points, _WIDEST_NAME)
        widest = max((style.width_of(name, points) for name in shown), default=0.0)
        return cls(shown, points, slanted, widest + 0.1, widest * (0.71 if slanted else 1.0) + 0.2)


def _cell(size: int, least: float, usual: float) -> float:
    """Inches of a cell, so that few labels make no tiny picture and many no endless one."""
    return min(max(least, usual / max(size, 1)), _WIDEST_MAP / max(size, 1))


def _place(picture: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place that is given in inches from the left and the upper edge."""
    across, down = picture.get_size_inches()
    return picture.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def _draw(
    axes: Axes, names: _Names, counts: Counts, shares: Floats, cell: float, *, diagonal: bool = True
) -> AxesImage:
    """Cells with their counts, in a frame of quiet lines, each row and column with its name."""
    from matplotlib.colors import PowerNorm

    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.6, 0.0, 1.0), interpolation="nearest")
    for row, column in zip(*np.nonzero(counts), strict=True):
        if diagonal or row != column:
            colour = "white" if shares[row, column] > 0.45 else style.INK
            number = f"{int(counts[row, column]):,}"
            # A digit is about 0.64 of its size wide; the number stays within nine tenths of the cell.
            font = min(names.points, 72 * cell * 0.6, 72 * cell * 0.9 / (0.64 * len(number)))
            axes.text(column, row, number, ha="center", va="center", color=colour, fontsize=font)
    places = range(len(names.shown))
    axes.set_xticks(places, names.shown)
    axes.set_yticks(places, names.shown)
    # Between the cells, never through them.
    edges = np.arange(len(names.shown) + 1) - 0.5
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    return image


def _dress(axes: Axes, names: _Names, title: str, note: str) -> None:
    style.dress(axes, title, "predicted", "true", note)
    axes.grid(visible=False)
    axes.grid(visible=True, which="minor", color=style.GRID, linewidth=0.4)
    axes.set_axisbelow(False)
    axes.tick_params(which="both", length=0)
    axes.tick_params(labelsize=names.points)
    for tick in axes.get_xticklabels():
        if names.slanted:
            tick.set(rotation=45, ha="right", rotation_mode="anchor")
        else:
            tick.set_rotation(90)


def _scale(picture: Figure, image: AxesImage, left: float, top: float, side: float) -> None:
    """What the colours mean, right beside a matrix whose right upper corner is there."""
    bar = picture.colorbar(image, cax=_place(picture, left + 0.15, top + 0.06, 0.14, min(side, 3.2) - 0.06))
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8, colors=style.QUIET)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _in_words(confusion: Confusion) -> str:
    total = sum(count for _, _, count in confusion.cells)
    right = sum(count for truth, predicted, count in confusion.cells if truth == predicted) / max(total, 1)
    return f"{total:,} examples, {right:.1%} on the diagonal; colour: share of the true label"


def _whole(confusion: Confusion) -> Figure:
    counts = confusion.among(confusion.labels)
    names = _Names.of(confusion.labels, 8.5, slanted=True)
    return _alone(names, counts, _cell(len(counts), 0.46, 3.2), "Confusion matrix", _in_words(confusion))


def _alone(names: _Names, counts: Counts, cell: float, title: str, note: str, *, diagonal: bool = True) -> Figure:
    side = cell * len(counts)
    left = names.left + _AXIS_ROOM
    picture = style.figure(
        left + max(side + _BAR_ROOM, style.width_of(note, _NOTE_POINTS)),
        _TITLE_ROOM + side + names.below + _AXIS_ROOM,
        None,
    )
    axes = _place(picture, left, _TITLE_ROOM, side, side)
    image = _draw(axes, names, counts, _shares(counts), cell, diagonal=diagonal)
    _dress(axes, names, title, note)
    _scale(picture, image, left + side, _TITLE_ROOM, side)
    return picture


def _worst(confusion: Confusion) -> Figure:
    chosen: list[str] = []
    for truth, predicted, _ in confusion.worst_pairs(None):
        new = [name for name in (truth, predicted) if name not in chosen]
        if len(chosen) + len(new) > READABLE_CLASSES:
            break
        chosen += new
    labels = [label for label in confusion.labels if label in chosen]
    labels = [labels[place] for place in alike_first(confusion.among(labels))]
    inside = confusion.among(labels)
    # Shares are of the whole row: what goes to labels outside of the block must not make it look worse or better.
    support = confusion.support()
    shares = inside / np.maximum([[support[label]] for label in labels], 1) if labels else np.zeros((1, 1))
    pairs = confusion.worst_pairs(LISTED_PAIRS)
    names, listed = _Names.of(labels, 8.5, slanted=True), _pair_names(pairs)
    everything = len(confusion.labels)
    title = f"The {len(labels)} most confused of {everything} labels" if labels else "No label is confused"
    note = f"all {everything}: {_in_words(confusion)}"

    cell = _cell(len(labels), 0.36, 3.2)
    side, bars = cell * max(len(labels), 1), max(0.36 * len(pairs), 1.0)
    left = names.left + _AXIS_ROOM
    beside = left + max(side + _BAR_ROOM, style.width_of(note, _NOTE_POINTS) + 0.2) + listed.left
    picture = style.figure(beside + 4.2, _TITLE_ROOM + max(side + names.below, bars + 0.2) + _AXIS_ROOM, None)
    matrix = _place(picture, left, _TITLE_ROOM, side, side)
    image = _draw(matrix, names, inside, shares, cell)
    _dress(matrix, names, title, note)
    _pairs(_place(picture, beside, _TITLE_ROOM, 4.0, bars), pairs, listed, support)
    _scale(picture, image, left + side, _TITLE_ROOM, side)
    return picture


def _pair_names(pairs: Sequence[tuple[str, str, int]]) -> _Names:
    """Each pair in one line, or all in two where one would be too wide."""
    points = 8.0
    truths = style.names_within([truth for truth, _, _ in pairs], points, _WIDEST_NAME)
    answers = style.names_within([predicted for _, predicted, _ in pairs], points, _WIDEST_NAME)
    lines = [f"{truth}  →  {predicted}" for truth, predicted in zip(truths, answers, strict=True)]
    widest = max((style.width_of(line, points) for line in lines), default=0.0)
    if widest > 1.3 * _WIDEST_NAME:
        lines = [f"{truth}\n→  {predicted}" for truth, predicted in zip(truths, answers, strict=True)]
        widest = max(style.width_of(part, points) for line in lines for part in line.split("\n"))
    return _Names(lines, points, slanted=False, left=widest + 0.2, below=0.0)


def _pairs(axes: Axes, pairs: Sequence[tuple[str, str, int]], names: _Names, support: Mapping[str, int]) -> None:
    part = [count / support[truth] for truth, _, count in pairs]
    axes.barh(range(len(pairs)), part, color=style.RED, height=0.68)
    axes.set_yticks(range(len(pairs)), names.shown)
    for row, (share, (_, _, count)) in enumerate(zip(part, pairs, strict=True)):
        axes.text(share, row, f"  {share:.0%}  ({count:,})", va="center", fontsize=8, color=style.INK)
    style.dress(axes, "Most confused pairs", "share of the true label", "", "true → predicted, by count")
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", labelsize=names.points)
    axes.set_xlim(0, max(part, default=1.0) * 1.3)
    axes.set_ylim(max(len(pairs), 1) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def full_confusion_matrix(confusion: Confusion) -> Figure:
    """Every label with its name, those that are taken for each other side by side; counts of the confusions.

    A large file, to be opened by itself: about 3,200 pixels for 150 labels.
    """
    order = [confusion.labels[place] for place in alike_first(confusion.among(confusion.labels))]
    inside = confusion.among(order)
    cell = min(0.34, _cell(len(order), 0.145, 14.0))
    return _alone(
        _Names.of(order, min(8.5, 72 * cell * 0.66), slanted=False),
        inside,
        cell,
        f"Confusion matrix of {len(order)} labels",
        f"{_in_words(confusion)}; numbers: confusions; labels that are taken for each other stand together",
        diagonal=False,
    )
