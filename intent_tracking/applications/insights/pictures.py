"""The pictures of a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from intent_tracking.applications.insights.findings import Insights
from intent_tracking.applications.insights.wording import Wording
from intent_tracking.evaluation import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES: Final = 8
BARS: Final = 15


def draw(name: str, found: Insights, wording: Wording, folder: Path, file: str) -> str:
    """Draw the picture `name` of `found` into `folder` as `<file>.png`; returns its file name."""
    return style.save(_PICTURES[name](found, wording), folder, file)


def _intents(found: Insights, wording: Wording) -> Figure:
    assert found.intents is not None  # noqa: S101 - the document shows the picture only then
    over_time = {day: dict(each) for day, each in found.intents.over_time}
    days = days_shown(tuple(over_time))
    total: Counter[str] = Counter()
    for each in over_time.values():
        total.update(each)
    names = sorted(total, key=lambda name: (-total[name], name))[:LINES]
    picture = style.figure(8.6, 4.2)
    axes = picture.add_subplot()
    for name, colour in zip(names, style.SERIES, strict=False):
        # A day without answers is a gap in the line, and not a day on which nobody came.
        values = [over_time[day][name] if day in over_time else float("nan") for day in days]
        label = style.drawable(wording.name(name))
        axes.plot(range(len(days)), values, color=colour, linewidth=2, marker="o", markersize=3, label=label)
    step = max(1, len(days) // 8)
    axes.set_xticks(range(0, len(days), step), [f"{day:%m-%d}" for day in days[::step]])
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))
    style.dress(axes, wording("intents.picture"), y=wording("intents.sessions"))
    return picture


def days_shown(answered: Sequence[date]) -> list[date]:
    """Every day from the first to the last of `answered`, those without answers too."""
    first, last = min(answered), max(answered)
    return [first + timedelta(days=after) for after in range((last - first).days + 1)]


def _funnel(found: Insights, wording: Wording) -> Figure:
    rows = found.funnel[:LINES]
    picture = style.figure(8.6, 1.4 + 0.5 * len(rows))
    axes = picture.add_subplot()
    steps = wording.header("funnel.steps")
    height = 0.8 / len(steps)
    for step, name in enumerate(steps):
        shares = [row.reached[step] / row.sessions for row in rows]
        places = [place + step * height for place in range(len(rows))]
        colour = style.SERIES[step]
        axes.barh(places, shares, height * 0.9, color=colour, label=style.drawable(name))
    names = [wording.name(row.intent) or wording("funnel.unanswered") for row in rows]
    _names(axes, [place + 1.5 * height for place in range(len(rows))], names)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))
    style.dress(axes, wording("funnel.picture"), x=wording("funnel.share"))
    return picture


def _searches(found: Insights, wording: Wording) -> Figure:
    rows = found.searches.worst[:BARS]
    picture = style.figure(8.6, 1.2 + 0.3 * len(rows))
    axes = picture.add_subplot()
    header = wording.header("searches.header")
    again, left = [row.asked_again for row in rows], [row.left for row in rows]
    axes.barh(range(len(rows)), left, 0.7, color=style.BLUE, label=style.drawable(header[4]))
    axes.barh(range(len(rows)), again, 0.7, left=left, color=style.ORANGE, label=style.drawable(header[3]))
    _names(axes, list(range(len(rows))), [row.term for row in rows])
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1, 1))
    style.dress(axes, wording("searches.picture"), x=header[2])
    return picture


def _rising(found: Insights, wording: Wording) -> Figure:
    rows = found.rising[:BARS]
    picture = style.figure(8.6, 1.2 + 0.3 * len(rows))
    axes = picture.add_subplot()
    axes.barh(range(len(rows)), [row.z for row in rows], 0.7, color=style.GREEN)
    _names(axes, list(range(len(rows))), [row.term for row in rows])
    style.dress(axes, wording("rising.picture"), x=wording("rising.axis"))
    return picture


def _names(axes: Axes, places: list[int] | list[float], names: list[str]) -> None:
    """Names of horizontal bars, the first at the top."""
    axes.set_yticks(places, [style.drawable(name if len(name) <= 30 else f"{name[:29]}…") for name in names])
    axes.invert_yaxis()


_PICTURES: Final[dict[str, Callable[[Insights, Wording], Figure]]] = {
    "intents": _intents,
    "funnel": _funnel,
    "searches": _searches,
    "rising": _rising,
}
