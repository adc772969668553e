"""What is known of the items on one day: popularity, what is bought again, what goes together, what is alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from intent_tracking.applications.recommendation.interactions import Catalogue, Floats, Interactions, Ints, Reach
from intent_tracking.applications.recommendation.similarity import Neighbours, alike_by_text, bought_together

RECENT_DAYS: Final = (7, 28, 84)
VISITS_PER_ITEM: Final = 200
"""How many of the newest visits with an item are looked at for visits like the present one."""
_MOST_VISITS: Final = 1_000_000
_DAYS_OF_MONTH: Final = 28
# A rate of few shoppers says little: it is drawn to the mean of all items as if this many more had been seen.
_PRIOR_SHOPPERS: Final = 5.0


@dataclass(frozen=True)
class VisitMemory:
    """The newest visits by what was in them; whose they were is not kept.

    Attributes:
        starts, items: the items of visit `v` are `items[starts[v]:starts[v + 1]]`, oldest visit first.
        posting_starts, postings: the visits with item `i` are `postings[posting_starts[i]:posting_starts[i + 1]]`, at
            most `VISITS_PER_ITEM`, newest first.
        days: `[visits]`.
    """

    starts: npt.NDArray[np.int64]
    items: Ints
    posting_starts: npt.NDArray[np.int64]
    postings: Ints
    days: Ints


@dataclass(frozen=True)
class ItemFigures:
    """What each item is by itself, `[items]` each.

    Attributes:
        shoppers: how many dealt with it.
        bought: visits in which it was bought.
        recent: `[len(RECENT_DAYS), items]` of them in the last days.
        again: share of its buyers who bought it on a later day too, drawn to the mean of all where they are few.
        gap_days: mean number of days until they did.
    """

    shoppers: Ints
    bought: Floats
    recent: Floats
    again: Floats
    gap_days: Floats


@dataclass(frozen=True)
class ItemIndex:
    """Everything that recommendations are computed from, as of the beginning of `day`."""

    day: int
    catalogue: Catalogue
    figures: ItemFigures
    together: Neighbours
    alike: Neighbours
    memory: VisitMemory

    @cached_property
    def number_of(self) -> dict[str, int]:
        """Item number by id."""
        return {item_id: number for number, item_id in enumerate(self.catalogue.ids)}

    @cached_property
    def popular(self) -> Ints:
        """Items by recent popularity, best first."""
        recent = self.figures.recent[1] + self.figures.bought / max(1.0, float(self.figures.bought.max(initial=0.0)))
        return np.argsort(-recent, kind="stable").astype(np.int32)


def learn_index(
    interactions: Interactions, day: int, *, together: Neighbours | None = None, alike: Neighbours | None = None
) -> ItemIndex:
    """The index of what happened before `day`; `together` and `alike` where those of an earlier day shall do."""
    known = interactions.before(day)
    lines = len(known.items)
    # Sorted once for every day that is asked about: what was known then is what remains of the order.
    dealings, newest = (
        order[order < lines] for order in (interactions.by_shopper_and_item, interactions.newest_by_item)
    )
    return ItemIndex(
        day=day,
        catalogue=known.catalogue,
        figures=_figures(known, day, dealings),
        together=together if together is not None else bought_together(known),
        alike=alike if alike is not None else alike_by_text(known.catalogue),
        memory=_memory(known, newest),
    )


def _figures(known: Interactions, day: int, order: npt.NDArray[np.int64]) -> ItemFigures:
    count = len(known.catalogue)
    visit = known.visit_of_line[order]
    # Lines of one shopper and item, one after the other in time.
    items, days, shoppers = known.items[order], known.days[visit], known.shoppers[visit]
    dealt_with = np.bincount(items[~_as_before(items, shoppers)], minlength=count)
    paid = known.reaches[order] == Reach.BOUGHT
    items, days, shoppers = items[paid], days[paid], shoppers[paid]
    recent = [np.bincount(items[days >= day - span], minlength=count) for span in RECENT_DAYS]
    repeated = _as_before(items, shoppers)
    gaps = np.diff(days, prepend=0)[repeated]
    buyers = np.bincount(items[~repeated], minlength=count)
    second = np.zeros(len(items), np.bool_)
    second[1:] = repeated[1:] & ~repeated[:-1]
    again = np.bincount(items[second], minlength=count)
    repeats = np.bincount(items[repeated], minlength=count)
    mean_again = again.sum() / max(1, buyers.sum())
    mean_gap = float(gaps.mean()) if len(gaps) else float(_DAYS_OF_MONTH)
    sums = np.bincount(items[repeated], weights=gaps, minlength=count)
    return ItemFigures(
        shoppers=dealt_with.astype(np.int32),
        bought=np.bincount(items, minlength=count).astype(np.float32),
        recent=np.stack(recent).astype(np.float32),
        again=((again + _PRIOR_SHOPPERS * mean_again) / (buyers + _PRIOR_SHOPPERS)).astype(np.float32),
        gap_days=((sums + _PRIOR_SHOPPERS * mean_gap) / (repeats + _PRIOR_SHOPPERS)).astype(np.float32),
    )


def _as_before(items: Ints, shoppers: Ints) -> npt.NDArray[np.bool_]:
    """`[lines]`: whether the line before is of the same item and shopper."""
    found = np.zeros(len(items), np.bool_)
    found[1:] = (items[1:] == items[:-1]) & (shoppers[1:] == shoppers[:-1])
    return found


def _memory(known: Interactions, order: npt.NDArray[np.int64]) -> VisitMemory:
    first = max(0, len(known.days) - _MOST_VISITS)
    begin = int(known.starts[first])
    order = order[order >= begin]
    items = known.items[order]
    counts = np.bincount(items, minlength=len(known.catalogue))
    place = np.arange(len(items)) - (np.cumsum(counts) - counts)[items]
    kept = order[place < VISITS_PER_ITEM]
    return VisitMemory(
        starts=known.starts[first:] - begin,
        items=known.items[begin:],
        posting_starts=np.r_[0, np.cumsum(np.minimum(counts, VISITS_PER_ITEM))].astype(np.int64),
        postings=known.visit_of_line[kept] - np.int32(first),
        days=known.days[first:],
    )
