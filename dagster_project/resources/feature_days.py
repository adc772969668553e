"""Feast's DuckDB offline store, which reads for a training join only the days that can matter to its points.

Feast's own joins all rows that a view ever had before it asks for their age (feast 0.67, `ibis.py`), so that each day
of the platform makes every join longer. Loaded by Feast, by the name that `FeastStore` gives it.
"""

from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.types as ir
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.ibis import get_historical_features_ibis
from feast.infra.offline_stores.offline_store import RetrievalJob

from intent_tracking.features.schema import EVENT_TIMESTAMP, snapshot_moment


class FeatureDaysOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """Feast finds the configuration of a store by this name; it has none of its own."""

    type: str = "dagster_project.resources.feature_days.FeatureDaysOfflineStore"


class FeatureDaysOfflineStore(DuckDBOfflineStore):
    """`DuckDBOfflineStore` over tables of one file a day; points are given as a frame with `event_timestamp`."""

    @staticmethod
    def get_historical_features(  # type: ignore[override]  # Feast calls it by keywords, and so it is passed on
        config: Any, feature_views: Any, entity_df: Any, **asked: Any
    ) -> RetrievalJob:
        """The join of Feast, over the days from the first point's time to live before it to the last point."""
        moments = entity_df[EVENT_TIMESTAMP]
        since = moments.min() - max(view.ttl for view in feature_views)
        return get_historical_features_ibis(
            config=config,
            feature_views=feature_views,
            entity_df=entity_df,
            data_source_reader=partial(_read, since, moments.max()),
            data_source_writer=_refuse,
            **asked,
        )


def _read(since: datetime, until: datetime, source: FileSource, _: str) -> ir.Table:
    pattern = Path(source.path)  # <table>/day=*/part.parquet
    days = sorted(pattern.parents[1].glob(f"{pattern.parent.name}/{pattern.name}"))
    inside = [path for path in days if since <= snapshot_moment(_day(path)) <= until]
    # Any day has the columns; none of its rows is near enough to a point.
    return ibis.read_parquet(inside or days[:1])


def _day(path: Path) -> date:
    return date.fromisoformat(path.parent.name.removeprefix("day="))


def _refuse(*_: Any) -> None:
    raise NotImplementedError("a training join is not saved by Feast: the training set is a table of the platform")
