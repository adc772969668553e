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
from intent_tracking.features.online import OnlineFeatures
from intent_tracking.inference import Features

logger = logging.getLogger(__name__)


class ShopperFeatures:
    """Reads the online store once it exists: a shop may serve intents before it has materialized features."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics
        self._store: OnlineFeatures | None = None
        self._opening = threading.Lock()

    def of(self, shoppers: Sequence[str], moment: datetime) -> list[Features | None]:
        """Features of each shopper at `moment`; a missing or stale one has its declared default, and is counted.

        All are None while nothing was ever materialized, and while the store cannot be read: by then the events are
        accepted, and the model answers without features too.
        """
        keys = list(dict.fromkeys(shoppers))
        try:
            store = self._open()
            if store is None:
                return [None] * len(shoppers)
            rows = store.read(Entity.USER, keys, moment)
        except (sqlite3.Error, ValueError) as error:
            logger.error("online store %s cannot be read, predicting without features: %s", self._path, error)
            self._metrics.feature_defaults.labels("unreadable").inc(len(keys) * len(features_of(Entity.USER)))
            return [None] * len(shoppers)
        for row in rows:
            self._metrics.feature_defaults.labels("missing").inc(len(row.missing))
            self._metrics.feature_defaults.labels("stale").inc(len(row.stale))
            if row.age is not None:
                self._metrics.feature_age.observe(row.age.total_seconds())
        found = {row.key: row.values for row in rows}
        return [found[shopper] for shopper in shoppers]

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def _open(self) -> OnlineFeatures | None:
        with self._opening:
            if self._store is None and self._path.is_file():
                self._store = OnlineFeatures(self._path)
            return self._store
