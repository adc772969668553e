"""An analyser that takes what stands between spaces for words, each hanging on the one before it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from intent_tracking.text.linguistics import Analysis, Token


class WordSplitter:
    """Fast and known; `seen` holds every text it was given. `tags` are those of known words, X of the others."""

    def __init__(self, tags: Mapping[str, str] | None = None) -> None:
        self.seen: list[str] = []
        self._tags = tags or {}

    def words(self, texts: Iterable[str]) -> list[list[tuple[int, int]]]:
        return [[word.span() for word in re.finditer(r"[^\s?!.,]+", text)] for text in texts]

    def analyse(self, texts: Iterable[str]) -> list[Analysis]:
        found = []
        for text in texts:
            self.seen.append(text)
            words = re.finditer(r"\S+", text)
            found.append(
                Analysis(
                    text,
                    tuple(
                        Token(
                            word[0],
                            word.start(),
                            word.end(),
                            self._tags.get(word[0].lower(), "X"),
                            number - 1,
                            "dep" if number else "root",
                        )
                        for number, word in enumerate(words)
                    ),
                )
            )
        return found
