"""What a feature is: declared once, compiled to the batch expression, the stream update, Feast and the expectations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Literal

from intent_tracking.events.contract import EventName

DType = Literal["int64", "float64"]

# Money is summed as whole ten-thousandths of the currency unit: sums of integers do not depend on the order of the
# events, so that batch, stream and a re-materialization agree to the last bit.
MONEY_SCALE = 10_000


class Entity(StrEnum):
    """Whom a feature describes. The value is the name of the Feast entity and the prefix of its views."""

    USER = "user"
    ITEM = "item"

    @property
    def key(self) -> str:
        """The join key column: `shopper_id` or `item_id`."""
        return "shopper_id" if self is Entity.USER else "item_id"


class Value(StrEnum):
    """What is aggregated: a column of the facts (`facts.py`)."""

    AMOUNT = "amount"
    PRICE = "price"
    QUANTITY = "quantity"
    CATEGORY = "category"
    BRAND = "brand"
    SHOPPER = "shopper"

    @property
    def is_number(self) -> bool:
        """Whether the value can be summed."""
        return self in (Value.AMOUNT, Value.PRICE, Value.QUANTITY)

    @property
    def scale(self) -> int:
        """Units of the stored integer in one unit of the feature."""
        return MONEY_SCALE if self in (Value.AMOUNT, Value.PRICE) else 1


class Aggregation(StrEnum):
    """How the facts in the window become one number.

    `count` counts events for a user and item lines for an item; `recency` is the days since the last matching event;
    `last` is the value of the newest fact (of the largest value where two share the time); `ratio` is the count of
    `events` over the count of `of`.
    """

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    MAX = "max"
    LAST = "last"
    DISTINCT = "distinct"
    RECENCY = "recency"
    RATIO = "ratio"


_NUMERIC = {Aggregation.SUM, Aggregation.MEAN, Aggregation.MAX, Aggregation.LAST}


@dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes:
        name: column name everywhere; unique over all entities.
        dtype: `int64` or `float64`.
        entity: whom it describes.
        events: the events that count; empty means every event.
        aggregation: see `Aggregation`.
        value: what is aggregated; None for `count`, `recency` and `ratio`.
        window: facts of `(t - window, t]` count.
        default: the value where no fact counts, and where a store has no fresh row.
        ttl: age at which a stored value is no longer used.
        description: one sentence for people: the catalogue entry.
        of: the events in the denominator of a `ratio`; empty means every event.
        minimum, maximum: bounds that a right value cannot leave; None where there is none.
        nullable: whether a row may have no value. Defaults are filled in, so none may.

    Raises:
        ValueError: the parts do not fit together.
    """

    name: str
    dtype: DType
    entity: Entity
    events: tuple[EventName, ...]
    aggregation: Aggregation
    value: Value | None
    window: timedelta
    default: float
    ttl: timedelta
    description: str
    of: tuple[EventName, ...] = ()
    minimum: float | None = 0
    maximum: float | None = None
    nullable: bool = False

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise ValueError(f"feature {self.name!r}: {problem}")

    def _problem(self) -> str | None:
        valued = self.aggregation in _NUMERIC or self.aggregation is Aggregation.DISTINCT
        if valued != (self.value is not None):
            return f"aggregation {self.aggregation} {'needs a' if valued else 'takes no'} value"
        if self.aggregation in _NUMERIC and self.value is not None and not self.value.is_number:
            return f"aggregation {self.aggregation} needs a number, {self.value} is text"
        if self.value is Value.AMOUNT and self.aggregation is not Aggregation.SUM:
            return "an amount may be spread over the lines of an event, so that only its sum has a meaning"
        if self.value is Value.SHOPPER and self.entity is Entity.USER:
            return "a user is one shopper"
        if self.of and self.aggregation is not Aggregation.RATIO:
            return "`of` is the denominator of a ratio"
        if self.window <= timedelta(0) or self.window % timedelta(seconds=1):
            return f"window {self.window} is not a positive number of whole seconds"
        if self.dtype == "int64" and self.default != int(self.default):
            return f"default {self.default} is not a whole number"
        return None

    @property
    def view(self) -> str:
        """The Feast view that holds the feature: `<entity>_<window>`, e.g. `user_30d`."""
        return f"{self.entity}_{window_name(self.window)}"


@dataclass(frozen=True)
class Bounds:
    """What is true of every right value of a column; expectation suites are compiled from it."""

    column: str
    dtype: DType
    minimum: float | None
    maximum: float | None
    nullable: bool


def window_name(window: timedelta) -> str:
    """`30d`, `6h`, `90s`: the shortest exact name of a window."""
    seconds = int(window.total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def longest_window(features: Sequence[Feature]) -> timedelta:
    """The history that the features need.

    Raises:
        ValueError: no features.
    """
    if not features:
        raise ValueError("no features given: name at least one")
    return max(feature.window for feature in features)


def one_entity(features: Sequence[Feature]) -> Entity:
    """The entity that all the features describe.

    Raises:
        ValueError: no features, or features of several entities.
    """
    entities = {feature.entity for feature in features}
    if len(entities) != 1:
        raise ValueError(f"features of exactly one entity are needed, got {sorted(entities) or 'no features'}")
    return entities.pop()
