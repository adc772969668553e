"""An analyser that takes what stands between spaces for words, each hanging on the one before it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from intent_tracking.text.linguistics import Analysis, Token


class WordSplitter:
    """Fast and known; `seen` holds every text it was given."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def analyse(self, texts: Iterable[str]) -> list[Analysis]:
        found = []
        for text in texts:
            self.seen.append(text)
            words = re.finditer(r"\S+", text)
            found.append(
                Analysis(
                    text,
                    tuple(
                        Token(word[0], word.start(), word.end(), "X", number - 1, "dep" if number else "root")
                        for number, word in enumerate(words)
                    ),
                )
            )
        return found
