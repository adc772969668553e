"""Figures over the seeds, as the tables show them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

MISSING: Final = "not measured yet"

Results = Sequence[Mapping[str, Any]]


class Figures:
    """Values of each figure over the seeds."""

    def __init__(self, results: Results) -> None:
        self._values: dict[tuple[str, str, str], dict[int, float]] = {}
        for result in results:
            for name, value in result["figures"].items():
                of_figure = self._values.setdefault((result["set"], result["variant"], name), {})
                of_figure[result["seed"]] = float(value)

    def of(self, data: str, variant: str, figure: str) -> list[float]:
        """One value a seed; empty where nothing is measured."""
        return list(self.by_seed(data, variant, figure).values())

    def by_seed(self, data: str, variant: str, figure: str) -> Mapping[int, float]:
        """The values by their seeds."""
        return self._values.get((data, variant, figure), {})

    def mean(self, data: str, variant: str, figure: str) -> float | None:
        """Mean over the seeds."""
        values = self.of(data, variant, figure)
        return statistics.fmean(values) if values else None

    def percent(self, data: str, variant: str, figure: str) -> str:
        """Mean in percent, and the standard deviation over the seeds with their number."""
        return _with_spread([100 * value for value in self.of(data, variant, figure)], 1)

    def against(self, data: str, variant: str, figure: str, target: str) -> str:
        """`target`, in percent, and whether the mean over seeds misses it."""
        mean = self.mean(data, variant, figure)
        return target if mean is None or 100 * mean >= float(target) else f"{target}, **missed**"

    def plain(self, data: str, variant: str, figure: str, digits: int) -> str:
        """As `percent`, in the figure's own unit."""
        return _with_spread(self.of(data, variant, figure), digits)


def _with_spread(values: Sequence[float], digits: int) -> str:
    if not values:
        return MISSING
    mean = f"{statistics.fmean(values):.{digits}f}"
    if len(values) == 1:
        return f"{mean} (n=1)"
    return f"{mean} ± {statistics.stdev(values):.{digits}f} (n={len(values)})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table, and the empty one that ends it."""
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(r) + " |" for r in rows), ""]
