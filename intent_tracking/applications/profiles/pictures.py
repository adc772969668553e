"""The segments as pictures, as PNG files. Each function writes one file and returns its name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from intent_tracking.applications.profiles.segments import Segment, Segments
from intent_tracking.applications.profiles.traits import HIGH, what_of, words_of
from intent_tracking.evaluation import style

_MOST_IN_A_NAME: Final = 42


def segment_pictures(folder: Path, segments: Segments) -> list[str]:
    """The overview, then one picture a segment, the largest first."""
    largest = sorted(segments.segments, key=lambda segment: (-segment.share, segment.id))
    return [overview(folder, segments), *(of_segment(folder, segments, segment) for segment in largest)]


def from_mean(segments: Segments) -> dict[str, list[float]]:
    """Each segment's distance from the shop's mean in each feature, in standard units: what traits and names go by.

    Half of the shop has none of many things: its median and its mean differ, and the mean is what tells apart.
    """
    shifts = np.array([segment.shifts for segment in segments.segments])
    mean = np.average(shifts, axis=0, weights=[segment.share for segment in segments.segments])
    return {segment.id: row for segment, row in zip(segments.segments, (shifts - mean).tolist(), strict=True)}


def overview(folder: Path, segments: Segments) -> str:
    """Each segment's distance from the shop's mean in each feature."""
    largest = sorted(segments.segments, key=lambda segment: (-segment.share, segment.id))
    features = segments.space.features
    apart = from_mean(segments)
    shifts = np.array([apart[segment.id] for segment in largest])
    picture = style.figure(4.2 + 0.62 * len(features), 2.4 + 0.46 * len(largest))
    axes = picture.add_subplot()
    image = axes.imshow(shifts, cmap="RdBu_r", vmin=-2, vmax=2, aspect="auto")
    for row, column in np.ndindex(*shifts.shape):
        if abs(shifts[row, column]) >= HIGH:
            colour = "white" if abs(shifts[row, column]) > 1.3 else style.INK
            axes.text(column, row, f"{shifts[row, column]:+.1f}", ha="center", va="center", fontsize=8, color=colour)
    style.dress(axes, "The segments of the shop", note="mean of the members, in standard units from the shop's mean")
    axes.grid(visible=False)
    axes.set_xticks(
        range(len(features)), [what_of(name)["en"] for name in features], rotation=35, ha="right", fontsize=8.5
    )
    axes.set_yticks(
        range(len(largest)),
        [style.drawable(f"{_shown(segment.name['en'])}  {segment.share:.0%}") for segment in largest],
        fontsize=9,
    )
    picture.colorbar(image, ax=axes, shrink=0.8).outline.set_visible(False)
    return style.save(picture, folder, "segments")


def of_segment(folder: Path, segments: Segments, segment: Segment) -> str:
    """One segment beside the shop: its features as bars, those that set it apart in colour; below, what it likes."""
    names = segments.space.features
    apart = from_mean(segments)[segment.id]
    order = sorted(range(len(names)), key=lambda at: abs(apart[at]))
    picture = style.figure(7.6, 1.9 + 0.34 * len(names))
    axes = picture.add_subplot()
    shifts = [apart[at] for at in order]
    colours = [style.ORANGE if each >= HIGH else style.BLUE if each <= -HIGH else style.QUIET for each in shifts]
    axes.barh(range(len(order)), shifts, color=colours, height=0.62)
    axes.axvline(0, color=style.INK, linewidth=1)
    tastes = [
        f"{words_of(trait.trait, 'likes', trait.label)['en']} ({trait.value:.0%}, shop {trait.typical:.0%})"
        for trait in segment.traits
        if trait.level == "likes"
    ]
    style.dress(
        axes,
        _shown(segment.name["en"]),
        x="\n".join(["standard units from the shop's mean", *tastes]),
        note=f"{segment.share:.0%} of the shoppers · {segment.name['zh']}",
    )
    axes.set_yticks(range(len(order)), [what_of(names[at])["en"] for at in order])
    furthest = max(1.0, *(abs(each) for each in shifts)) * 1.1
    axes.set_xlim(-furthest, furthest)
    return style.save(picture, folder, f"segment-{segment.id}")


def days(folder: Path, shares: Mapping[date, Mapping[str, float]], segments: Segments) -> str:
    """The share of each segment over the days, the largest at the bottom."""
    from matplotlib.dates import date2num

    names = sorted({name for of_day in shares.values() for name in of_day})
    names.sort(key=lambda name: -sum(of_day.get(name, 0) for of_day in shares.values()))
    picture = style.figure(8.6, 4.2)
    axes = picture.add_subplot()
    # One day is drawn as a day wide, not as a line of no width.
    moments = list(shares)
    bottom = np.zeros(len(moments))
    for at, name in enumerate(names):
        heights = np.array([shares[day].get(name, 0.0) for day in moments])
        shown = segments.name_of(name)
        axes.bar(
            np.array(moments, dtype="datetime64[D]"), heights, bottom=bottom, width=0.9,
            color=style.SERIES[at % len(style.SERIES)], label=style.drawable(_shown(shown["en"] if shown else name)),
        )  # fmt: skip
        bottom += heights
    style.dress(axes, "Segments over the days", y="share of the shoppers")
    axes.set_ylim(0, 1)
    step = max(1, len(moments) // 8)
    axes.set_xticks(np.array(moments[::step], dtype="datetime64[D]"), [f"{day:%Y-%m-%d}" for day in moments[::step]])
    # A day of its own is as wide as one of several.
    axes.set_xlim(float(date2num(moments[0])) - 0.6, float(date2num(moments[-1])) + 0.6)
    picture.autofmt_xdate()
    picture.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    return style.save(picture, folder, "segments-by-day")


def _shown(name: str) -> str:
    return name if len(name) <= _MOST_IN_A_NAME else f"{name[: _MOST_IN_A_NAME - 1]}…"
