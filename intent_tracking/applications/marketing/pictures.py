"""Audiences and their effects as pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.applications.marketing.audiences import AudienceSize
from intent_tracking.applications.marketing.effects import Effect
from intent_tracking.evaluation import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PARTS: Final = (
    ("treated", "written to", style.BLUE),
    ("control", "control group", style.GREEN),
    ("frequency_cap", "held back: frequency cap", style.ORANGE),
    ("no_consent", "held back: no consent", style.QUIET),
)
_LABELLED_DAYS: Final = 10
_LEAST_BARS: Final = 4


def audience_picture(folder: Path, name: str, over_time: Sequence[tuple[date, AudienceSize]], members: pa.Table) -> str:
    """Draw `<folder>/<name>.png`: the size by day, and the reasons of the newest day; returns the file name.

    Args:
        folder: where to write.
        name: of the audience.
        over_time: its size on each day, oldest first.
        members: rows of AUDIENCE_SCHEMA of the newest day, of any audience.
    """
    picture = style.figure(10.4, 3.8)
    left, right = picture.subplots(1, 2, width_ratios=(3, 2))
    _sizes(left, over_time)
    newest = over_time[-1][1]
    style.dress(left, name.replace("_", " "), y="shoppers", note=f"{newest.members:,} members on {over_time[-1][0]}")
    chosen = members.filter(pc.equal(members["audience"], name))
    reasons = Counter(reason for row in chosen["reason_names"].to_pylist() for reason in row)
    ranked = sorted(reasons.items(), key=lambda each: (each[1], each[0]))[-8:]
    # Few bars stand farther apart and are no thicker.
    thickness = 0.5 * min(1.0, len(ranked) / _LEAST_BARS)
    right.barh(range(len(ranked)), [count for _, count in ranked], color=style.BLUE, height=thickness)
    right.set_ylim(-0.5, max(len(ranked), 1) - 0.5)
    right.set_yticks(range(len(ranked)), [style.drawable(reason.replace("_", " ")) for reason, _ in ranked])
    style.dress(right, "why", x="members with the reason")
    if not ranked:
        right.set_xticks([])
        right.annotate(
            "nobody is in it on this day", (0.5, 0.5), xycoords="axes fraction", ha="center", color=style.QUIET
        )
    return style.save(picture, folder, name)


def _sizes(axes: Axes, over_time: Sequence[tuple[date, AudienceSize]]) -> None:
    from matplotlib.ticker import MaxNLocator

    below = [0] * len(over_time)
    places = list(range(len(over_time)))
    for part, label, colour in _PARTS:
        values = [int(getattr(size, part)) for _, size in over_time]
        axes.bar(places, values, bottom=below, color=colour, width=0.8, label=label)
        below = [low + value for low, value in zip(below, values, strict=True)]
    step = max(1, -(-len(places) // _LABELLED_DAYS))
    axes.set_xticks(places[::step], [f"{day:%d %b}" for day, _ in over_time[::step]])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.1), ncols=2, frameon=False, fontsize=8.5)


def effects_picture(folder: Path, found: Sequence[Effect], outcome_days: int) -> str:
    """Draw `<folder>/effects.png`: each campaign's difference with its interval; returns the file name."""
    picture = style.figure(10.4, 1.8 + 0.5 * max(len(found), 1))
    left, right = picture.subplots(1, 2, sharey=True)
    ranked = list(found)[::-1]
    for axes, figure, scale, title, unit in (
        (left, "conversion", 100, "share that buys", "percentage points"),
        (right, "revenue", 1, "money a shopper", "currency of the logs"),
    ):
        axes.axvline(0, color=style.QUIET, linewidth=1)
        for place, effect in enumerate(ranked):
            interval = getattr(effect, figure)
            if interval is None:
                axes.annotate("too few", (0, place), color=style.QUIET, fontsize=8.5, va="center")
                continue
            clear = interval.low > 0 or interval.high < 0
            colour = (style.GREEN if interval.low > 0 else style.RED) if clear else style.BLUE
            axes.plot([scale * interval.low, scale * interval.high], [place] * 2, color=colour, linewidth=2)
            axes.plot([scale * interval.value], [place], marker="o", color=colour)
        style.dress(axes, title, x=f"treated less control, {unit}")
    left.set_yticks(
        range(len(ranked)),
        [style.drawable(f"{each.campaign}\n{each.treated:,} treated, {each.control:,} control") for each in ranked],
    )
    left.set_ylim(-0.6, max(len(ranked), 1) - 0.4)
    left.annotate(
        f"purchases within {outcome_days} days of the first contact", (0, 1), xycoords="axes fraction",
        xytext=(0, 24), textcoords="offset points", fontsize=8.5, color=style.QUIET,
    )  # fmt: skip
    return style.save(picture, folder, "effects")
