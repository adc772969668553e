"""The words of what shoppers wrote, who used them, and a text with only those words that many used."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final, Protocol

from intent_tracking.text.language import Language
from intent_tracking.text.linguistics import Analysis
from intent_tracking.text.personal_data import PLACEHOLDERS

GAP: Final = "…"
_MASKED: Final = frozenset(PLACEHOLDERS.values())
_STOPS: Final = ",.;:!?，。、；：！？…~～"
_LETTER: Final = re.compile(r"[^\W_]")
_GAPS: Final = re.compile(rf"{GAP}(?:[\s\W]*{GAP})+")


class Analyser(Protocol):
    """`intent_tracking.text.linguistics.Linguistics`."""

    def words(self, texts: Iterable[str]) -> list[list[tuple[int, int]]]:
        """The characters of the words of each text."""
        ...

    def analyse(self, texts: Iterable[str]) -> Sequence[Analysis]:
        """The words of each text with tags and trees."""
        ...


@dataclass(frozen=True, slots=True)
class Said:
    """A search, a message or a review: who wrote it, and when. It is scrubbed already."""

    day: date
    shopper: str
    language: Language
    text: str


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was said, with the characters of its words."""

    said: Said
    spans: tuple[tuple[int, int], ...]

    @property
    def words(self) -> list[str]:
        """Small letters; neither punctuation nor what stands for personal data."""
        found = (self.said.text[start:end].lower() for start, end in self.spans)
        return [word for word in found if _LETTER.search(word) and word not in _MASKED]

    def terms(self, grammatical: Collection[str] = ()) -> set[str]:
        """The words, and pairs of neighbours as phrases; one that begins or ends with a `grammatical` word is none."""
        words = self.words
        joint = "" if self.said.language == "zh" else " "
        pairs = (pair for pair in pairwise(words) if not any(word in grammatical for word in pair))
        return {*words, *(joint.join(pair) for pair in pairs)}


def spoken(texts: Sequence[Said], analysers: Mapping[Language, Analyser]) -> list[Spoken]:
    """Each text with its words, in order; a text that comes again is cut once."""
    distinct: dict[Language, dict[str, None]] = defaultdict(dict)
    for said in texts:
        distinct[said.language][said.text] = None
    spans = {
        (language, text): tuple(_bare(text, start, end) for start, end in found)
        for language, known in distinct.items()
        for text, found in zip(known, analysers[language].words(known), strict=True)
    }
    return [Spoken(said, spans[said.language, said.text]) for said in texts]


def _bare(text: str, start: int, end: int) -> tuple[int, int]:
    """The word at `start` to `end` without the punctuation that its language's segmentation left on it."""
    word = text[start:end]
    first = len(word) - len(word.lstrip(_STOPS))
    return (start + first, start + len(word.rstrip(_STOPS))) if first < len(word) else (start, end)


class Voices:
    """How many different shoppers used each word."""

    def __init__(self, texts: Iterable[Spoken], least: int) -> None:
        """`least` shoppers make a word that is everybody's."""
        self._users: defaultdict[str, set[str]] = defaultdict(set)
        self._least = least
        for each in texts:
            for word in each.words:
                self._users[word].add(each.said.shopper)

    def common(self, word: str) -> bool:
        """Whether enough shoppers used `word` that it names nobody."""
        return len(self._users.get(word.lower(), ())) >= self._least

    def excerpt(self, text: Spoken) -> str | None:
        """The text with each word that is not common left out; None where less than half of it would be left.

        A name, an order number, a street or a rare thing is in no excerpt: fewer than `least` shoppers wrote it.
        """
        kept, at, left = [], 0, 0
        for start, end in text.spans:
            word = text.said.text[start:end]
            between = text.said.text[at:start]
            kept.append(between if not _LETTER.search(between) else " ")
            shown = word in _MASKED or not _LETTER.search(word) or self.common(word)
            kept.append(word if shown else GAP)
            left += not shown
            at = end
        if 2 * left > len(text.spans) or not text.words:
            return None
        return _GAPS.sub(GAP, "".join(kept)).strip()
