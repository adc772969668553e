"""Candidates of a situation and what is known of each: the rows that the ranker is trained on and asked about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from intent_tracking.applications.recommendation.generators import Scored, from_visits, neighbours_of, visits_like
from intent_tracking.applications.recommendation.interactions import Floats, Ints
from intent_tracking.applications.recommendation.item_index import ItemIndex
from intent_tracking.applications.recommendation.situation import (
    Situation,
    anchors_of_last_purchase,
    anchors_of_past,
    anchors_of_session,
)

# A value for each candidate, or the same for all.
_Column = npt.NDArray[Any] | float

CANDIDATES_EACH: Final = 100
_NEVER: Final = 1000.0
_LATELY_DAYS: Final = 45.0

FEATURES: Final = (
    "own_count", "own_share", "own_days", "own_purchases_since", "own_decayed_fast", "own_decayed_slow", "own_month",
    "own_due", "own_due_item", "own_looks", "own_look_days", "own_first_days",
    "purchases", "items_per_purchase", "since_purchase", "gap", "repeat_share", "known_items",
    "bought", "recent_7", "recent_28", "recent_84", "trend", "again", "age", "price", "price_ratio",
    "together_past", "together_last", "together_session",
    "visits_past", "visits_lately", "visits_last", "visits_session",
    "alike_past", "alike_session", "session_reach",
    "own_rank", "together_rank", "visits_rank", "visits_share", "recent_rank",
)  # fmt: skip


@dataclass(frozen=True)
class Candidates:
    """Items to be ranked.

    Attributes:
        items: item numbers, ascending.
        features: `[items, FEATURES]`.
        sources: what each generator says of them, `[items]`, by its name.
    """

    items: Ints
    features: Floats
    sources: Mapping[str, Floats]


def candidates_of(index: ItemIndex, situation: Situation, each: int = CANDIDATES_EACH) -> Candidates:
    """The union of what the shopper dealt with and what the generators find of items known by then, described."""
    past, last, now = anchors_of_past(situation), anchors_of_last_purchase(situation), anchors_of_session(situation)
    of_past = visits_like(past, index)
    scored = {
        "together_past": neighbours_of(past, index.together),
        "together_last": neighbours_of(last, index.together),
        "together_session": neighbours_of(now, index.together),
        "visits_past": from_visits(of_past, index),
        "visits_lately": from_visits(of_past, index, half_life_days=_LATELY_DAYS),
        "visits_last": from_visits(visits_like(last, index), index),
        "visits_session": from_visits(visits_like(now, index), index),
        "alike_past": neighbours_of(past, index.alike),
        "alike_session": neighbours_of(now, index.alike),
    }
    found = np.concatenate([index.popular[:each], *(scores.best(each) for scores in scored.values())])
    # The catalogue of a past day's index names what came later, which nobody could have been shown then.
    found = found[index.catalogue.first_days[found] < index.day]
    items = np.unique(np.concatenate([situation.items, situation.session_items, found])).astype(np.int32)
    return Candidates(items, _described(index, situation, items, scored), {n: s.of(items) for n, s in scored.items()})


def _described(index: ItemIndex, situation: Situation, items: Ints, scored: Mapping[str, Scored]) -> Floats:
    columns: dict[str, _Column] = {}
    columns |= _own(index, situation, items)
    columns |= _shopper(situation)
    columns |= _item(index, situation, items)
    columns |= {name: scores.of(items) for name, scores in scored.items()}
    columns["session_reach"] = _latest(items, situation.session_items, situation.session_reaches)
    columns |= _among_candidates(columns)
    table = np.empty((len(items), len(FEATURES)), np.float32)
    for place, name in enumerate(FEATURES):
        table[:, place] = columns[name]
    return table


def _among_candidates(columns: Mapping[str, _Column]) -> dict[str, _Column]:
    """Places among the candidates: a tree that sees one row at a time cannot compare it with the others."""

    def rank(name: str) -> Floats:
        values = np.asarray(columns[name])
        place = np.empty(len(values), np.float32)
        place[np.argsort(-values, kind="stable")] = np.arange(len(values))
        return np.where(values > 0, place, np.float32(_NEVER))

    visits = np.asarray(columns["visits_past"])
    return {
        "own_rank": rank("own_decayed_slow"),
        "together_rank": rank("together_past"),
        "visits_rank": rank("visits_past"),
        "visits_share": visits / max(float(visits.max(initial=0.0)), 1e-9),
        "recent_rank": rank("recent_28"),
    }


def _latest(items: Ints, of: Ints, values: npt.NDArray[np.int8]) -> Floats:
    """The newest value of each item, 0 where it has none."""
    found = np.zeros(len(items), np.float32)
    if len(of):
        found[np.searchsorted(items, of)] = values
    return found


def _own(index: ItemIndex, situation: Situation, items: Ints) -> dict[str, _Column]:
    count = len(items)
    paid = situation.bought
    place = np.searchsorted(items, situation.items)
    bought_at, ages = place[paid], (situation.day - situation.days[paid]).astype(np.float32)
    since = situation.purchases_since[paid]
    times = np.bincount(bought_at, minlength=count).astype(np.float32)
    days, first, purchases_since = (np.full(count, _NEVER, np.float32) for _ in range(3))
    np.minimum.at(days, bought_at, ages)
    first[:] = 0
    np.maximum.at(first, bought_at, ages)
    np.minimum.at(purchases_since, bought_at, since)
    looked_at, look_ages = place[~paid], (situation.day - situation.days[~paid]).astype(np.float32)
    look_days = np.full(count, _NEVER, np.float32)
    np.minimum.at(look_days, looked_at, look_ages)
    purchases = max(1, len(situation.purchase_days))
    gap = np.where(times > 1, (first - days) / np.maximum(times - 1, 1), _NEVER)
    owned = times > 0

    def decayed(factor: float) -> Floats:
        return np.bincount(bought_at, weights=np.power(factor, since), minlength=count).astype(np.float32)

    return {
        "own_count": times,
        "own_share": times / purchases,
        "own_days": days,
        "own_purchases_since": purchases_since,
        "own_decayed_fast": decayed(0.6),
        "own_decayed_slow": decayed(0.9),
        "own_month": np.bincount(bought_at, weights=np.exp2(-ages / 30), minlength=count).astype(np.float32),
        "own_due": np.where(times > 1, days / np.maximum(gap, 1), -1),
        "own_due_item": np.where(owned, days / np.maximum(index.figures.gap_days[items], 1), -1),
        "own_looks": np.bincount(looked_at, minlength=count).astype(np.float32),
        "own_look_days": look_days,
        "own_first_days": np.where(owned, first, _NEVER),
    }


def _shopper(situation: Situation) -> dict[str, _Column]:
    days = situation.purchase_days
    paid = situation.items[situation.bought]
    known = len(np.unique(paid))
    span = float(days[-1] - days[0]) if len(days) else 0.0
    return {
        "purchases": len(days),
        "items_per_purchase": len(paid) / max(1, len(days)),
        "since_purchase": float(situation.day - days[-1]) if len(days) else _NEVER,
        "gap": span / (len(days) - 1) if len(days) > 1 else _NEVER,
        "repeat_share": 1 - known / len(paid) if len(paid) else 0.0,
        "known_items": known,
    }


def _item(index: ItemIndex, situation: Situation, items: Ints) -> dict[str, _Column]:
    figures = index.figures
    week, month, season = (np.log1p(figures.recent[row][items]) for row in range(3))
    prices = index.catalogue.prices
    paid = prices[situation.items[situation.bought]]
    usual = float(np.nanmedian(paid)) if np.isfinite(paid).any() else np.nan
    return {
        "bought": np.log1p(figures.bought[items]),
        "recent_7": week,
        "recent_28": month,
        "recent_84": season,
        "trend": np.log((figures.recent[0][items] * 4 + 1) / (figures.recent[1][items] + 1)),
        "again": figures.again[items],
        "age": (index.day - index.catalogue.first_days[items]).astype(np.float32),
        "price": np.log1p(prices[items]),
        "price_ratio": np.log((prices[items] + 0.01) / np.float32(usual + 0.01)),
    }
