"""What rankers are trained and judged on: visits with a purchase, seen from the moment before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from intent_tracking.applications.recommendation.candidates import Candidates, candidates_of
from intent_tracking.applications.recommendation.history import MOST_LINES, MOST_VISITS
from intent_tracking.applications.recommendation.interactions import NEVER, Interactions, Ints, Reach
from intent_tracking.applications.recommendation.item_index import ItemIndex, learn_index
from intent_tracking.applications.recommendation.ranker_training import RankerRows
from intent_tracking.applications.recommendation.similarity import Neighbours, alike_by_text
from intent_tracking.applications.recommendation.situation import Situation

STEP_DAYS: Final = 7
NEGATIVES: Final = 120


@dataclass(frozen=True)
class Example:
    """A shopper before a purchase, and the items that were bought then."""

    situation: Situation
    taken: Ints

    @property
    def beyond_session(self) -> Ints:
        """What was bought and is not in the session: all that a strategy can bring that leaves session items out."""
        return np.setdiff1d(self.taken, self.situation.session_items)


@dataclass(frozen=True)
class Observed:
    """An example, the index of the days before it, and its candidates."""

    example: Example
    index: ItemIndex
    candidates: Candidates


def examples_of(interactions: Interactions, first_day: int, last_day: int, most: int, seed: int = 0) -> list[Example]:
    """Purchases from `first_day` to `last_day`, each from a moment of its visit before the first was paid for.

    A shopper is known by the visits before that day, and by what was looked at and carted up to that moment. The
    moments, and which visits are taken where there are more than `most`, are drawn with `seed`.
    """
    visits = np.flatnonzero((interactions.days >= first_day) & (interactions.days <= last_day))
    random = np.random.default_rng(seed)
    paid = np.unique(interactions.visit_of_line[interactions.reaches == Reach.BOUGHT])
    with_purchase = np.intersect1d(visits, paid).tolist()
    if len(with_purchase) > most:
        with_purchase = sorted(random.choice(with_purchase, most, replace=False).tolist())
    order = np.argsort(interactions.shoppers, kind="stable")
    ordered = interactions.shoppers[order]
    found = []
    for visit in with_purchase:
        shopper = interactions.shoppers[visit]
        own = order[np.searchsorted(ordered, shopper) : np.searchsorted(ordered, shopper, side="right")]
        earlier = own[interactions.days[own] < interactions.days[visit]]
        found.append(_example(interactions, visit, earlier, random))
    return found


def _example(interactions: Interactions, visit: int, earlier: Ints, random: np.random.Generator) -> Example:
    lines = interactions.lines_of(visit)
    items, firsts = interactions.items[lines], interactions.firsts[lines]
    paid = firsts[:, Reach.BOUGHT - 1]
    steps = firsts[:, : Reach.BOUGHT - 1]
    # What came after the first purchase cannot lead to it; which of the moments before it is asked about is drawn.
    moments = np.sort(steps[steps < paid.min()])
    passed = random.integers(0, len(moments) + 1) if len(moments) else 0
    happened = steps <= (moments[passed - 1] if passed else -1)
    newest = np.where(happened, steps, -1).max(axis=1)
    # An item that is new on the day is none that the index of the days before could know.
    known = happened.any(axis=1) & (interactions.catalogue.first_days[items] < interactions.days[visit])
    seen = np.flatnonzero(known)[np.argsort(newest[known])]
    rows = interactions.rows_of(earlier[-MOST_VISITS:])[-MOST_LINES:]
    return Example(
        Situation(
            day=int(interactions.days[visit]),
            items=interactions.items[rows],
            reaches=interactions.reaches[rows],
            days=interactions.days[interactions.visit_of_line[rows]],
            session_items=items[seen],
            session_reaches=np.where(happened[seen, Reach.CARTED - 1], Reach.CARTED, Reach.LOOKED).astype(np.int8),
        ),
        items[paid < NEVER],
    )


def observed(interactions: Interactions, examples: Sequence[Example], step_days: int = STEP_DAYS) -> Iterator[Observed]:
    """Each example with candidates from the index of the days before it; in the order of the days.

    What goes together is learned anew every `step_days`, and the rest of the index, from lines sorted once, every day.
    """
    alike = alike_by_text(interactions.catalogue)
    together: Neighbours | None = None
    index: ItemIndex | None = None
    for example in sorted(examples, key=lambda each: each.situation.day):
        day = example.situation.day
        if index is None or index.day != day:
            kept = together if index is not None and index.day // step_days == day // step_days else None
            index = learn_index(interactions, day, together=kept, alike=alike)
            together = index.together
        yield Observed(example, index, candidates_of(index, example.situation))


def ranker_rows(seen: Iterator[Observed], negatives: int = NEGATIVES, seed: int = 0) -> RankerRows:
    """What was taken among the candidates, and some of what was not; equal input gives equal rows."""
    random = np.random.default_rng(seed)
    rows = RankerRows()
    for each in seen:
        taken = np.isin(each.candidates.items, each.example.taken)
        left = np.flatnonzero(~taken)
        if not taken.any() or not len(left):
            continue
        drawn = random.choice(left, min(negatives, len(left)), replace=False)
        kept = np.sort(np.r_[np.flatnonzero(taken), drawn])
        rows.add(each.candidates.features[kept], taken[kept])
    return rows


def recall_at(count: int, ranked: Ints, taken: Ints) -> float:
    """Share of the distinct items taken that are among the first `count` of `ranked`."""
    return len(np.intersect1d(ranked[:count], taken)) / len(np.unique(taken))
