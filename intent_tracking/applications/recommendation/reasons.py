"""Why an item is shown, in words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import yaml

from intent_tracking.applications.recommendation.interactions import Reach
from intent_tracking.applications.recommendation.item_index import ItemIndex
from intent_tracking.applications.recommendation.similarity import Neighbours
from intent_tracking.applications.recommendation.situation import Anchors, Situation
from intent_tracking.text.language import Language, detect

_NAME_CHARACTERS = 60


@cache
def wording() -> dict[str, dict[str, str]]:
    """Sentences by language and kind of reason."""
    text = resources.files(__package__).joinpath("reasons.yaml").read_text(encoding="utf-8")
    read: dict[str, dict[str, str]] = yaml.safe_load(text)
    return read


@dataclass(frozen=True)
class Reasons:
    """Gives the strongest reason for items of one answer.

    Attributes:
        past, session: what generators started from.
        language: of the sentences; None: that of the name of each item.
    """

    index: ItemIndex
    situation: Situation
    past: Anchors
    session: Anchors
    language: Language | None

    def of(self, item: int, *, from_visits: bool) -> str:
        """The reason for an item; `from_visits`: visits like those of the shopper hold it."""
        kind, name, count = self._kind(item, from_visits)
        language = self.language or detect(self.index.catalogue.names[item])
        return wording()[language][kind].format(name=name[:_NAME_CHARACTERS], count=count)

    def _kind(self, item: int, from_visits: bool) -> tuple[str, str, int]:
        index, now = self.index, self.situation
        here = now.session_reaches[now.session_items == item]
        if len(here) and here.max() < Reach.BOUGHT:
            return "in_cart" if here.max() == Reach.CARTED else "in_session", "", 0
        times = int((now.items[now.bought] == item).sum())
        if times:
            return "bought_times" if times > 1 else "bought_before", "", times
        # What the session says comes before what earlier days say; of two likenesses the closer one is the reason.
        for anchors, bought in (
            (self.session, now.session_items[now.session_reaches == Reach.BOUGHT]),
            (self.past, now.items[now.bought]),
        ):
            close, anchor, how = max(
                (*_strongest(item, anchors, index.together), "goes_with"),
                (*_strongest(item, anchors, index.alike), "like"),
            )
            if close > 0:
                dealt = "bought" if anchor in bought else "looked"
                return f"{how}_{dealt}", index.catalogue.names[anchor] or index.catalogue.ids[anchor], 0
        return "visits_like" if from_visits else "popular", "", 0


def _strongest(item: int, anchors: Anchors, neighbours: Neighbours) -> tuple[float, int]:
    """How close the item is to the anchor that speaks most for it, and that anchor; 0 where none does."""
    near = (neighbours.scores[anchors.items] * (neighbours.items[anchors.items] == item)).sum(axis=1)
    if not near.any():
        return 0.0, -1
    strongest = int(np.argmax(near * anchors.weights))
    return float(near[strongest]), int(anchors.items[strongest])
