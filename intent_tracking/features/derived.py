"""Views that an application computes per shopper and day, beside the features that are counted from events.

One declaration gives the table of the days, the Feast view and service, what the service reads online and what erasure
removes there. A view has no stream update: what an application learned changes by the day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal

import pyarrow as pa

from intent_tracking.features.catalogue import TTL
from intent_tracking.features.declaration import Entity
from intent_tracking.features.schema import CREATED_TIMESTAMP, EVENT_TIMESTAMP, TIMESTAMP, snapshot_moment

DerivedType = Literal["string", "int64", "float64"]

DERIVED_AFTER: Final = timedelta(hours=6)
"""How long after its moment a row is online at the latest: the daily applications job starts at 04:15 UTC."""

_TYPES: Final[dict[DerivedType, pa.DataType]] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
}


@dataclass(frozen=True)
class DerivedField:
    """One column of a derived view; a row always has a value for it."""

    name: str
    dtype: DerivedType
    description: str


@dataclass(frozen=True)
class DerivedView:
    """What an application says of an entity each day.

    Attributes:
        name: of the Feast view and of the service with nothing else in it.
        table: the day table, and the asset that writes it.
        entity: whom it describes.
        fields: what is said, in the order of the columns.
        ttl: age at which a stored row is stale.
        description: one sentence for people: the catalogue entry.
    """

    name: str
    table: str
    entity: Entity
    fields: tuple[DerivedField, ...]
    ttl: timedelta
    description: str

    @property
    def schema(self) -> pa.Schema:
        """Columns of the day table: join key, `event_timestamp`, `created_timestamp`, then the fields; no nulls."""
        columns: list[pa.Field[Any]] = [
            pa.field(self.entity.key, pa.string(), nullable=False),
            pa.field(EVENT_TIMESTAMP, TIMESTAMP, nullable=False),
            pa.field(CREATED_TIMESTAMP, TIMESTAMP, nullable=False),
        ]
        columns += [pa.field(field.name, _TYPES[field.dtype], nullable=False) for field in self.fields]
        return pa.schema(columns)

    def rows(self, day: date, keys: Sequence[str], values: Mapping[str, Sequence[Any]]) -> pa.Table:
        """The table of `day`: one row a key, ordered by it.

        Args:
            day: the UTC day at whose end the values hold.
            keys: `shopper_id`s or `item_id`s, each once.
            values: the column of each field, in the order of `keys`.

        Raises:
            ValueError: a field is missing or not declared, or a key comes twice.
        """
        names = [field.name for field in self.fields]
        if sorted(values) != sorted(names):
            raise ValueError(f"view {self.name}: the fields are {names}, given were {list(values)}")
        if len(set(keys)) != len(keys):
            raise ValueError(f"view {self.name}: a {self.entity.key} comes more than once on {day}")
        moment = snapshot_moment(day)
        table = pa.table(
            {
                self.entity.key: pa.array(keys, pa.string()),
                EVENT_TIMESTAMP: pa.array([moment] * len(keys), TIMESTAMP),
                CREATED_TIMESTAMP: pa.array([moment + DERIVED_AFTER] * len(keys), TIMESTAMP),
                **{name: pa.array(values[name]) for name in names},
            }
        )
        return table.cast(self.schema).sort_by(self.entity.key)


USER_SEGMENT: Final = DerivedView(
    name="user_segment",
    table="user_segments",
    entity=Entity.USER,
    fields=(
        DerivedField("segment", "string", "Identifier of the segment; it stays when the segments are learned again."),
        DerivedField("segment_version", "string", "Version of the segments artifact that said so."),
        DerivedField("distance", "float64", "Distance from the middle of the segment, in standard units."),
        DerivedField("traits", "string", "What sets the shopper apart, with values: JSON."),
    ),
    ttl=TTL,
    description="The segment of a shopper and the traits that speak for it.",
)
USER_ITEMS: Final = DerivedView(
    name="user_items",
    table="user_items",
    entity=Entity.USER,
    fields=(DerivedField("items", "string", "The items that a shopper dealt with, oldest visit first: JSON."),),
    ttl=TTL,
    description="What a shopper bought and looked at, for recommendations.",
)

DERIVED_VIEWS: Final[tuple[DerivedView, ...]] = (USER_SEGMENT, USER_ITEMS)
"""The only place that lists them."""
