"""Personal data out of free text before it is stored: each finding becomes a typed placeholder.

Clean first, scrub second (`scrub(clean(text))`): cleaning removes the invisible characters that hide a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from intent_tracking.text import addresses, identifiers
from intent_tracking.text.spans import SpanMap, replace_spans

Span = tuple[int, int]

PLACEHOLDERS: dict[str, str] = {
    "phone": "<phone>",
    "email": "<email>",
    "card": "<card>",
    "id_number": "<id_number>",
    "address": "<address>",
    "ip": "<ip>",
}
"""What is found, and what stands in the text for it, in a stable order."""

# Text that holds none of these characters holds no personal data that the rules know.
_SUSPECT = re.compile("[0-9@\uff10-\uff19\uff20号栋幢弄室座层楼市区县旗州盟]")
_DIGIT = re.compile("[0-9]")
# One to one, so that offsets stay: full-width forms, and the dashes and spaces that people paste into numbers.
_ONE_FORM = {
    **{0xFF10 + digit: ord("0") + digit for digit in range(10)},
    **{0xFF21 + letter: ord("A") + letter for letter in range(26)},
    **{0xFF41 + letter: ord("a") + letter for letter in range(26)},
    **{ord(wide): ord(ascii_form) for wide, ascii_form in zip("＠．＋（）－：", "@.+()-:", strict=True)},
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2015, 0x2212), ord("-")),
    **dict.fromkeys((0x00A0, 0x2007, 0x2009, 0x202F, 0x3000, 0x0009), ord(" ")),
}  # fmt: skip


@dataclass(frozen=True)
class Scrubbed:
    """A text without personal data, how often each kind was found, and the map of spans from the original."""

    text: str
    found: dict[str, int]
    map_span: SpanMap


def scrub(text: str) -> Scrubbed:
    """Replace phones, e-mail addresses, payment cards, identity numbers, postal addresses and IP addresses in `text`.

    Everything else stays as it is, order numbers, prices, sizes, model numbers, timestamps and UUIDs included.
    Scrubbing a scrubbed text changes nothing. `map_span(start, end)` carries a span of `text` into the result; a span
    that touches a finding grows to its placeholder.
    """
    mapped = SpanMap()
    found: dict[str, int] = {}
    # A placeholder may free what stood beside a finding (a number that touched it), so look until nothing is found.
    # Each round takes out at least one digit, @ or Chinese character and no placeholder has any, so this ends.
    while _SUSPECT.search(text) is not None:
        findings = _findings(text)
        if not findings:
            break
        for _, _, kind in findings:
            found[kind] = found.get(kind, 0) + 1
        text, step = replace_spans(text, [(start, end, PLACEHOLDERS[kind]) for start, end, kind in findings])
        mapped = mapped.then(step)
    return Scrubbed(text, {kind: found[kind] for kind in PLACEHOLDERS if kind in found}, mapped)


def _findings(text: str) -> list[tuple[int, int, str]]:
    """Disjoint findings in the order of the text; where two overlap, the kind found first by `_search` wins."""
    seen = text if text.isascii() else text.translate(_ONE_FORM)
    taken: list[tuple[int, int, str]] = []
    guarded: list[Span] | None = None
    for kind, find, guard in _search(seen):
        for start, end in find(seen):
            if guard:
                guarded = identifiers.protected(seen) if guarded is None else guarded
                if any(start < other_end and other_start < end for other_start, other_end in guarded):
                    continue
            if not any(start < other_end and other_start < end for other_start, other_end, _ in taken):
                taken.append((start, end, kind))
    return sorted(taken)


def _search(text: str) -> Iterator[tuple[str, Callable[[str], Iterator[Span]], bool]]:
    """The rules that can match `text`, surest first: kind, finder, and whether dates and UUIDs are off limits."""
    if "@" in text:
        yield "email", identifiers.emails, False
    digits = len(_DIGIT.findall(text))
    if digits >= 6:
        yield "id_number", identifiers.identity_numbers, True
    if digits >= 13:
        yield "card", identifiers.cards, True
    if digits:
        yield "address", addresses.english_addresses, False
    if not text.isascii():
        yield "address", addresses.chinese_addresses, False
    if text.count(".") >= 3 or text.count(":") >= 2:
        yield "ip", identifiers.network_addresses, True
    if digits >= 7:
        yield "phone", identifiers.phones, True
