"""What sets clusters apart, and which keep the name of a segment that was there before."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

import numpy as np

from intent_tracking.applications.profiles.segments import Retired, Segment, Segments, Trait
from intent_tracking.applications.profiles.space import ITEM_TOKEN, Floats, Space, Tokens, Whole
from intent_tracking.applications.profiles.traits import HIGH, Text, group_of, joined, level_of, name_part

MOST_TRAITS: Final = 4
_TASTES: Final = 2
_IN_A_NAME: Final = 2
# A token sets a segment apart that this share of it has, and so many times the share of the shop.
_TOKEN_SHARE: Final = 0.1
_TOKEN_LIFT: Final = 1.5
# An id is part of file names, which hold 255 bytes; brands may be as long as they like.
_SLUG_CHARACTERS: Final = 60


def traits_of(space: Space, scaled: Floats, own: Floats, known: Tokens, members: Whole) -> tuple[Trait, ...]:
    """What sets the shoppers `members` (positions) apart: features first, most marked first, then tokens.

    Args:
        space: of the training.
        scaled, own: features in standard units and as they are, of all shoppers, shape (shoppers, features).
        known: tokens of all shoppers.
        members: positions of the members.
    """
    shifts = scaled[members].mean(axis=0) - scaled.mean(axis=0)
    found: list[Trait] = []
    groups: set[str] = set()
    for at in np.argsort(-np.abs(shifts), kind="stable").tolist():
        name = space.features[at]
        if abs(shifts[at]) < HIGH or len(found) == MOST_TRAITS:
            break
        median, level = float(np.median(own[members, at])), level_of(float(shifts[at]))
        # A mean that a few members make says nothing of the segment.
        speaks = median > space.typical(at) if level == "high" else median < space.typical(at)
        if speaks and group_of(name) not in groups:
            groups.add(group_of(name))
            percentile = float(space.percentiles(at, np.array([median]))[0])
            found.append(Trait(name, level, round(median, 4), round(space.typical(at), 4), round(percentile, 1)))
    return (*found, *_tastes(space, known, members, len(scaled)))


def _tastes(space: Space, known: Tokens, members: Whole, shoppers: int) -> list[Trait]:
    is_member = np.zeros(shoppers, dtype=bool)
    is_member[members] = True
    inside = np.bincount(known.columns[is_member[known.rows]], minlength=len(space.vocabulary)) / max(1, len(members))
    lift = inside / np.maximum(space.token_share, 1e-12)
    is_item = np.array([token.startswith(ITEM_TOKEN) for token in space.vocabulary], dtype=bool)
    apart = np.flatnonzero((inside >= _TOKEN_SHARE) & (lift >= _TOKEN_LIFT))
    # Lift alone prefers the rare, share alone the common; items come last.
    order = apart[np.lexsort((apart, -(inside * np.log(np.maximum(lift, 1)))[apart], is_item[apart]))]
    return [
        Trait(
            space.vocabulary[at], "likes", round(float(inside[at]), 4), round(float(space.token_share[at]), 4),
            label=space.labels[at],
        )
        for at in order[:_TASTES].tolist()
    ]  # fmt: skip


def new_name(traits: Sequence[Trait], taken: set[str]) -> tuple[str, Text]:
    """An id and a name from the most marked traits; with further ones, then a number, where an id is taken."""
    # The name of an item is too much of a name.
    spoken = [trait for trait in traits if not trait.trait.startswith(ITEM_TOKEN)]
    parts = [name_part(trait.trait, trait.level, trait.label) for trait in spoken]
    for count in range(min(_IN_A_NAME, len(parts)), len(parts) + 1):
        name = joined(parts[:count])
        if slug(name["en"]) not in taken:
            return slug(name["en"]), name
    name, number = joined(parts[:_IN_A_NAME]), 2
    while f"{slug(name['en'])}-{number}" in taken:
        number += 1
    return f"{slug(name['en'])}-{number}", {language: f"{text} {number}" for language, text in name.items()}


def slug(text: str) -> str:
    """Lower-case words with hyphens; letters of any script stay, as many as a file name takes."""
    return re.sub(r"[\W_]+", "-", text.lower()).strip("-")[:_SLUG_CHARACTERS].rstrip("-")


def named(
    traits: Sequence[tuple[Trait, ...]],
    shifts: Floats,
    shares: Floats,
    kept: dict[int, str],
    live: Segments | None,
    day: date,
) -> tuple[tuple[Segment, ...], tuple[Retired, ...]]:
    """Segments of the clusters: a matched one keeps id and name, a new one gets new ones, the others are retired.

    Args:
        traits, shifts, shares: of each cluster.
        kept: position of a cluster -> id of the live segment that it is.
        live: the segments before; None at the first training.
        day: of the training.
    """
    before = {segment.id: segment for segment in live.segments} if live else {}
    gone = live.retired if live else ()
    gone += tuple(
        Retired(segment.id, segment.name, segment.since, day.isoformat())
        for segment in before.values()
        if segment.id not in kept.values()
    )
    taken = {*before, *(each.id for each in gone)}
    found: dict[int, Segment] = {}
    # The largest first, so that the plainest name goes to it.
    for at in sorted(range(len(traits)), key=lambda at: -shares[at]):
        if at in kept:
            old = before[kept[at]]
            identifier, name, since = old.id, old.name, old.since
        else:
            identifier, name = new_name(traits[at], taken)
            since = day.isoformat()
            taken.add(identifier)
        own = tuple(round(float(shift), 4) for shift in shifts[at])
        found[at] = Segment(identifier, name, since, round(float(shares[at]), 4), own, traits[at])
    return tuple(found[at] for at in range(len(traits))), gone
