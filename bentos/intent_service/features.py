"""Long-window features of the shoppers, as the last materialization put them online."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from bentos.intent_service.metrics import Metrics
from intent_tracking.features.declaration import Entity
from intent_tracking.features.online import OnlineFeatures
from intent_tracking.inference import Features


class ShopperFeatures:
    """Reads the online store once it exists: a shop may serve intents before it has materialized features."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics
        self._store: OnlineFeatures | None = None
        self._opening = threading.Lock()

    def of(self, shoppers: Sequence[str], moment: datetime) -> list[Features | None]:
        """Features of each shopper at `moment`; a missing or stale one has its declared default, and is counted.

        All are None while nothing was ever materialized.

        Raises:
            sqlite3.OperationalError: the store cannot be read.
        """
        store = self._open()
        if store is None:
            return [None] * len(shoppers)
        rows = store.read(Entity.USER, list(dict.fromkeys(shoppers)), moment)
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
