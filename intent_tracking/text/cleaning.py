"""One clean form for free text: Unicode compatibility form, nothing invisible, single spaces; and a length limit."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from intent_tracking.text.spans import SpanMap, replace_spans

MAX_CHARACTERS = 2000
CUT = " ... "
# A cut goes to a blank where there is one so near, which keeps words and most numbers whole or away.
_REACH = 100

# Control (other than white space), format and surrogate characters, variation selectors and the Hangul fillers: they
# show nothing, but split words for a tokenizer and hide numbers from the personal-data rules.
_INVISIBLE_CLASS = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_INVISIBLE = re.compile(f"[{_INVISIBLE_CLASS}]+")
_SPACES = re.compile(r"\s+")
_UNTIDY = re.compile(f"[^\\S ]|  |^ | $|[{_INVISIBLE_CLASS}]")


@dataclass(frozen=True)
class Cleaned:
    """A clean text and the map of spans from the original into it."""

    text: str
    map_span: SpanMap


def clean(text: str, max_characters: int | None = None) -> str:
    """`text` in NFKC, without invisible characters, white space folded to single spaces, its first `max_characters`.

    Full-width digits and letters become ASCII, so that the personal-data rules and the tokenizer see one form.
    Cleaning a clean text changes nothing.
    """
    if not text.isascii() and not unicodedata.is_normalized("NFKC", text):
        # Removing what is invisible first lets a letter and its accent meet; normalizing may bring new fillers.
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    if _UNTIDY.search(text):
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
        text = _SPACES.sub(" ", text).strip(" ")
    return text if max_characters is None or len(text) <= max_characters else text[:max_characters].rstrip(" ")


def clean_with_offsets(text: str) -> Cleaned:
    """As `clean`, with the map that carries annotation spans of `text` into the clean text."""
    mapped = SpanMap()
    for find in (_invisible_edits, _normal_form_edits, _invisible_edits, _normal_form_edits, _space_edits):
        text, step = replace_spans(text, find(text))
        mapped = mapped.then(step)
    return Cleaned(text, mapped)


def shortened(text: str) -> Cleaned:
    """A clean `text` of at most `MAX_CHARACTERS`: of a longer one the beginning and the end, ` ... ` between them.

    What is wanted stands at the beginning of a letter and what is asked for at its end. A span inside of what was cut
    out maps to an empty one, a span that reaches into it to what is left of it. The result is clean.
    """
    if len(text) <= MAX_CHARACTERS:
        return Cleaned(text, SpanMap())
    room = MAX_CHARACTERS - len(CUT)
    start = room // 2
    end = len(text) - (room - start)
    start = max(text.rfind(" ", start - _REACH, start + 1), 0) or start
    end = text.find(" ", end - 1, end + _REACH) + 1 or end
    # In two steps: a span that ends, or begins, at the cut does not take the dots along.
    text, cut = replace_spans(text, [(start, end, "")])
    text, marked = replace_spans(text, [(start, start, CUT)])
    return Cleaned(text, cut.then(marked))


def _invisible_edits(text: str) -> Iterator[tuple[int, int, str]]:
    return ((found.start(), found.end(), "") for found in _INVISIBLE.finditer(text))


def _space_edits(text: str) -> Iterator[tuple[int, int, str]]:
    for found in _SPACES.finditer(text):
        replacement = "" if found.start() == 0 or found.end() == len(text) else " "
        if found.group() != replacement:
            yield found.start(), found.end(), replacement


def _normal_form_edits(text: str) -> Iterator[tuple[int, int, str]]:
    """The smallest stretches of `text` whose normal form differs, each with that form."""
    if unicodedata.is_normalized("NFKC", text):
        return
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and _joins(text[start:end], text[end]):
            end += 1
        form = unicodedata.normalize("NFKC", text[start:end])
        if form != text[start:end]:
            yield start, end, form
        start = end


def _joins(stretch: str, character: str) -> bool:
    """Whether `character` composes with, or reorders before, the end of the stretch in front of it."""
    if character.isascii():
        return False
    alone = unicodedata.normalize("NFKC", character)
    if unicodedata.combining(alone[0]):
        return True
    return unicodedata.normalize("NFKC", stretch + character) != unicodedata.normalize("NFKC", stretch) + alone
