"""Which passages share words with a question: BM25 over the terms of every passage."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from intent_tracking.applications.customer_service.passages import Passage
from intent_tracking.applications.customer_service.terms import terms

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]

# The defaults of Lucene and of Robertson & Zaragoza 2009.
_K1: Final = 1.2
_B: Final = 0.75
_NUMERIC = re.compile(r".*\d.*|one|two|three|four|five|six|seven|eight|nine|ten|dozen|[一二三四五六七八九十百千万两]+")
_VOCABULARY: Final = "vocabulary.json"
_TERMS: Final = "terms.safetensors"


@dataclass(frozen=True, eq=False)
class TermLists:
    """The numbers of the terms of each passage, in order: those of passage i are `numbers[bounds[i]:bounds[i + 1]]`."""

    bounds: IntArray
    numbers: IntArray

    def of(self, passage: int) -> IntArray:
        """The terms of one passage."""
        return self.numbers[self.bounds[passage] : self.bounds[passage + 1]]


class SparseIndex:
    """BM25 (Robertson & Zaragoza 2009) over title and text; safe to share between threads.

    Attributes:
        vocabulary: the number of each term.
        titles, texts: the terms of each passage.
        size: how many passages there are.
        numeric: terms that say how many.
    """

    def __init__(self, vocabulary: Mapping[str, int], titles: TermLists, texts: TermLists) -> None:
        self.vocabulary = vocabulary
        self.titles = titles
        self.texts = texts
        self.size = len(titles.bounds) - 1
        self.numeric = frozenset(number for word, number in vocabulary.items() if _NUMERIC.fullmatch(word))
        owners = np.concatenate([_owners(titles), _owners(texts)])
        numbers = np.concatenate([titles.numbers, texts.numbers])
        width = max(1, len(vocabulary))
        keys, counts = np.unique(numbers * max(1, self.size) + owners, return_counts=True)
        term, passage = np.divmod(keys, max(1, self.size))
        lengths = np.bincount(owners, minlength=self.size).astype(np.float32)
        average = float(lengths.mean()) if self.size else 1.0
        frequency = np.bincount(term, minlength=width)
        self._idf = np.log1p((self.size - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
        damping = _K1 * (1 - _B + _B * lengths[passage] / max(average, 1e-9))
        self._weights = (self._idf[term] * counts * (_K1 + 1) / (counts + damping)).astype(np.float32)
        self._passages = passage
        self._bounds = np.concatenate([[0], np.cumsum(frequency)])

    @classmethod
    def build(cls, passages: Sequence[Passage]) -> SparseIndex:
        """The index of `passages`, by their place."""
        titles, texts = terms([each.title for each in passages]), terms([each.text for each in passages])
        words = sorted({term for part in (*titles, *texts) for term in part})
        vocabulary = {word: number for number, word in enumerate(words)}
        return cls(vocabulary, _lists(titles, vocabulary), _lists(texts, vocabulary))

    def scores(self, question: Sequence[str]) -> FloatArray:
        """What each passage [n] scores for the terms of a question; 0 where it shares none."""
        found = np.zeros(self.size, np.float32)
        for term in set(question):
            number = self.vocabulary.get(term)
            if number is not None:
                span = slice(self._bounds[number], self._bounds[number + 1])
                found[self._passages[span]] += self._weights[span]
        return found

    def rarity(self, question: Sequence[str]) -> dict[int, float]:
        """The inverse document frequency of each term of a question by its number; unknown ones get numbers below 0."""
        unknown = float(np.log1p(2 * self.size + 1))
        found: dict[int, float] = {}
        for place, term in enumerate(dict.fromkeys(question)):
            number = self.vocabulary.get(term)
            found[-1 - place if number is None else number] = unknown if number is None else float(self._idf[number])
        return found

    def save(self, folder: Path) -> None:
        """Write `vocabulary.json` and `terms.safetensors`."""
        words = json.dumps(sorted(self.vocabulary, key=self.vocabulary.__getitem__), ensure_ascii=False)
        (folder / _VOCABULARY).write_text(words + "\n", encoding="utf-8")
        arrays: dict[str, npt.NDArray[Any]] = {
            "title_bounds": self.titles.bounds,
            "titles": self.titles.numbers.astype(np.int32),
            "text_bounds": self.texts.bounds,
            "texts": self.texts.numbers.astype(np.int32),
        }
        save_file(arrays, folder / _TERMS)

    @classmethod
    def load(cls, folder: Path) -> SparseIndex:
        """Read what `save` wrote."""
        words = json.loads((folder / _VOCABULARY).read_text(encoding="utf-8"))
        arrays = {name: values.astype(np.int64) for name, values in load_file(folder / _TERMS).items()}
        return cls(
            {word: number for number, word in enumerate(words)},
            TermLists(arrays["title_bounds"], arrays["titles"]),
            TermLists(arrays["text_bounds"], arrays["texts"]),
        )


def _lists(parts: Sequence[Sequence[str]], vocabulary: Mapping[str, int]) -> TermLists:
    bounds = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    return TermLists(bounds, np.array([vocabulary[term] for part in parts for term in part], np.int64))


def _owners(lists: TermLists) -> IntArray:
    return np.repeat(np.arange(len(lists.bounds) - 1), np.diff(lists.bounds))
