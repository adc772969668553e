"""A measured line: ours beside what it is held against.

Each other module here measures one application: `run(data) -> list[Line]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Line:
    """One figure.

    Attributes:
        what: the set, the part of it and the measure.
        ours: what we got.
        baselines: what the same run gave others, by name.
        target: what was to be reached; None where the figure is only reported.
        better: which side of the target is the good one.
        note: what a reader must know to judge it.
    """

    what: str
    ours: float
    baselines: tuple[tuple[str, float], ...] = ()
    target: float | None = None
    better: Better = "higher"
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        return self.ours >= self.target if self.better == "higher" else self.ours <= self.target


def as_markdown(lines: Sequence[Line]) -> str:
    """The table of `lines`."""
    rows = ["| what | ours | baselines | target | reached |", "|---|---|---|---|---|"]
    for line in lines:
        others = ", ".join(f"{name} {value:.4g}" for name, value in line.baselines)
        target = "" if line.target is None else f"{'>=' if line.better == 'higher' else '<='} {line.target:.4g}"
        reached = {None: "", True: "yes", False: "**no**"}[line.reached]
        note = f" ({line.note})" if line.note else ""
        rows.append(f"| {line.what}{note} | {line.ours:.4g} | {others} | {target} | {reached} |")
    return "\n".join(rows)
