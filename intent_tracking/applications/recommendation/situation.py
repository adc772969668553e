"""A shopper at one moment, in item numbers: what was done on earlier days, and what in the session under way."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from intent_tracking.applications.recommendation.interactions import Floats, Ints, Reach


@dataclass(frozen=True)
class Situation:
    """What candidates are generated and ranked from.

    Attributes:
        day: today's number.
        items, reaches, days: `[lines]` of earlier visits, oldest first; one line an item and visit.
        session_items, session_reaches: of the session under way, oldest first, each item once.
    """

    day: int
    items: Ints
    reaches: npt.NDArray[np.int8]
    days: Ints
    session_items: Ints
    session_reaches: npt.NDArray[np.int8]

    @cached_property
    def bought(self) -> npt.NDArray[np.bool_]:
        """`[lines]`: whether the line was paid for."""
        found: npt.NDArray[np.bool_] = self.reaches == Reach.BOUGHT
        return found

    @cached_property
    def purchase_days(self) -> Ints:
        """Days with a purchase, oldest first."""
        return np.unique(self.days[self.bought])

    @cached_property
    def purchases_since(self) -> Ints:
        """`[lines]`: purchase days after that of the line."""
        return (len(self.purchase_days) - np.searchsorted(self.purchase_days, self.days, side="right")).astype(np.int32)


@dataclass(frozen=True)
class Anchors:
    """Items that others are sought for, each once, with its weight."""

    items: Ints
    weights: Floats


def anchors_of_past(situation: Situation, most: int = 100, decay: float = 0.8) -> Anchors:
    """What was bought (else carted or looked at) before, by how lately and how often."""
    if not len(situation.items):
        return Anchors(np.zeros(0, np.int32), np.zeros(0, np.float32))
    step = np.array([0.0, 0.3, 0.6, 1.0], np.float32)[situation.reaches]
    weights = step * np.power(np.float32(decay), situation.purchases_since)
    return _strongest(situation.items, weights, most)


def anchors_of_session(situation: Situation, most: int = 20) -> Anchors:
    """What the session is about: the newest item counts most."""
    count = len(situation.session_items)
    weights = np.power(np.float32(0.9), np.arange(count - 1, -1, -1)).astype(np.float32)
    return _strongest(situation.session_items, weights, most)


def anchors_of_last_purchase(situation: Situation, most: int = 100) -> Anchors:
    """What was bought on the last day with a purchase."""
    last = situation.bought & (situation.purchases_since == 0)
    return _strongest(situation.items[last], np.ones(int(last.sum()), np.float32), most)


def _strongest(items: Ints, weights: Floats, most: int) -> Anchors:
    unique, place = np.unique(items, return_inverse=True)
    sums = np.bincount(place, weights=weights, minlength=len(unique)).astype(np.float32)
    kept = np.sort(np.argsort(-sums, kind="stable")[:most])
    return Anchors(unique[kept].astype(np.int32), sums[kept])
