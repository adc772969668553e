"""What a shopper did on earlier days, as it is stored by shopper and brought to the recommender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import numpy as np
import orjson

from intent_tracking.applications.recommendation.interactions import Interactions, Reach, day_of

MOST_VISITS: Final = 100
MOST_LINES: Final = 1000
"""What is kept of a shopper: the newest visits, up to so many and so many lines."""


class HistoryError(ValueError):
    """A stored history is not of the form that `History.to_json` writes."""


@dataclass(frozen=True)
class Visit:
    """One day of a shopper: how far the shopper went with each item, in the order of the first event about it."""

    day: date
    items: Mapping[str, Reach]


@dataclass(frozen=True)
class History:
    """Earlier visits, oldest first."""

    visits: tuple[Visit, ...] = field(default=())

    def to_json(self) -> str:
        """`[["2026-03-02", [["item", 3], ...]], ...]`, the text that the feature store keeps."""
        return orjson.dumps(
            [
                [visit.day.isoformat(), [[item, int(reach)] for item, reach in visit.items.items()]]
                for visit in self.visits
            ]
        ).decode()

    @classmethod
    def from_json(cls, text: str) -> History:
        """The history of `to_json`; an empty text is an empty history.

        Raises:
            HistoryError: the text is something else.
        """
        if not text:
            return cls()
        try:
            return cls(
                tuple(
                    Visit(date.fromisoformat(day), {str(item): Reach(reach) for item, reach in items})
                    for day, items in orjson.loads(text)
                )
            )
        except (ValueError, TypeError) as error:
            raise HistoryError(f"a stored history is unreadable ({error}): materialize user_items again") from error


def shortened(visits: Sequence[Visit]) -> History:
    """The newest of `visits`, within the bounds."""
    kept: list[Visit] = []
    lines = 0
    for visit in sorted(visits, key=lambda each: each.day)[-MOST_VISITS:][::-1]:
        lines += len(visit.items)
        if lines > MOST_LINES and kept:
            break
        kept.append(visit)
    return History(tuple(reversed(kept)))


def history_of(interactions: Interactions, shopper: int) -> History:
    """Everything that one shopper of `interactions` did."""
    found = []
    for visit in np.flatnonzero(interactions.shoppers == shopper):
        lines = interactions.lines_of(int(visit))
        ids = [interactions.catalogue.ids[item] for item in interactions.items[lines]]
        reaches = [Reach(int(reach)) for reach in interactions.reaches[lines]]
        found.append(Visit(day_of(int(interactions.days[visit])), dict(zip(ids, reaches, strict=True))))
    return shortened(found)
