"""Typed rows of the text sets, one form for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")
OUT_OF_SCOPE = "oos"


@dataclass(frozen=True)
class Span:
    """Key information: characters [start, end) of the utterance."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Utterance:
    """One labelled text.

    Attributes:
        text: as it was written.
        intent: one label; where the set gives several, the reader says how they became one.
        language: `en` or `zh`.
        scene: the domain, where a set has several.
        spans: key information; None where the set marks none.
        dialogue: id of the dialogue that it comes from.
    """

    text: str
    intent: str
    language: Literal["en", "zh"] = "en"
    scene: str | None = None
    spans: tuple[Span, ...] | None = None
    dialogue: str | None = None


@dataclass(frozen=True)
class UtteranceSet:
    """A labelled set in its splits; `left_out` counts the rows that cannot be used, by split and reason."""

    train: tuple[Utterance, ...]
    dev: tuple[Utterance, ...]
    test: tuple[Utterance, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)

    def split(self, name: Split) -> tuple[Utterance, ...]:
        """The rows of one split; `dev` may be empty."""
        return {"train": self.train, "dev": self.dev, "test": self.test}[name]


def same_words(text: str) -> str:
    """What two texts share when they differ in letter case and outer blanks only."""
    return text.strip().casefold()


def seen_in_train(rows: UtteranceSet) -> tuple[bool, ...]:
    """For each test text, whether training holds the same words: figures are given with and without these."""
    known = {same_words(row.text) for row in rows.train}
    return tuple(same_words(row.text) in known for row in rows.test)
