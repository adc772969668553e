"""What shoppers deal with: tokens for their items, categories, brands and intents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.prediction_log import PREDICTION_SCHEMA

TOKEN_SCHEMA: Final = pa.schema(
    [
        pa.field("shopper_id", pa.string(), nullable=False),
        pa.field("token", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("times", pa.int64(), nullable=False),
    ]
)
"""`token`: `item:<id>`, `category:<name>`, `brand:<name>` or `intent:<name>`; `label`: how people call it."""

# What somebody gives back or puts out of the cart says little of what they like.
_QUERY: Final = """
WITH lines AS (
    SELECT shopper_id, unnest(items) AS item FROM events
    WHERE shopper_id IS NOT NULL AND event_name NOT IN ('refund', 'remove_from_cart')
), named AS (
    SELECT shopper_id, 'item:' || coalesce(item.item_id, item.item_name) AS token,
        coalesce(item.item_name, item.item_id) AS label FROM lines
    UNION ALL SELECT shopper_id, 'category:' || item.item_category, item.item_category FROM lines
    UNION ALL SELECT shopper_id, 'brand:' || item.item_brand, item.item_brand FROM lines
    UNION ALL SELECT shopper_id, 'intent:' || intent, intent FROM predictions
    WHERE shopper_id IS NOT NULL AND NOT coalesce(out_of_scope, false)
)
SELECT shopper_id, token, max(trim(label)) AS label, count(*) AS times FROM named
WHERE token IS NOT NULL AND label IS NOT NULL
GROUP BY shopper_id, token ORDER BY shopper_id, token
"""


def taste_tokens(events: Sequence[Path], predictions: Sequence[Path] = ()) -> pa.Table:
    """How often each shopper dealt with each item, category, brand and intent.

    The files are read as the query goes: in memory is what it groups, and not the events of a month.

    Args:
        events: partitions of `validated_events`.
        predictions: partitions of `served_predictions`, of the same shoppers; none where nothing is served.

    Returns:
        TOKEN_SCHEMA, ordered by shopper and token.
    """
    import duckdb

    with duckdb.connect() as database:
        for name, paths, schema in (("events", events, EVENT_SCHEMA), ("predictions", predictions, PREDICTION_SCHEMA)):
            if paths:
                database.read_parquet([str(path) for path in paths], hive_partitioning=False).create_view(name)
            else:
                database.register(name, schema.empty_table())
        return database.execute(_QUERY).to_arrow_table().cast(TOKEN_SCHEMA)
