"""A shop of planted groups: who belongs where is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa

from intent_tracking.applications.profiles.rules import SegmentRules, read_rules
from intent_tracking.applications.profiles.taste import TOKEN_SCHEMA
from intent_tracking.features.batch import AVAILABLE_AFTER
from intent_tracking.features.catalogue import USER_FEATURES
from intent_tracking.features.schema import USER_FEATURE_SCHEMA, snapshot_moment

DAY: Final = date(2026, 3, 8)


@dataclass(frozen=True)
class Group:
    """Shoppers that are alike: mean of each feature that is not at its default, and what they deal with."""

    size: int
    means: Mapping[str, float]
    category: str


BUYERS: Final = Group(
    60,
    {"user_purchases_30d": 8, "user_spend_30d": 900, "user_days_since_purchase_30d": 2, "user_views_30d": 30},
    "shoes",
)
LOOKERS: Final = Group(90, {"user_views_30d": 60, "user_categories_30d": 9, "user_days_since_purchase_30d": 30}, "hats")
ASKERS: Final = Group(50, {"user_messages_30d": 9, "user_views_30d": 3, "user_days_since_purchase_30d": 20}, "phones")
SHOP: Final = {"buyer": BUYERS, "looker": LOOKERS, "asker": ASKERS}


def small_rules(**changes: Any) -> SegmentRules:
    """The shipped rules, with fewer trials."""
    return read_rules().model_copy(update={"fewest": 2, "most": 5, "resamples": 5, "seed": 3, **changes})


def shop(groups: Mapping[str, Group] = SHOP, day: date = DAY, seed: int = 0) -> tuple[pa.Table, pa.Table]:
    """A snapshot and tokens; the shoppers of a group are `<group>-<number>`."""
    draw = np.random.default_rng(seed)
    moment: datetime = snapshot_moment(day)
    rows, tokens = [], []
    for name, group in groups.items():
        for number in range(group.size):
            row: dict[str, Any] = {
                "shopper_id": f"{name}-{number:03}",
                "event_timestamp": moment,
                "created_timestamp": moment + AVAILABLE_AFTER,
            }
            for feature in USER_FEATURES:
                mean = group.means.get(feature.name, feature.default)
                value = float(draw.gamma(20, mean / 20)) if mean else 0.0
                if feature.maximum is not None:
                    value = min(value, feature.maximum)
                row[feature.name] = round(value) if feature.dtype == "int64" else value
            rows.append(row)
            for token in (f"category:{group.category}", f"item:{group.category}-{draw.integers(4)}", "category:all"):
                label = token.partition(":")[2]
                tokens.append(
                    {"shopper_id": row["shopper_id"], "token": token, "label": label, "times": int(draw.integers(1, 6))}
                )
    features = pa.Table.from_pylist(rows, schema=USER_FEATURE_SCHEMA).sort_by("shopper_id")
    return features, pa.Table.from_pylist(tokens, schema=TOKEN_SCHEMA)
