"""Cases of a made-up shop: ordinary sessions and orders around usual values, a few robots and tried cards."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from intent_tracking.applications.risk.cases import RISK_CASE_SCHEMA
from intent_tracking.applications.risk.probes import probes

FIRST_DAY = date(2026, 3, 1)
ROBOT, CARDS, _, ORDER, *_ = probes()


def ordinary_session(random: np.random.Generator) -> dict[str, float]:
    events = float(random.integers(3, 20))
    minutes = float(random.gamma(2, 3))
    return {
        "events": events,
        "minutes": minutes,
        "events_per_minute": events / (minutes + 0.5),
        "median_gap_seconds": 60 * minutes / events,
        "gap_variation": float(random.uniform(0.5, 1.6)),
        "quick_view_share": float(random.beta(1, 9)),
        "items_seen": float(random.integers(0, 8)),
        "item_view_share": float(random.uniform(0, 0.8)),
        "event_kinds": float(random.integers(1, 7)),
        "searches": float(random.integers(0, 3)),
        "messages": float(random.integers(0, 3)),
        "carts": float(random.integers(0, 3)),
        "removals": 0.0,
        "promotions": float(random.integers(0, 2)),
        "checkouts": float(random.integers(0, 2)),
        "payment_attempts": float(random.integers(0, 2)),
        "purchases": float(random.integers(0, 2)),
        "refunds": 0.0,
        "refunds_after_purchase": 0.0,
        "session_max_quantity": float(random.integers(0, 3)),
        "session_value_over_usual": float(random.lognormal(0, 0.6)),
        "shopper_views": float(random.integers(1, 60)),
        "shopper_carts": float(random.integers(0, 12)),
        "shopper_purchases": float(random.integers(0, 5)),
        "shopper_refunds": 0.0,
        "shopper_refund_share": 0.0,
        "shopper_messages": float(random.integers(0, 4)),
        "shopper_days_since_purchase": float(random.uniform(1, 30)),
        "shopper_days_since_visit": float(random.uniform(0, 30)),
    }


def ordinary_order(random: np.random.Generator) -> dict[str, float]:
    value = float(random.lognormal(0, 0.5))
    lines = float(random.integers(1, 5))
    return ordinary_session(random) | {
        "order_value": 50 * value,
        "order_value_over_usual": value,
        "order_lines": lines,
        "order_units": lines + float(random.integers(0, 3)),
        "order_max_quantity": float(random.integers(1, 4)),
        "order_mean_price": 50 * value / lines,
        "order_mean_price_over_usual": value / lines,
        "order_categories": 1.0,
        "order_coupons": float(random.integers(0, 2)),
        "order_hour": float(random.integers(0, 24)),
        "order_discount_share": 0.0,
    }


def made_up_cases(sessions: int = 400, robots: int = 4, days: int = 4, seed: int = 0) -> pa.Table:
    """RISK_CASE_SCHEMA rows, spread over `days`, half as many orders as sessions. Robots are `session:robot-...`."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for number in range(sessions + sessions // 2 + robots):
        is_order, is_robot = sessions <= number < sessions + sessions // 2, number >= sessions + sessions // 2
        name = f"robot-{number}" if is_robot else f"s-{number}"
        values = dict(ROBOT.values) if is_robot else (ordinary_order if is_order else ordinary_session)(random)
        started = datetime.combine(FIRST_DAY, datetime.min.time(), UTC) + timedelta(days=number % days, minutes=number)
        rows.append(
            {
                "case_id": f"order:e-{name}" if is_order else f"session:{name}",
                "kind": "order" if is_order else "session",
                "shopper_id": f"shopper-{number % 40}" if not is_robot else f"anonymous:{name}",
                "session_id": name,
                "event_id": f"e-{name}" if is_order else None,
                "transaction_id": f"t-{name}" if is_order else None,
                "started_at": started,
                **values,
            }
        )
    return pa.Table.from_pylist(rows, schema=RISK_CASE_SCHEMA)
