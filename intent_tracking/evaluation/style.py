"""One look for every picture: colours, type, paper, and which characters the installed fonts can draw."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1f2933"
QUIET = "#7b8794"
GRID = "#e4e7eb"
BLUE = "#2563a8"
ORANGE = "#e07a1f"
RED = "#c0392b"
GREEN = "#2f855a"
SERIES = (
    BLUE,
    ORANGE,
    GREEN,
    "#8e4ec6",
    RED,
    "#0e7c86",
    "#b7791f",
    "#d53f8c",
    "#4a5568",
    "#65a30d",
    "#1e40af",
    "#9f1239",
)
DPI = 130

# Families that hold Chinese, most likely first; matplotlib itself brings none.
CHINESE_FAMILIES = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",  # the same characters, in the shapes of another country
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Microsoft YaHei",
    "SimHei",
)
BASE_FAMILY = "DejaVu Sans"
MISSING_FONT = (
    "No installed font draws some of these names: their characters are written as codes. "
    "To see them install a font, e.g. fonts-noto-cjk."
)
_CODE = re.compile(r"\\(u[0-9a-f]{4}|U[0-9a-f]{8})")


@cache
def families() -> tuple[str, ...]:
    """The base family, and a Chinese one where this machine has it."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    if not installed.intersection(CHINESE_FAMILIES):
        # matplotlib lists the fonts of a machine once, in a cache: one that was installed later is not in it.
        listed = {entry.fname for entry in font_manager.fontManager.ttflist}
        for path in sorted(set(font_manager.findSystemFonts()) - listed):
            if re.search("cjk|notosanssc|wqy|simhei|msyh", Path(path).name, re.IGNORECASE):
                font_manager.fontManager.addfont(path)
        installed = set(font_manager.get_font_names())
    return (BASE_FAMILY, *[name for name in CHINESE_FAMILIES if name in installed][:1])


@cache
def _drawable() -> frozenset[int]:
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    points: set[int] = set()
    for family in families():
        points.update(FT2Font(font_manager.findfont(family)).get_charmap())
    return frozenset(points)


def drawable(text: str) -> str:
    """`text` with each character that no font here can draw written as its code (`\\u4f60`), never as a blank box."""
    known = _drawable()
    shown = "".join(c if ord(c) in known else c.encode("ascii", "backslashreplace").decode() for c in text)
    return shown.replace("$", r"\$")  # matplotlib reads a pair of dollars as mathematics


def width_of(text: str, points: float) -> float:
    """How wide a text is drawn, in inches, in letters of so many points."""
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family=list(families()), size=points)
    width, _, _ = RendererAgg(1, 1, 72).get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72


def names_within(names: Sequence[str], points: float, inches: float) -> list[str]:
    """The names as they are drawn, what is wider than `inches` without its middle.

    A name stays whole where another would look the same without its middle.
    """
    cut = {name: _within(name, points, inches) for name in names}
    alike = Counter(cut.values())
    return [drawable(name) if alike[cut[name]] > 1 else cut[name] for name in names]


def _within(name: str, points: float, inches: float) -> str:
    shown, kept = drawable(name), len(name)
    while (width := width_of(shown, points)) > inches and kept > 2:
        kept = max(2, min(kept - 1, int(kept * inches / width)))
        shown = drawable(f"{name[: (kept + 1) // 2]}…{name[len(name) - kept // 2 :]}")
    return shown


def figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty picture, in inches. Not from pyplot: nothing global, nothing to close.

    Args:
        width: in inches.
        height: in inches.
        layout: None where the picture itself places its axes: the constrained one gives up where long names leave
            no room for them.
    """
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=DPI, facecolor="white", layout=layout)


def dress(axes: Axes, title: str, x: str = "", y: str = "", note: str = "") -> None:
    """Title, axis names and a quiet frame."""
    axes.set_title(drawable(title), loc="left", fontsize=12, fontweight="bold", color=INK, pad=20 if note else 8)
    if note:
        axes.annotate(
            drawable(note),
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=8.5,
            color=QUIET,
            va="bottom",
        )
    axes.set_xlabel(drawable(x), color=INK, fontsize=9.5)
    axes.set_ylabel(drawable(y), color=INK, fontsize=9.5)
    axes.tick_params(colors=INK, labelsize=8.5, length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def save(picture: Figure, folder: Path, name: str) -> str:
    """Write `<name>.png` and return its file name. The same picture gives the same bytes: no software stamp inside.

    Where names hold characters that no font draws, the picture says so, once.
    """
    from matplotlib import rc_context
    from matplotlib.text import Text

    folder.mkdir(parents=True, exist_ok=True)
    file = f"{name}.png"
    with rc_context({"font.family": list(families())}):
        if any(_CODE.search(text) for text in texts(picture)):
            picture.supxlabel(MISSING_FONT, fontsize=8.5, color=RED, x=0.01, ha="left")
        for text in picture.findobj(Text):
            # A text keeps the families of the moment that it was made in.
            text.set_fontfamily(list(families()))
        # Tight: the layout leaves too little room beside square axes with slanted names.
        picture.savefig(folder / file, metadata={"Software": None}, bbox_inches="tight", pad_inches=0.15)
    return file


def texts(picture: Figure) -> list[str]:
    """Every text of a picture as it will be drawn: titles, notes, labels, legends and the names on the axes."""
    from matplotlib.text import Text

    found = [text.get_text() for text in picture.findobj(Text) if isinstance(text, Text)]
    for axes in picture.axes:
        for axis in (axes.xaxis, axes.yaxis):
            found += axis.get_major_formatter().format_ticks(axis.get_majorticklocs().tolist())
    return found
