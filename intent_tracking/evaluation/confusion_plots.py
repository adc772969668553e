"""The confusion matrix as pictures that can be read, from two labels to hundreds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from intent_tracking.evaluation import style
from intent_tracking.evaluation.metrics import Counts, Floats
from intent_tracking.evaluation.style import drawable

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


def _cells(
    axes: Axes, labels: Sequence[str], counts: Counts, shares: Floats, font: float, *, diagonal: bool = True
) -> AxesImage:
    from matplotlib.colors import PowerNorm

    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.6, 0.0, 1.0), interpolation="nearest")
    for row, column in zip(*np.nonzero(counts), strict=True):
        if diagonal or row != column:
            colour = "white" if shares[row, column] > 0.45 else style.INK
            number = f"{int(counts[row, column]):,}"
            axes.text(column, row, number, ha="center", va="center", color=colour, fontsize=font)
    axes.set_xticks(range(len(labels)), [drawable(label) for label in labels])
    axes.set_yticks(range(len(labels)), [drawable(label) for label in labels])
    return image


def _scale(picture: Figure, image: AxesImage, axes: Axes, shrink: float) -> None:
    bar = picture.colorbar(image, ax=axes, shrink=shrink, pad=0.02)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=8, colors=style.QUIET)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _in_words(confusion: Confusion) -> str:
    total = sum(count for _, _, count in confusion.cells)
    right = sum(count for truth, predicted, count in confusion.cells if truth == predicted) / max(total, 1)
    return f"{total:,} examples, {right:.1%} on the diagonal; colour: share of the true label"


def _slanted(axes: Axes) -> None:
    for tick in axes.get_xticklabels():
        tick.set(rotation=45, ha="right", rotation_mode="anchor")


def _whole(confusion: Confusion) -> Figure:
    size = len(confusion.labels)
    side = max(5.2, 2.2 + 0.52 * size)
    picture = style.figure(side + 0.9, side)
    axes = picture.add_subplot()
    counts = confusion.among(confusion.labels)
    image = _cells(axes, confusion.labels, counts, _shares(counts), 8.5 if size <= 14 else 6.5)
    style.dress(axes, "Confusion matrix", "predicted", "true", _in_words(confusion))
    axes.grid(visible=False)
    _slanted(axes)
    _scale(picture, image, axes, 0.7)
    return picture


def _worst(confusion: Confusion) -> Figure:
    chosen: list[str] = []
    for truth, predicted, _ in confusion.worst_pairs(None):
        new = [name for name in (truth, predicted) if name not in chosen]
        if len(chosen) + len(new) > READABLE_CLASSES:
            break
        chosen += new
    picture = style.figure(19.0, 9.6)
    left, right = picture.subplots(1, 2, width_ratios=(1.25, 1))
    support = confusion.support()
    if chosen:
        names = [label for label in confusion.labels if label in chosen]
        names = [names[place] for place in alike_first(confusion.among(names))]
        inside = confusion.among(names)
        # Shares are of the whole row: what goes to labels outside of the block must not make it look worse or better.
        shares = inside / np.maximum([[support[name]] for name in names], 1)
        image = _cells(left, names, inside, shares, 7.5)
        _slanted(left)
        _scale(picture, image, left, 0.6)
    everything = len(confusion.labels)
    style.dress(
        left,
        f"The {len(chosen)} most confused of {everything} labels",
        "predicted",
        "true",
        f"all {everything}: {_in_words(confusion)}",
    )
    left.grid(visible=False)
    _pairs(right, confusion, support)
    return picture


def _pairs(axes: Axes, confusion: Confusion, support: Mapping[str, int]) -> None:
    pairs = confusion.worst_pairs(LISTED_PAIRS)
    part = [count / support[truth] for truth, _, count in pairs]
    axes.barh(range(len(pairs)), part, color=style.RED, height=0.68)
    axes.set_yticks(range(len(pairs)), [drawable(f"{truth}  →  {predicted}") for truth, predicted, _ in pairs])
    for row, (share, (_, _, count)) in enumerate(zip(part, pairs, strict=True)):
        axes.text(share, row, f"  {share:.0%}  ({count})", va="center", fontsize=8, color=style.INK)
    style.dress(axes, "Most confused pairs", "share of the true label", "", "true → predicted, by count")
    axes.grid(visible=False, axis="y")
    axes.set_xlim(0, max(part, default=1.0) * 1.25)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.invert_yaxis()


def full_confusion_matrix(confusion: Confusion) -> Figure:
    """Every label with its name, those that are taken for each other side by side; counts of the confusions.

    A large file, to be opened by itself: about 2,700 pixels for 150 labels.
    """
    order = [confusion.labels[place] for place in alike_first(confusion.among(confusion.labels))]
    inside = confusion.among(order)
    cell = min(0.145, _WIDEST_MAP / len(order))
    side = 3.0 + cell * len(order)
    picture = style.figure(side + 0.8, side)
    axes = picture.add_subplot()
    font = min(7.0, 72 * cell * 0.66)
    image = _cells(axes, order, inside, _shares(inside), font * 0.85, diagonal=False)
    style.dress(
        axes,
        f"Confusion matrix of {len(order)} labels",
        "predicted",
        "true",
        f"{_in_words(confusion)}; numbers: confusions; labels that are taken for each other stand together",
    )
    axes.tick_params(labelsize=font)
    for tick in axes.get_xticklabels():
        tick.set_rotation(90)
    axes.grid(color=style.GRID, linewidth=0.3)
    axes.set_axisbelow(False)
    _scale(picture, image, axes, 0.3)
    return picture
