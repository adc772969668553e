"""What speaks for a passage as the answer to a question, as numbers that a ranker weighs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from intent_tracking.applications.customer_service.sparse import FloatArray, IntArray, SparseIndex

NAMES: Final = (
    "sparse",
    "sparse_behind_best",
    "dense",
    "dense_behind_best",
    "covered",
    "covered_by_title",
    "rarest_covered",
    "pairs_covered",
    "title_used",
    "text_used",
    "question_terms",
    "text_terms",
    "has_title",
    "number_where_asked",
    "yes_or_no_asked",
    "place_asked",
)
"""What the columns of `evidence` say, in order."""

UNKNOWN: Final = -2.0
"""Stands for a dense similarity that nobody can tell: below every cosine."""

_ASKS_NUMBER = re.compile(
    r"\b(how (many|much|long|big|large|tall|heavy|wide|old|fast|often|far|deep|thick)|what (size|is the (size|weight|"
    r"length|height|width|price|age|capacity|dimension\w*)|age)|weigh\w*|dimensions?|measure\w*)\b|几|多少|多久|多大|多长|多高|多重",
    re.IGNORECASE,
)
_ASKS_YES_NO = re.compile(
    r"^\W*(is|are|was|were|does|do|did|can|could|will|would|has|have|had|should|may)\b|[吗么嘛]\W*$|是否|能不能|可不可以",
    re.IGNORECASE,
)
_ASKS_PLACE = re.compile(r"\b(where|from which|what country)\b|哪里|哪儿|在哪", re.IGNORECASE)


@dataclass(frozen=True)
class Asked:
    """A question as the evidence reads it: its words and its terms."""

    text: str
    terms: tuple[str, ...]


def evidence(index: SparseIndex, asked: Asked, passages: IntArray, sparse: FloatArray, dense: FloatArray) -> FloatArray:
    """One row for each of `passages` [n] -> [n, len(NAMES)].

    Args:
        index: knows the terms of the passages.
        asked: the question.
        passages: the candidates among which it is asked; some columns compare with the best of them.
        sparse: the BM25 score of each.
        dense: the cosine of each with the question; `UNKNOWN` where the encoder cannot read one of them.
    """
    rarity = index.rarity(asked.terms)
    total = max(sum(rarity.values()), 1e-9)
    rarest = max(rarity, key=rarity.__getitem__, default=None)
    numbers = [index.vocabulary.get(term, -1) for term in asked.terms]
    pairs = {pair for pair in pairwise(numbers) if min(pair) >= 0}
    wants_number, wants_yes, wants_place = (
        float(bool(pattern.search(asked.text))) for pattern in (_ASKS_NUMBER, _ASKS_YES_NO, _ASKS_PLACE)
    )
    known = dense > UNKNOWN
    best_sparse = float(sparse.max(initial=0.0))
    best_dense = float(dense.max(initial=-1.0, where=known))
    rows = np.zeros((len(passages), len(NAMES)), np.float32)
    for row, passage in enumerate(passages):
        title, text = index.titles.of(int(passage)).tolist(), index.texts.of(int(passage)).tolist()
        in_title, in_text = set(title), set(text)
        both = in_title | in_text
        met = rarity.keys() & both
        neighbours = {*pairwise(title), *pairwise(text)}
        rows[row] = (
            sparse[row] / total,
            (best_sparse - sparse[row]) / total,
            dense[row],
            best_dense - dense[row] if known[row] else UNKNOWN,
            sum(rarity[each] for each in met) / total,
            sum(rarity[each] for each in rarity.keys() & in_title) / total,
            float(rarest in both),
            len(pairs & neighbours) / max(1, len(pairs)),
            len(in_title & rarity.keys()) / max(1, len(in_title)),
            len(in_text & rarity.keys()) / max(1, len(in_text)),
            len(rarity),
            len(text),
            float(bool(title)),
            wants_number * (-1.0 if in_text.isdisjoint(index.numeric) else 1.0),
            wants_yes,
            wants_place,
        )
    return rows
