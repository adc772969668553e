"""Searches that led nowhere: nothing opened or put into the cart after them, or asked again in other words."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from intent_tracking.applications.insights.policy import InsightsPolicy
from intent_tracking.events.contract import EventName
from intent_tracking.text.cleaning import clean
from intent_tracking.text.language import detect

_ANSWERED: Final = frozenset(
    {
        EventName.SELECT_ITEM,
        EventName.VIEW_ITEM,
        EventName.ADD_TO_WISHLIST,
        EventName.ADD_TO_CART,
        EventName.BEGIN_CHECKOUT,
        EventName.PURCHASE,
    }
)


@dataclass(frozen=True)
class UnmetSearch:
    """What was searched for, how often, and how it ended: asked again in other words, or left without a click."""

    term: str
    language: str
    searches: int
    asked_again: int
    left: int
    shoppers: int
    excess: float
    then: str | None

    @property
    def share(self) -> float:
        """0..1 of the searches."""
        return (self.asked_again + self.left) / self.searches


@dataclass(frozen=True)
class SearchFindings:
    """All searches of the days, how many were unmet, and the worst."""

    searches: int
    unmet: int
    worst: tuple[UnmetSearch, ...]


@dataclass
class _Tally:
    searches: int = 0
    again: int = 0
    left: int = 0
    shoppers: set[str] = field(default_factory=set)
    then: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def unmet_searches(sessions: Iterable[Mapping[str, Any]], policy: InsightsPolicy) -> SearchFindings:
    """The searches that fail more often than searches do, those with most failures above that first.

    Args:
        sessions: rows of SESSION_SCHEMA, `shopper_id` and `events` suffice.
        policy: from how many shoppers on a search is shown.
    """
    tallies: defaultdict[str, _Tally] = defaultdict(_Tally)
    for session in sessions:
        for term, ending, following in _searches(session["events"]):
            tally = tallies[term]
            tally.searches += 1
            if ending is None:
                continue
            tally.again += ending == "again"
            tally.left += ending == "left"
            tally.shoppers.add(session["shopper_id"])
            if following:
                tally.then[following].add(session["shopper_id"])
    searches = sum(tally.searches for tally in tallies.values())
    unmet = sum(tally.again + tally.left for tally in tallies.values())
    usual = unmet / searches if searches else 0.0
    shown = [
        UnmetSearch(
            term=term,
            language=detect(term),
            searches=tally.searches,
            asked_again=tally.again,
            left=tally.left,
            shoppers=len(tally.shoppers),
            excess=_excess(tally, usual),
            then=_most(tally.then, policy.least_shoppers),
        )
        for term, tally in tallies.items()
        if len(tally.shoppers) >= policy.least_shoppers
    ]
    failing = (each for each in shown if each.excess >= 0)
    worst = sorted(failing, key=lambda each: (-each.excess, -each.asked_again - each.left, each.term))
    return SearchFindings(searches, unmet, tuple(worst[: policy.most]))


def _excess(tally: _Tally, usual: float) -> float:
    """Failures above what this many searches usually have, in standard deviations."""
    spread = math.sqrt(tally.searches * usual * (1 - usual))
    return (tally.again + tally.left - tally.searches * usual) / spread if spread else 0.0


def _most(then: Mapping[str, set[str]], least: int) -> str | None:
    """What most searched for next, where enough did."""
    counts = Counter({term: len(shoppers) for term, shoppers in then.items() if len(shoppers) >= least})
    return min(counts, key=lambda term: (-counts[term], term)) if counts else None


def _searches(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, str | None, str | None]]:
    """(what was searched, None where it was answered else `again` or `left`, the next search) of each search.

    The same words again before a click are the same search.
    """
    found: list[tuple[str, str | None, str | None]] = []
    term: str | None = None
    for event in events:
        name = event["event_name"]
        if name == EventName.SEARCH and event["search_term"]:
            typed = " ".join(clean(event["search_term"]).lower().split())
            if typed == term or not typed:
                continue
            if term is not None:
                found.append((term, "again", typed))
            term = typed
        elif name in _ANSWERED and term is not None:
            found.append((term, None, None))
            term = None
    if term is not None:
        found.append((term, "left", None))
    return found
