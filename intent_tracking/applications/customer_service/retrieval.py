"""From a question to the passages that may answer it: sparse and dense search, fused, then ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from intent_tracking.applications.customer_service.evidence import NAMES, UNKNOWN, Asked, evidence
from intent_tracking.applications.customer_service.passages import Passage
from intent_tracking.applications.customer_service.ranking import Ranker
from intent_tracking.applications.customer_service.sparse import FloatArray, IntArray, SparseIndex
from intent_tracking.applications.customer_service.terms import terms

# Each search gives its best; what both rate well comes first (Cormack et al. 2009, with their constant).
_EACH_SEARCH: Final = 40
_RANKED: Final = 40
_FUSION: Final = 60
# What has less than this share of the question's words (by rarity) and is less alike in meaning than this shares its
# form ("how long does ... take") rather than its subject.
_LEAST_COVERED: Final = 0.5
_LEAST_ALIKE: Final = 0.35
_COVERED: Final = NAMES.index("covered")


class Encoder(Protocol):
    """Whatever gives texts vectors: `modeling.sentences.SentenceEncoder`, or another local model."""

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors [n, H]; zeros for a text that it cannot read."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """A passage, and the probability that it answers, were it the best."""

    passage: Passage
    score: float


@dataclass(frozen=True, eq=False)
class Retriever:
    """Passages with their words and, where there is an `encoder`, their unit vectors [n, H]."""

    passages: Sequence[Passage]
    sparse: SparseIndex
    ranker: Ranker
    encoder: Encoder | None = None
    vectors: FloatArray | None = None

    def search(self, question: str, k: int) -> list[Found]:
        """The `k` most probable answers, best first; fewer where fewer passages have anything to do with it."""
        if not self.passages or k < 1:
            return []
        asked = Asked(question, tuple(terms([question])[0]))
        sparse = self.sparse.scores(asked.terms)
        dense = self._dense(question)
        places = _fused(sparse, dense)
        if not len(places):
            return []
        rows = evidence(self.sparse, asked, places, sparse[places], dense[places])
        scores = self.ranker.scores(rows)
        best = np.argsort(-scores, kind="stable")[:k]
        confidences = self.ranker.confidence(scores[best], blind=bool((dense[places] <= UNKNOWN).all()))
        confidences = _doubted(confidences, rows[best, _COVERED], dense[places[best]])
        return [
            Found(self.passages[int(places[place])], float(score))
            for place, score in zip(best, confidences, strict=True)
        ]

    def scores(self, asked: Asked, places: IntArray, sparse: FloatArray, dense: FloatArray) -> FloatArray:
        """What the ranker says of the passages at `places`, whose sparse and dense scores are known."""
        return self.ranker.scores(evidence(self.sparse, asked, places, sparse, dense))

    def _dense(self, question: str) -> FloatArray:
        unknown = np.full(len(self.passages), UNKNOWN, np.float32)
        if self.encoder is None or self.vectors is None:
            return unknown
        return cosines(self.encoder.encode([question])[0], self.vectors)


def _doubted(confidences: FloatArray, covered: FloatArray, dense: FloatArray) -> FloatArray:
    """`confidences`, best first, times the squared cosine where a passage has neither words nor meaning in common.

    A passage that comes after a doubtful one is no surer than that: the order stays the ranker's. Nothing is doubted
    where the encoder reads nothing.
    """
    doubtful = (covered < _LEAST_COVERED) & (dense > UNKNOWN) & (dense < _LEAST_ALIKE)
    doubted = np.where(doubtful, confidences * np.maximum(dense, 0.0) ** 2, confidences).astype(np.float32)
    result: FloatArray = np.minimum.accumulate(doubted)
    return result


def cosines(question: FloatArray, passages: FloatArray) -> FloatArray:
    """Cosines of unit vectors [H] and [n, H]; `UNKNOWN` where either is a row of zeros, which nobody could read."""
    found = np.full(len(passages), UNKNOWN, np.float32)
    if question.any():
        known = passages.any(axis=1)
        found[known] = passages[known] @ question
    return found


def words_of(passage: Passage) -> str:
    """What the encoder reads of a passage."""
    return f"{passage.title}\n{passage.text}" if passage.title else passage.text


def _fused(sparse: FloatArray, dense: FloatArray) -> IntArray:
    """Places of the passages that either search found, best of both first."""
    votes: dict[int, float] = {}
    for scores, floor in ((sparse, 0.0), (dense, UNKNOWN)):
        best = np.argsort(-scores, kind="stable")[:_EACH_SEARCH]
        for rank, place in enumerate(best[scores[best] > floor].tolist()):
            votes[place] = votes.get(place, 0.0) + 1 / (_FUSION + rank)
    ordered = sorted(votes, key=lambda place: (-votes[place], place))[:_RANKED]
    return np.array(ordered, np.int64)
