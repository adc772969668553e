"""The choice of an answer's items: the best scores, without too many of a kind.

Maximal marginal relevance (Carbonell and Goldstein 1998) over the text neighbours of the index.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from intent_tracking.applications.recommendation.interactions import Floats, Ints
from intent_tracking.applications.recommendation.item_index import ItemIndex

_POOL: Final = 5


def chosen(
    items: Ints,
    scores: Floats,
    allowed: npt.NDArray[np.bool_],
    index: ItemIndex,
    count: int,
    *,
    first: Sequence[int] = (),
    diversity: float = 0.0,
    most_of_category: int | None = None,
) -> list[int]:
    """Places in `items` of at most `count` of them, best first.

    Args:
        items, scores, allowed: the candidates, `[items]` each.
        index: says which items are alike, and their categories.
        count: how many are wanted.
        first: places that come first whatever their score.
        diversity: weight of the likeness to what was chosen, against the score.
        most_of_category: bound on items of one category; those without one are not counted.
    """
    free = np.flatnonzero(allowed)
    # What diversity may bring up comes from the best few for each place; a bound on categories may need any.
    pool = free[np.argsort(-scores[free], kind="stable")]
    if most_of_category is None:
        pool = pool[: _POOL * count]
    likeness = np.zeros(len(pool), np.float32)
    left = np.ones(len(pool), np.bool_)
    categories: Counter[str] = Counter()
    picked: list[int] = []
    waiting = [place for place in first if allowed[place]]
    while len(picked) < count:
        if waiting:
            place = waiting.pop(0)
            left &= pool != place
        else:
            if not left.any():
                break
            value = np.where(left, (1 - diversity) * scores[pool] - diversity * likeness, -np.inf)
            best = int(np.argmax(value))
            place, left[best] = int(pool[best]), False
        category = index.catalogue.categories[items[place]]
        if most_of_category is not None and category and categories[category] >= most_of_category:
            continue
        categories[category] += 1
        picked.append(place)
        if diversity:
            likeness = np.maximum(likeness, _likeness(int(items[place]), items[pool], index))
    return picked


def _likeness(item: int, others: Ints, index: ItemIndex) -> Floats:
    """`[others]`: how alike each is to `item`, by text."""
    near, scores = index.alike.items[item], index.alike.scores[item]
    same = others[:, None] == near[None, :]
    found: Floats = (same * scores).max(axis=1, initial=0.0).astype(np.float32)
    return found
