"""Candidate generators: each gives items with scores, from an index and what a shopper did.

Session neighbours follow V-SKNN and VMIS-kNN (Ludewig and Jannach 2018; Kersbergen et al. 2022): visits that share
items with the anchors, newest first, vote for what else is in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from intent_tracking.applications.recommendation.interactions import Floats, Ints
from intent_tracking.applications.recommendation.item_index import ItemIndex
from intent_tracking.applications.recommendation.similarity import Neighbours
from intent_tracking.applications.recommendation.situation import Anchors

VISITS_LIKE: Final = 100
# An array over everything costs less than a sort where it is no longer than this many times what is summed.
_DENSE: Final = 32


@dataclass(frozen=True)
class Scored:
    """Items in the order of their number, each once, with scores above 0."""

    items: Ints
    scores: Floats

    def best(self, count: int) -> Ints:
        """The items of the highest scores."""
        if len(self.items) <= count:
            return self.items
        return self.items[np.argsort(-self.scores, kind="stable")[:count]]

    def of(self, items: Ints) -> Floats:
        """`[items]`: the score of each, 0 where it has none."""
        if not len(self.items):
            return np.zeros(len(items), np.float32)
        place = np.minimum(np.searchsorted(self.items, items), len(self.items) - 1)
        return np.where(self.items[place] == items, self.scores[place], np.float32(0))


def neighbours_of(anchors: Anchors, neighbours: Neighbours) -> Scored:
    """The neighbours of the anchors, their scores summed."""
    items = neighbours.items[anchors.items]
    scores = neighbours.scores[anchors.items] * anchors.weights[:, None]
    found = items >= 0
    return _summed(items[found], scores[found], len(neighbours.items))


def visits_like(anchors: Anchors, index: ItemIndex) -> Scored:
    """Visits by the telling items that they share with the anchors, a long visit less."""
    memory = index.memory
    visits, places = _ranges(memory.posting_starts, memory.postings, anchors.items)
    # What everybody buys tells little of who is alike.
    telling = np.log1p(len(memory.days) / (1.0 + index.figures.bought[anchors.items]))
    shared = _summed(visits, (anchors.weights * telling).astype(np.float32)[places], len(memory.days))
    sizes = memory.starts[shared.items + 1] - memory.starts[shared.items]
    return Scored(shared.items, (shared.scores / np.sqrt(sizes + 1.0)).astype(np.float32))


def from_visits(
    visits: Scored, index: ItemIndex, count: int = VISITS_LIKE, half_life_days: float | None = None
) -> Scored:
    """What is in the `count` visits most alike, newer ones among equals, by their likeness.

    With `half_life_days` a visit of that age counts half as much as one of today.
    """
    memory, likeness = index.memory, visits.scores
    if not len(visits.items):
        return visits
    if half_life_days is not None:
        likeness = likeness * np.exp2((memory.days[visits.items] - index.day) / half_life_days).astype(np.float32)
    # Visits are numbered by day: from behind, a stable order puts the newer one first.
    best = len(likeness) - 1 - np.argsort(-likeness[::-1], kind="stable")[:count]
    items, of_visit = _ranges(memory.starts, memory.items, visits.items[best])
    votes = _summed(items, likeness[best][of_visit], len(index.catalogue))
    total = float(likeness[best].sum()) or 1.0
    return Scored(votes.items, votes.scores / np.float32(total))


def _ranges(starts: npt.NDArray[np.int64], values: Ints, wanted: Ints) -> tuple[Ints, npt.NDArray[np.int64]]:
    """The values of each wanted row one after the other, and which of `wanted` each belongs to."""
    lengths = starts[wanted + 1] - starts[wanted]
    row = np.repeat(np.arange(len(wanted)), lengths)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return values[starts[wanted][row] + offset], row


def _summed(numbers: Ints, scores: Floats, size: int) -> Scored:
    """Each of `numbers`, all below `size`, once with the sum of its scores."""
    if size < _DENSE * len(numbers):
        sums = np.bincount(numbers, weights=scores)
        found = np.flatnonzero(sums)
        return Scored(found.astype(np.int32), sums[found].astype(np.float32))
    unique, place = np.unique(numbers, return_inverse=True)
    return Scored(unique.astype(np.int32), np.bincount(place, weights=scores, minlength=len(unique)).astype(np.float32))
