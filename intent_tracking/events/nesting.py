"""Decoding of JSON from outside, with one limit on its depth that holds wherever a record is read."""

from __future__ import annotations

from typing import Final

import orjson

MAX_NESTING: Final = 64
"""Objects and lists inside one another. No source needs a dozen; the walks over a document and its writing fail some
hundreds deep, and one log line must not end an ingestion."""


class TooDeepError(ValueError):
    """A JSON document is nested deeper than its reader allows."""


def loads(raw: str, limit: int = MAX_NESTING) -> object:
    """The document of `raw`.

    Raises:
        orjson.JSONDecodeError: `raw` is no JSON.
        TooDeepError: more than `limit` objects and lists stand inside one another.
    """
    document: object = orjson.loads(raw)
    # A text without so many brackets cannot nest them: the usual record is not walked.
    if raw.count("[") + raw.count("{") > limit and _is_deeper(document, limit):
        raise TooDeepError(f"nested more than {limit} levels deep")
    return document


def _is_deeper(document: object, limit: int) -> bool:
    # Level by level, not by recursion: that is what this check protects the others from.
    level = [document] if isinstance(document, dict | list) else []
    for _ in range(limit):
        inner = (each for holder in level for each in (holder.values() if isinstance(holder, dict) else holder))
        level = [each for each in inner if isinstance(each, dict | list)]
    return bool(level)
