"""Which items are close to which: bought or looked at together, or alike by name. Computed when an index is built.

The one place that knows `implicit`, whose C++ top-k over sparse matrices holds no more than one row in memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from intent_tracking.applications.recommendation.interactions import Catalogue, Floats, Interactions, Ints, Reach

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

NEIGHBOURS: Final = 60
SIMILAR: Final = 20
# A line of a cart or a look says less of what goes together than one that was paid for.
_WEIGHT_OF_REACH: Final = {Reach.LOOKED: 0.3, Reach.CARTED: 0.6, Reach.BOUGHT: 1.0}
# Items that share only words as common as this are no more alike than any two: without the bound, a million names would
# be compared with a hundred thousand others each.
_LEAST_COMMON: Final = 50
_MOST_COMMON: Final = 1000
_COMMON_SHARE: Final = 0.1
_WORD: Final = re.compile(r"[0-9a-z]+|[\u3400-\u9fff]+")


@dataclass(frozen=True)
class Neighbours:
    """The nearest other items of each item, best first.

    Attributes:
        items: `[items, k]` item numbers, -1 where there are fewer.
        scores: `[items, k]` in 0..1, 0 where there are fewer.
    """

    items: Ints
    scores: Floats


def bought_together(interactions: Interactions, count: int = NEIGHBOURS) -> Neighbours:
    """Items of the same visits, by the cosine of their visits, where a long visit says less of each pair in it."""
    from scipy.sparse import csr_matrix

    sizes = np.diff(interactions.starts)
    weights = np.zeros(max(Reach) + 1, np.float64)
    for reach, weight in _WEIGHT_OF_REACH.items():
        weights[reach] = weight
    values = weights[interactions.reaches] / np.sqrt(np.repeat(sizes, sizes))
    shape = (len(interactions.days), len(interactions.catalogue))
    visits = csr_matrix((values, interactions.items, interactions.starts), shape=shape)
    return _nearest(visits.T.tocsr(), count)


def alike_by_text(catalogue: Catalogue, count: int = SIMILAR) -> Neighbours:
    """Items whose names, categories and brands share telling words, by the cosine of their TF-IDF vectors."""
    matrix, _ = word_vectors(catalogue)
    return _nearest(matrix, count)


def words_of(text: str) -> list[str]:
    """The words of an item's description: runs of Latin letters and digits, pairs of Chinese characters."""
    found: list[str] = []
    for run in _WORD.findall(text.lower()):
        if run[0] < "\u3400":
            found.append(run.removesuffix("s") if len(run) > 3 else run)
        else:
            found.extend(run[at : at + 2] for at in range(max(1, len(run) - 1)))
    return found


def word_vectors(catalogue: Catalogue) -> tuple[csr_matrix, list[str]]:
    """`[items, words]` TF-IDF rows of length 1, and the words; words of one item alone tell of no other."""
    from scipy.sparse import csr_matrix

    texts = zip(catalogue.names, catalogue.categories, catalogue.brands, strict=True)
    words = [sorted(set(words_of(" ".join(parts)))) for parts in texts]
    numbers: dict[str, int] = {}
    columns = np.array([numbers.setdefault(word, len(numbers)) for each in words for word in each], np.int64)
    starts = np.r_[0, np.cumsum([len(each) for each in words])].astype(np.int64)
    counts = np.bincount(columns, minlength=len(numbers)) if len(columns) else np.zeros(0, np.int64)
    most = min(max(_LEAST_COMMON, int(_COMMON_SHARE * len(catalogue))), _MOST_COMMON)
    telling = (counts >= 2) & (counts <= most)
    weights = np.where(telling, np.log((1 + len(catalogue)) / (1 + counts)) + 1, 0.0)
    matrix = csr_matrix((weights[columns], columns, starts), shape=(len(catalogue), max(1, len(numbers))))
    matrix.eliminate_zeros()
    return matrix, list(numbers)


def _nearest(rows: csr_matrix, count: int) -> Neighbours:
    """The `count` rows of largest cosine to each, itself left out; equal scores by item number."""
    from implicit.nearest_neighbours import all_pairs_knn
    from scipy.sparse import csr_matrix

    size = rows.shape[0]
    items, scores = np.full((size, count), -1, np.int32), np.zeros((size, count), np.float32)
    if rows.nnz:
        lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
        unit = csr_matrix(rows.multiply((1 / np.maximum(lengths, 1e-12))[:, None]))
        found = all_pairs_knn(unit.T.tocsr(), count + 1, show_progress=False, num_threads=1).tocoo()
        kept = (found.row != found.col) & (found.data > 0)
        row, column, value = found.row[kept], found.col[kept], np.round(found.data[kept], 6)
        order = np.lexsort((column, -value, row))
        row, column, value = row[order], column[order], value[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        near = place < count
        items[row[near], place[near]], scores[row[near], place[near]] = column[near], np.minimum(value[near], 1.0)
    return Neighbours(items, scores)
