"""The same features, kept up to date event by event: equal to the batch expression, to the last bit.

The state of an entity holds the facts of its longest window. That is what an exact sliding window needs: a window
starts at any microsecond, so that counts per bucket would only approximate it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson

from intent_tracking.features.catalogue import features_of
from intent_tracking.features.declaration import Aggregation, Entity, Feature, longest_window
from intent_tracking.features.facts import Fact, facts_of_event, microseconds

# An event may arrive this much later than a newer one and still find its place; older facts are forgotten.
LATENESS = timedelta(days=3)
# A shopper with more facts in 30 days is a bot; its counts are then lower bounds, and `exact` says so.
MAX_FACTS = 5_000

_STATE_VERSION = 1
_DAY_MICROSECONDS = 86_400_000_000.0


@dataclass(frozen=True)
class EntityState:
    """What must be remembered of one shopper or item.

    Attributes:
        entity, key: whose state it is.
        facts: oldest first; at most `MAX_FACTS`.
        complete_since: time (microseconds) from which on no fact is missing; None while none was forgotten.
    """

    entity: Entity
    key: str
    facts: tuple[Fact, ...] = ()
    complete_since: int | None = None

    def to_json(self) -> bytes:
        """The state as compact JSON."""
        return orjson.dumps(
            {
                "version": _STATE_VERSION,
                "entity": self.entity,
                "key": self.key,
                "complete_since": self.complete_since,
                "facts": [astuple(fact) for fact in self.facts],
            }
        )

    @classmethod
    def from_json(cls, data: bytes) -> EntityState:
        """The inverse of `to_json`.

        Raises:
            ValueError: not a state, or of another version.
        """
        held = orjson.loads(data)
        if not isinstance(held, dict) or held.get("version") != _STATE_VERSION:
            raise ValueError(f"feature state: expected version {_STATE_VERSION}; rebuild the state from the event log")
        facts = tuple(Fact(*fact) for fact in held["facts"])
        return cls(Entity(held["entity"]), held["key"], facts, held["complete_since"])


def _order(fact: Fact) -> tuple[Any, ...]:
    # Any total order over facts will do after time: equal sets of facts must give equal states.
    return tuple((value is not None, value) for value in astuple(fact))


def update(
    state: EntityState, event: Mapping[str, Any], features: Sequence[Feature] | None = None, *, limit: int = MAX_FACTS
) -> EntityState:
    """The state after one more event, which may be older than events already seen.

    Args:
        state: of one entity; lines of the event that are about another entity are left out.
        event: one row of EVENT_SCHEMA. The caller keeps duplicates away.
        features: what will be asked of the state; all features declared for the entity when None.
        limit: largest number of facts to keep.
    """
    asked = features_of(state.entity) if features is None else features
    added = [fact for key, fact in facts_of_event(event, asked) if key == state.key]
    if not added:
        return state
    facts = list(state.facts)
    for fact in added:
        insort(facts, fact, key=_order)
    horizon = facts[-1].time - _whole_microseconds(longest_window(asked) + LATENESS)
    complete_since = state.complete_since
    dropped = 0
    while dropped < len(facts) and (facts[dropped].time <= horizon or len(facts) - dropped > limit):
        complete_since = max(complete_since or facts[dropped].time, facts[dropped].time)
        dropped += 1
    return EntityState(state.entity, state.key, tuple(facts[dropped:]), complete_since)


def exact(state: EntityState, now: datetime, window: timedelta) -> bool:
    """Whether no forgotten fact can lie in `(now - window, now]`."""
    return state.complete_since is None or state.complete_since <= microseconds(now) - _whole_microseconds(window)


def value(state: EntityState, now: datetime, feature: Feature) -> float | int:
    """The value of one feature at `now`.

    Raises:
        ValueError: the feature is of another entity, or `now` has no time zone.
    """
    if feature.entity is not state.entity:
        raise ValueError(f"feature {feature.name} describes a {feature.entity}, the state is of a {state.entity}")
    end = microseconds(now)
    start = end - _whole_microseconds(feature.window)
    inside = [fact for fact in state.facts if start < fact.time <= end]
    found = _aggregate([fact for fact in inside if _named(fact, feature.events)], inside, end, feature)
    if found is None:
        found = feature.default
    return int(found) if feature.dtype == "int64" else float(found)


def values(state: EntityState, now: datetime, features: Sequence[Feature] | None = None) -> dict[str, float | int]:
    """The features at `now` by name; all of the entity's when none are given."""
    return {f.name: value(state, now, f) for f in (features_of(state.entity) if features is None else features)}


def _aggregate(facts: list[Fact], inside: list[Fact], end: int, feature: Feature) -> float | int | None:
    kind = feature.aggregation
    if kind is Aggregation.COUNT:
        return _count(facts, feature.entity)
    if kind is Aggregation.RATIO:
        below = _count([fact for fact in inside if _named(fact, feature.of)], feature.entity)
        return _count(facts, feature.entity) / below if below else None
    if kind is Aggregation.RECENCY:
        return (end - facts[-1].time) / _DAY_MICROSECONDS if facts else None
    assert feature.value is not None  # noqa: S101 - the declaration's own check
    held = [(fact.time, found) for fact in facts if (found := fact.value(feature.value)) is not None]
    if kind is Aggregation.DISTINCT:
        return len({found for _, found in held})
    return _number([(time, int(found)) for time, found in held], feature)


def _number(held: list[tuple[int, int]], feature: Feature) -> float | int | None:
    assert feature.value is not None  # noqa: S101 - the declaration's own check
    if not held:
        return None
    kind = feature.aggregation
    numbers = [number for _, number in held]
    if kind is Aggregation.LAST:
        stored: float = max(held)[1]
    elif kind is Aggregation.MAX:
        stored = max(numbers)
    elif kind is Aggregation.SUM:
        stored = sum(numbers)
    else:
        stored = float(sum(numbers)) / float(len(numbers))
    return int(stored) if feature.dtype == "int64" else float(stored) / float(feature.value.scale)


def _count(facts: list[Fact], entity: Entity) -> int:
    return sum(fact.leads for fact in facts) if entity is Entity.USER else len(facts)


def _named(fact: Fact, names: Sequence[str]) -> bool:
    return not names or fact.event in names


def _whole_microseconds(span: timedelta) -> int:
    return span // timedelta(microseconds=1)
