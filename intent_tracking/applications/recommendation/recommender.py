"""Recommendations for one shopper at one moment: candidates, ranker, the rules of the shop, diversity, reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import numpy as np
import numpy.typing as npt

from intent_tracking.applications.recommendation.candidates import Candidates, candidates_of
from intent_tracking.applications.recommendation.diversity import chosen
from intent_tracking.applications.recommendation.history import History
from intent_tracking.applications.recommendation.interactions import (
    MOST_ITEMS_OF_A_VISIT,
    Floats,
    Ints,
    Reach,
    day_number,
)
from intent_tracking.applications.recommendation.item_index import ItemIndex
from intent_tracking.applications.recommendation.ranker import Ranker
from intent_tracking.applications.recommendation.reasons import Reasons
from intent_tracking.applications.recommendation.rules import Rules, Source, Strategy
from intent_tracking.applications.recommendation.situation import Situation, anchors_of_past, anchors_of_session
from intent_tracking.text.language import Language

MOST_ITEMS: Final = 100
# An index that is not renewed would let every date move beyond what the ranker has seen.
_DAYS_AHEAD: Final = 30
_OF_SOURCE: Final = {
    Source.SESSION: ("together_session", "visits_session"),
    Source.ALIKE: ("alike_session",),
    Source.PAST: ("together_past", "visits_past", "alike_past"),
    Source.LAST_PURCHASE: ("together_last", "visits_last"),
}


@dataclass(frozen=True)
class Question:
    """Who asks, and for how many.

    Attributes:
        history: what the shopper did on earlier days.
        session: of the session under way, oldest first: item ids and how far the shopper went.
        intent: what the model says that the shopper wants; None where it does not say.
        day: today, UTC.
        count: items wanted.
        language: of the reasons; None: that of the name of each item.
    """

    history: History
    session: Sequence[tuple[str, Reach]]
    intent: str | None
    day: date
    count: int
    language: Language | None = None


@dataclass(frozen=True)
class Recommended:
    """One item, its name (None: unknown), its score (1 for what fits best, comparable within one answer), and why."""

    item_id: str
    name: str | None
    score: float
    reason: str


@dataclass(frozen=True)
class Recommendations:
    """Items, best first, and the strategy that chose them."""

    items: tuple[Recommended, ...]
    strategy: str


class Recommender:
    """An index and the ranker that was learned with it."""

    def __init__(self, index: ItemIndex, ranker: Ranker) -> None:
        self.index = index
        self.ranker = ranker

    def recommend(self, question: Question, rules: Rules) -> Recommendations:
        """At most `question.count` items that the rules allow; items that the index does not know count for nothing."""
        name = rules.strategy_for(question.intent)
        strategy = rules.strategies[name]
        situation = self.situation(question)
        count = min(question.count, MOST_ITEMS) if strategy.most is None else min(question.count, strategy.most)
        if count == 0:
            return Recommendations((), name)
        candidates = candidates_of(self.index, situation)
        scores = self._scores(candidates, situation, strategy) * self._factors(candidates.items, rules)
        allowed = self._allowed(candidates.items, situation, rules) & _fits(candidates, situation, strategy, self.index)
        first = self._first(candidates.items, allowed, situation, count) if strategy.session_items == "first" else []
        picked = chosen(
            candidates.items, scores, allowed, self.index, count, first=first,
            diversity=strategy.diversity, most_of_category=rules.most_of_category,
        )  # fmt: skip
        reasons = Reasons(
            self.index, situation, anchors_of_past(situation), anchors_of_session(situation), question.language
        )
        from_visits = candidates.sources["visits_past"] + candidates.sources["visits_session"] > 0
        return Recommendations(
            tuple(
                Recommended(
                    item_id=self.index.catalogue.ids[candidates.items[place]],
                    name=self.index.catalogue.names[candidates.items[place]] or None,
                    score=round(float(scores[place]), 4),
                    reason=reasons.of(int(candidates.items[place]), from_visits=bool(from_visits[place])),
                )
                for place in picked
            ),
            name,
        )

    def situation(self, question: Question) -> Situation:
        """The question in item numbers."""
        today = min(day_number(question.day), self.index.day + _DAYS_AHEAD)
        known = self.index.number_of
        lines = [
            (known[item], int(reach), min(day_number(visit.day), today))
            for visit in question.history.visits
            for item, reach in visit.items.items()
            if item in known
        ]
        session: dict[int, Reach] = {}
        for item, reach in question.session:
            if item in known:
                number = known[item]
                session[number] = max(reach, session.pop(number, Reach.LOOKED))
        # What a visit that is learned from keeps; what is paid for stays, so that it is not offered again.
        newest = list(reversed(session))
        furthest = set(sorted(newest, key=session.__getitem__, reverse=True)[:MOST_ITEMS_OF_A_VISIT])
        session = {number: reach for number, reach in session.items() if number in furthest}
        past = np.array(lines, np.int32).reshape(-1, 3)
        return Situation(
            day=today,
            items=past[:, 0],
            reaches=past[:, 1].astype(np.int8),
            days=past[:, 2],
            session_items=np.array(list(session), np.int32),
            session_reaches=np.array([int(reach) for reach in session.values()], np.int8),
        )

    def _scores(self, candidates: Candidates, situation: Situation, strategy: Strategy) -> Floats:
        """0 to 1: what the ranker says, and what the strategy adds for each source that says anything."""
        total, weights = _share(self.ranker.score(candidates.features)), 1.0
        for source, weight in strategy.weights.items():
            said = _said_by(source, candidates, situation, self.index)
            if said.any():
                total, weights = total + np.float32(weight) * said, weights + weight
        return (total / np.float32(weights)).astype(np.float32)

    def _factors(self, items: Ints, rules: Rules) -> Floats:
        boost = rules.boost
        if not (boost.items or boost.categories or boost.brands):
            return np.ones(len(items), np.float32)
        of = self.index.catalogue
        factors = [
            boost.items.get(of.ids[item], 1.0)
            * boost.categories.get(of.categories[item], 1.0)
            * boost.brands.get(of.brands[item], 1.0)
            for item in items
        ]
        return np.array(factors, np.float32)

    def _allowed(self, items: Ints, situation: Situation, rules: Rules) -> npt.NDArray[np.bool_]:
        of, exclude = self.index.catalogue, rules.exclude
        known = self.index.figures.shoppers[items] >= rules.least_shoppers
        known |= np.isin(items, situation.items[situation.bought])
        prices = of.prices[items]
        # A comparison with an unknown price is false: such an item passes.
        allowed = known & ~(prices < (-np.inf if rules.price.least is None else rules.price.least))
        allowed &= ~(prices > (np.inf if rules.price.most is None else rules.price.most))
        if exclude.items or rules.out_of_stock:
            gone = exclude.items | rules.out_of_stock
            allowed &= np.array([of.ids[item] not in gone for item in items], np.bool_)
        if exclude.categories or exclude.brands:
            allowed &= np.array(
                [of.categories[i] not in exclude.categories and of.brands[i] not in exclude.brands for i in items],
                np.bool_,
            )
        return allowed

    def _first(self, items: Ints, allowed: npt.NDArray[np.bool_], situation: Situation, count: int) -> list[int]:
        """Places of what the session is about and is not paid for: carts before looks, newest first, half at most."""
        open_items = [
            (int(reach), age, int(np.searchsorted(items, item)))
            for age, (item, reach) in enumerate(zip(situation.session_items, situation.session_reaches, strict=True))
            if reach < Reach.BOUGHT
        ]
        places = [place for _, _, place in sorted(open_items, reverse=True) if allowed[place]]
        return places[: max(1, count // 2)]


def _fits(candidates: Candidates, situation: Situation, strategy: Strategy, index: ItemIndex) -> npt.NDArray[np.bool_]:
    """Whether the strategy takes each candidate at all; none takes what the session has paid for."""
    fits = np.full(len(candidates.items), not strategy.sources, np.bool_)
    for source in strategy.sources:
        fits |= _said_by(source, candidates, situation, index) > 0
    fits &= ~np.isin(candidates.items, situation.session_items[situation.session_reaches == Reach.BOUGHT])
    if strategy.repeats == "leave_out":
        fits &= ~np.isin(candidates.items, situation.items[situation.bought])
    if strategy.session_items == "leave_out":
        fits &= ~np.isin(candidates.items, situation.session_items)
    return fits


def _share(scores: Floats) -> Floats:
    """Scores as shares of the highest."""
    highest = float(scores.max(initial=0.0))
    return scores / np.float32(highest) if highest > 0 else scores


def _said_by(source: Source, candidates: Candidates, situation: Situation, index: ItemIndex) -> Floats:
    """`[items]`, 0 to 1: what a source says of each candidate."""
    if source is Source.OWN:
        return np.isin(candidates.items, situation.items[situation.bought]).astype(np.float32)
    if source is Source.POPULAR:
        return _share(index.figures.recent[1][candidates.items])
    parts = [_share(candidates.sources[name]) for name in _OF_SOURCE[source]]
    return _share(np.sum(parts, axis=0, dtype=np.float32))
