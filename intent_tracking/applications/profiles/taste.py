"""What shoppers deal with: tokens for their items, categories, brands and intents."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

TOKEN_SCHEMA: Final = pa.schema(
    [
        pa.field("shopper_id", pa.string(), nullable=False),
        pa.field("token", pa.string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("times", pa.int64(), nullable=False),
    ]
)
"""`token`: `item:<id>`, `category:<name>`, `brand:<name>` or `intent:<name>`; `label`: how people call it."""

EVENT_COLUMNS: Final = ("shopper_id", "event_name", "items")
PREDICTION_COLUMNS: Final = ("shopper_id", "intent", "out_of_scope")

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


def taste_tokens(events: pa.Table, predictions: pa.Table | None = None) -> pa.Table:
    """How often each shopper dealt with each item, category, brand and intent.

    Args:
        events: EVENT_COLUMNS of validated events.
        predictions: PREDICTION_COLUMNS of what was served to the same shoppers; None where nothing is.

    Returns:
        TOKEN_SCHEMA, ordered by shopper and token.
    """
    import duckdb

    if predictions is None:
        predictions = pa.table(
            {
                "shopper_id": pa.array([], pa.string()),
                "intent": pa.array([], pa.string()),
                "out_of_scope": pa.array([], pa.bool_()),
            }
        )
    with duckdb.connect() as database:
        database.register("events", events.select(list(EVENT_COLUMNS)))
        database.register("predictions", predictions.select(list(PREDICTION_COLUMNS)))
        return database.execute(_QUERY).to_arrow_table().cast(TOKEN_SCHEMA)
