"""Long-window features of the shoppers, as the last materialization put them online."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from bentos.intent_service.metrics import Metrics
from intent_tracking.features.catalogue import features_of
from intent_tracking.features.declaration import Entity
from intent_tracking.features.online import OnlineFeatures, OnlineRow
from intent_tracking.inference import Features

logger = logging.getLogger(__name__)


class ShopperFeatures:
    """Reads the online store once it exists: a shop may serve intents before it has materialized features."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics
        self._store: OnlineFeatures | None = None
        self._opening = threading.Lock()

    def of(self, asked: Sequence[tuple[str, datetime]]) -> list[Features | None]:
        """Features of each shopper at the moment beside it; a missing or stale one has its declared default.

        All are None while no store is there, and while it cannot be read: by then the events are accepted, and the
        model answers without features too. Whatever is no stored value is counted.
        """
        try:
            store = self._open()
            rows = store.read_each(Entity.USER, asked) if store else None
        except (sqlite3.Error, ValueError) as error:
            logger.error("online store %s cannot be read, predicting without features: %s", self._path, error)
            return self._none("unreadable", len(asked))
        if rows is None:
            # A replica that lacks the shared file looks like a shop that has materialized nothing yet.
            return self._none("absent", len(asked))
        for row in rows:
            self._metrics.feature_defaults.labels("missing").inc(len(row.missing))
            self._metrics.feature_defaults.labels("stale").inc(len(row.stale))
            if row.age is not None:
                self._metrics.feature_age.observe(row.age.total_seconds())
        return [row.values for row in rows]

    def row(self, shopper_id: str, now: datetime) -> OnlineRow | None:
        """The features of one shopper with what is missing or stale; None while no store is there.

        Raises:
            sqlite3.Error: the store cannot be read.
        """
        store = self._open()
        return store.read(Entity.USER, [shopper_id], now)[0] if store else None

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def _none(self, why: str, shoppers: int) -> list[Features | None]:
        self._metrics.feature_defaults.labels(why).inc(shoppers * len(features_of(Entity.USER)))
        return [None] * shoppers

    def _open(self) -> OnlineFeatures | None:
        with self._opening:
            if self._store is None and self._path.is_file():
                self._store = OnlineFeatures(self._path)
            return self._store
