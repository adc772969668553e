"""What a text says of a thing, read off its tree: "red leather shoes under 50 dollars", "100元以下的红色皮鞋"."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from intent_tracking.text.linguistics import Analysis, Token
from intent_tracking.text.simplified import simplified

_MODIFIERS = frozenset({"amod", "compound", "nmod", "nummod", "acl", "flat"})
_THINGS = frozenset({"NOUN", "PROPN"})
_KINDS = ("colour", "material", "size")


@dataclass(frozen=True)
class Attribute:
    """A value and the thing that it is said of, as characters of the analysed text.

    `kind` is colour, material, size, quantity, price, price_at_most, price_at_least, or modifier for any other. The
    thing's span is (0, 0) where the tree names none.
    """

    kind: str
    value: str
    start: int
    end: int
    thing: str
    thing_start: int
    thing_end: int


def attributes(analysis: Analysis) -> tuple[Attribute, ...]:
    """The attributes of the things in `analysis`, in the order of the text; relations are those of UD."""
    prices = [price for number in range(len(analysis.tokens)) if (price := _price(analysis, number)) is not None]
    found = [attribute for attribute, _ in prices]
    taken = {number for _, used in prices for number in used}
    for number, token in enumerate(analysis.tokens):
        if number in taken or token.head < 0 or token.tag == "PRON" or _base(token) not in _MODIFIERS:
            continue
        head = analysis.tokens[token.head]
        # The 42 of "size 42" is part of a value, and no attribute of the size.
        if _base(head) in _MODIFIERS and _in_value(token):
            continue
        if head.tag in _THINGS and not _is(head, "currency") and token.head not in taken:
            found.append(_modifier(analysis, number))
    return tuple(sorted(found, key=lambda each: (each.start, each.end)))


def _modifier(analysis: Analysis, number: int) -> Attribute:
    token = analysis.tokens[number]
    first = last = number
    # "dark red", "size 42": what hangs on the modifier and touches it belongs to the value.
    while first and analysis.tokens[first - 1].head in range(first, last + 1) and _in_value(analysis.tokens[first - 1]):
        first -= 1
    following = last + 1
    while following < len(analysis.tokens) and analysis.tokens[following].head in range(first, last + 1):
        if not _in_value(analysis.tokens[following]):
            break
        last, following = following, following + 1
    words = analysis.tokens[first : last + 1]
    kind = next((kind for kind in _KINDS if any(_is(word, kind) for word in words)), None)
    if kind is None:
        kind = "quantity" if _base(token) == "nummod" else "modifier"
    return _attribute(analysis, kind, first, last, token.head)


def _in_value(token: Token) -> bool:
    return _base(token) in {"advmod", "amod", "compound", "nummod", "flat"}


def _price(analysis: Analysis, number: int) -> tuple[Attribute, set[int]] | None:
    """A price at token `number`, with the tokens it takes up: a number beside or under a currency."""
    tokens = analysis.tokens
    if tokens[number].tag != "NUM" and not tokens[number].text[:1].isdigit():
        return None
    currency = next(
        (
            other
            for other in (number + 1, number - 1, tokens[number].head)
            if 0 <= other < len(tokens) and _is(tokens[other], "currency")
        ),
        None,
    )
    if currency is None:
        return None
    pair = {number, currency}
    # The word that bounds the price stands right before or after it, or hangs on it: "under 50 dollars", "50 元 以下".
    near = {min(pair) - 1, min(pair) - 2, max(pair) + 1} & set(range(len(tokens)))
    near |= {other for other, token in enumerate(tokens) if token.head in pair}
    bounds = [
        (kind, other) for other in sorted(near - pair) for kind in ("at_most", "at_least") if _is(tokens[other], kind)
    ]
    kind = f"price_{bounds[0][0]}" if bounds else "price"
    thing, seen = tokens[currency].head if tokens[number].head == currency else tokens[number].head, set(pair)
    while thing >= 0 and (thing in seen or tokens[thing].tag not in _THINGS or _is(tokens[thing], "currency")):
        seen.add(thing)
        thing = tokens[thing].head
        if thing in seen and thing not in pair:
            thing = -1
    return _attribute(analysis, kind, min(pair), max(pair), thing), pair | {other for _, other in bounds}


def _attribute(analysis: Analysis, kind: str, first: int, last: int, thing: int) -> Attribute:
    start, end = analysis.tokens[first].start, analysis.tokens[last].end
    of = (analysis.tokens[thing].start, analysis.tokens[thing].end) if thing >= 0 else (0, 0)
    return Attribute(kind, analysis.text[start:end], start, end, analysis.text[slice(*of)], *of)


def _base(token: Token) -> str:
    return token.relation.partition(":")[0]


def _is(token: Token, kind: str) -> bool:
    word = simplified(token.text.lower())
    return word in _words()[kind] or word.removesuffix("s") in _words()[kind]


@cache
def _words() -> dict[str, frozenset[str]]:
    source = (files("intent_tracking.text") / "attribute_words.yaml").read_text(encoding="utf-8")
    return {kind: frozenset(words) for kind, words in yaml.safe_load(source).items()}
