"""What a shopper did on earlier days, as it is stored by shopper and brought to the recommender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

import orjson

from intent_tracking.applications.recommendation.interactions import Interactions, Reach, day_of

MOST_VISITS: Final = 100
MOST_LINES: Final = 1000
"""What is kept of a shopper: the newest visits and lines, up to so many of either."""


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
    """The newest of `visits`, within the bounds; of the oldest one kept, the last of its items."""
    kept: list[Visit] = []
    left = MOST_LINES
    for visit in sorted(visits, key=lambda each: each.day)[-MOST_VISITS:][::-1]:
        if not left:
            break
        items = dict(list(visit.items.items())[-left:])
        left -= len(items)
        kept.append(Visit(visit.day, items))
    return History(tuple(reversed(kept)))


def histories(interactions: Interactions) -> dict[str, History]:
    """What each shopper did, by shopper id in its order."""
    ids, names = interactions.catalogue.ids, {int(reach): reach for reach in Reach}
    visits: dict[int, list[Visit]] = {}
    for number, (day, shopper) in enumerate(
        zip(interactions.days.tolist(), interactions.shoppers.tolist(), strict=True)
    ):
        lines = interactions.lines_of(number)
        items, reaches = interactions.items[lines].tolist(), interactions.reaches[lines].tolist()
        found = {ids[item]: names[reach] for item, reach in zip(items, reaches, strict=True)}
        visits.setdefault(shopper, []).append(Visit(day_of(day), found))
    return {interactions.shopper_ids[shopper]: shortened(visits[shopper]) for shopper in sorted(visits)}
