"""Tables of a shop for reports: what is usual, and last days in which something is new."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from dagster_project.defs.applications import insights
from dagster_project.resources.tables import Tables
from intent_tracking.applications.insights.material import Sources
from intent_tracking.applications.insights.policy import InsightsPolicy
from intent_tracking.events.contract import EVENT_SCHEMA, SCENE_OF_EVENT, EventName
from intent_tracking.prediction_log import PREDICTION_SCHEMA
from intent_tracking.sessions.sessionise import sessionise
from intent_tracking.sessions.texts import session_texts
from intent_tracking.settings import Settings
from tests.fakes.word_splitter import WordSplitter

DAY = date(2026, 3, 31)
# Short, so that few days need to be written.
POLICY = InsightsPolicy(days=3, history_days=8)
TAGS = {
    "waterproof": "ADJ",
    "jacket": "NOUN",
    "the": "DET",
    "is": "AUX",
    "order": "NOUN",
    "where": "ADV",
    "my": "PRON",
    "subscribe": "VERB",
    "refill": "NOUN",
    "plan": "NOUN",
}
SPLITTER = WordSplitter(TAGS)
ANALYSERS = {"en": SPLITTER, "zh": SPLITTER}
JACKET = {"item_id": "J1", "item_name": "Rain jacket", "item_brand": "Peak", "item_category": "jackets", "price": 80.0}

Step = tuple[str, str | None]


class Shop:
    """Sessions day by day; `sources` writes them as the tables that a report reads."""

    def __init__(self) -> None:
        self._events: dict[date, list[dict[str, Any]]] = {}
        self._predictions: dict[date, list[dict[str, Any]]] = {}
        self._sessions = 0

    def session(
        self,
        day: date,
        shopper: str,
        steps: Sequence[Step],
        *,
        intent: str | None = None,
        confidence: float = 0.9,
        out_of_scope: bool = False,
        embedding: Sequence[float] = (1.0, 0.0, 0.0),
        model: str = "m1",
    ) -> None:
        """One session of (event name, what was typed); with an `intent` the service answered its last event."""
        self._sessions += 1
        start = datetime.combine(day, time(9), UTC) + timedelta(minutes=self._sessions % 600)
        name, moment = EventName.SEARCH, start
        for number, (given, typed) in enumerate(steps):
            name, moment = EventName(given), start + timedelta(seconds=20 * number)
            row = dict.fromkeys(EVENT_SCHEMA.names) | {
                "event_id": f"e{self._sessions}-{number}",
                "event_name": name.value,
                "event_time": moment,
                "received_time": moment,
                "user_id": shopper,
                "shopper_id": shopper,
                "session_id": f"s{self._sessions}",
                "source": "test",
                "scene": SCENE_OF_EVENT[name].value,
                "schema_version": "1",
                "items": [],
                "record_count": 1,
            }
            if name is EventName.SEARCH:
                row["search_term"] = typed
            elif typed is not None:
                row["text"] = typed
            else:
                row["items"] = [JACKET]
            self._events.setdefault(day, []).append(row)
        if intent is not None:
            typed = next((text for _, text in reversed(steps) if text is not None), "")
            self._predictions.setdefault(day, []).append(
                dict.fromkeys(PREDICTION_SCHEMA.names)
                | {
                    "prediction_id": f"p{self._sessions}",
                    "event_time": moment,
                    "served_at": moment,
                    "kind": "track",
                    "session_id": f"s{self._sessions}",
                    "shopper_id": shopper,
                    "scene": SCENE_OF_EVENT[name].value,
                    "language": "en",
                    "text": f"<scene:{SCENE_OF_EVENT[name].value}> <{name.value}> {typed}",
                    "intent": intent,
                    "confidence": confidence,
                    "out_of_scope": out_of_scope,
                    "embedding": list(embedding),
                    "model_version": model,
                }
            )

    def sources(self, home: Path) -> Sources:
        """Write the tables below `home`."""
        tables = Tables(home / "tables")
        for day, rows in self._events.items():
            events = pa.Table.from_pylist(sorted(rows, key=lambda row: row["event_time"]), schema=EVENT_SCHEMA)
            tables.validated_events.write(day, events)
            sessions = sessionise(events, day)
            tables.sessions.write(day, sessions)
            tables.session_texts.write(day, session_texts(sessions, ANALYSERS))
        for day, rows in self._predictions.items():
            tables.served_predictions.write(day, pa.Table.from_pylist(rows, schema=PREDICTION_SCHEMA))
        return sources_of(home)


def sources_of(home: Path) -> Sources:
    """The sources of a report below `home`, written or not."""
    settings = Settings(home=home)
    return insights.sources_of(settings, Tables(settings.tables), DAY)


def shop_with_news() -> Shop:
    """Eight usual days and three in which many want to subscribe, ask about the jacket, and search in vain.

    One shopper alone, `zoe-4711`, writes `xanthippe`.
    """
    shop = Shop()
    for back in range(POLICY.days + POLICY.history_days - 1, -1, -1):
        day = DAY - timedelta(days=back)
        for number in range(10):
            shopper = f"shopper-{(number + 3 * back) % 40:04d}"
            bought = [("view_item", None), ("add_to_cart", None), ("purchase", None)] if number % 5 == 0 else []
            steps: list[Step] = [("search", "red jacket"), ("view_item", None), *bought]
            shop.session(day, shopper, steps, intent="find_product")
            shop.session(day, shopper, [("message", "where is my order")], intent="track_order")
        if back < POLICY.days:
            for number in range(6):
                shopper = f"shopper-{(number + 6 * back) % 40:04d}"
                shop.session(day, shopper, [("search", "heated socks"), ("search", "warm socks")], intent="explore")
                asks: list[Step] = [("view_item", None), ("message", "is the jacket waterproof ?")]
                shop.session(day, shopper, asks, intent="product_question")
                shop.session(
                    day,
                    shopper,
                    [("message", "subscribe me to the refill plan")],
                    intent="purchase",
                    out_of_scope=True,
                    embedding=(0.0, 1.0, 0.01 * number),
                )
                shop.session(
                    day,
                    shopper,
                    [("message", "sing a song please")],
                    intent="explore",
                    confidence=0.2,
                    embedding=(0.0, 0.01 * number, 1.0),
                )
    alone: list[Step] = [("message", "subscribe xanthippe to the refill plan")]
    shop.session(DAY, "zoe-4711", alone, intent="purchase", out_of_scope=True, embedding=(0.0, 1.0, 0.0))
    return shop
