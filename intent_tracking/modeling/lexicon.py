"""Chinese words and characters with an English gloss: what an English encoder can be told about Chinese.

The glosses are our own, short and rough; they serve new embedding rows and code-switching, and are no dictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType


@cache
def glosses() -> Mapping[str, str]:
    """English words (lower case, separated by blanks) of each Chinese word or character."""
    entries: dict[str, str] = {}
    for line in files("intent_tracking.modeling").joinpath("lexicon.tsv").read_text(encoding="utf-8").splitlines():
        word, gloss = line.split("\t")
        entries[word] = gloss
    return MappingProxyType(entries)


@cache
def translations() -> Mapping[str, str]:
    """The Chinese word of each English gloss; only whole words of two characters or more, the first of each gloss."""
    found: dict[str, str] = {}
    for word, gloss in glosses().items():
        if len(word) > 1:
            found.setdefault(gloss, word)
    return MappingProxyType(found)
