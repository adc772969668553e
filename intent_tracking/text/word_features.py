"""What the parser sees of a single word: its characters, and hashed features of its form."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Sequence
from functools import lru_cache

from intent_tracking.text.language import Language
from intent_tracking.text.simplified import simplified

LONGEST_WORD = 40
FORM_FEATURES = 8


class WordFeatures:
    """Character ids and hashed form features of words.

    Args:
        language: decides which ends of a word are features.
        characters: the inventory in the order of the rows of the character table; row 0 is for what is in none.
        rows: of the table of form features.
    """

    def __init__(self, language: Language, characters: Sequence[str], rows: int) -> None:
        self._language, self._rows = language, rows
        self._ids = {character: number for number, character in enumerate(characters)}
        # Words repeat; what is worked out once for a word serves all its uses.
        self.of = lru_cache(maxsize=100_000)(self._of)

    def _of(self, word: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        word = simplified(word[:LONGEST_WORD])
        return tuple(self._ids.get(character, 0) for character in word.lower()), self._form(word)

    def _form(self, word: str) -> tuple[int, ...]:
        """Hashed features of the kind that spaCy's and Collobert's taggers use: the form, its ends, its shape."""
        lower = word.lower()
        if self._language == "zh":
            values = (
                lower,
                lower[:1],
                lower[-1:],
                lower[:2],
                lower[-2:],
                lower[1:],
                f"{min(len(word), 5)}",
                shape(word),
            )
        else:
            values = (lower, lower[:1], lower[:2], lower[:3], lower[-2:], lower[-3:], lower[-4:], shape(word))
        return tuple(hashed(f"{number}{value}", self._rows) for number, value in enumerate(values))


def hashed(value: str, rows: int) -> int:
    """A row for `value`, the same on every machine and run."""
    return zlib.crc32(value.encode("utf-8", "surrogatepass")) % rows


@lru_cache(maxsize=100_000)
def shape(word: str) -> str:
    """`Xxx-99`: the kinds of the characters, runs cut to three."""
    kinds = ""
    for character in word:
        if character.isdigit():
            kind = "9"
        elif not character.isalpha():
            kind = character
        elif character.isascii() or unicodedata.category(character) in ("Lu", "Ll"):
            kind = "X" if character.isupper() else "x"
        else:
            kind = "o"
        if kinds[-3:] != kind * 3:
            kinds += kind
    return kinds
