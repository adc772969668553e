"""Feast behind one class. No other module of the platform imports it, but the Feast repository `features/` and
`feature_days.py`, which Feast loads."""

from __future__ import annotations

import importlib
import importlib.util
import io
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from string import Template
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from intent_tracking.features.catalogue import FEATURES, features_of
from intent_tracking.features.declaration import Entity, Feature
from intent_tracking.features.derived import DERIVED_VIEWS, DerivedView
from intent_tracking.features.online import (
    OnlineFeatures,
    OnlineViews,
    Scalar,
    online_views,
    remove_expired,
    remove_online,
    table_name,
)
from intent_tracking.features.schema import (
    EVENT_TIMESTAMP,
    TIMESTAMP,
    arrow_type,
    snapshot_moment,
    snapshot_schema,
    views,
)

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureService, FeatureStore

REPOSITORY = Path(__file__).resolve().parents[2] / "features"
LOOKBACK = timedelta(days=3)

_ROW = "__row"


@dataclass(frozen=True)
class ParityReport:
    """Online against offline values of sampled entities.

    Attributes:
        sampled: entities looked at.
        compared: values that both stores hold for the same moment.
        fresher: entities whose online row is newer than the last snapshot, which is what a push is for.
        missing: entities in the last snapshot that the online store does not serve.
        mismatches: (entity, feature, online, offline), at most 20 of them.
        mismatched: number of values that differ.
    """

    sampled: int
    compared: int
    fresher: int
    missing: tuple[str, ...]
    mismatches: tuple[tuple[str, str, Scalar, Scalar], ...]
    mismatched: int

    @property
    def passed(self) -> bool:
        """Whether the online store serves what was computed offline."""
        return self.mismatched == 0 and not self.missing


class FeastStore:
    """The feature store below one home folder: apply, training join, materialization, push, online reads, parity."""

    def __init__(self, home: Path) -> None:
        """Args: home: the platform's home folder; made absolute, because Feast resolves paths against its own."""
        self.home = home.expanduser().resolve()

    @property
    def online_path(self) -> Path:
        """The SQLite file that `intent_tracking.features.online` reads."""
        return self.home / "feast" / "online.db"

    @cached_property
    def _definitions(self) -> ModuleType:
        path = REPOSITORY / "definitions.py"
        spec = importlib.util.spec_from_file_location("feast_repository_definitions", path)
        if spec is None or spec.loader is None or not path.exists():
            raise FileNotFoundError(f"{path}: the Feast repository is missing; run from a checkout of the project")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @cached_property
    def _store(self) -> FeatureStore:
        from feast import FeatureStore
        from feast.repo_config import RepoConfig

        _store_moments_in_utc()
        # It looks for the literal path of a source and warns, on every apply, that `day=*` is not there.
        logging.getLogger("feast.infra.offline_stores.file_source").setLevel(logging.ERROR)
        (self.home / "feast").mkdir(parents=True, exist_ok=True)
        text = Template((REPOSITORY / "feature_store.yaml").read_text(encoding="utf-8"))
        config = yaml.safe_load(text.substitute(INTENT_HOME=self.home))
        config["offline_store"]["type"] = "dagster_project.resources.feature_days.FeatureDaysOfflineStore"
        return FeatureStore(config=RepoConfig(**config, repo_path=self.home / "feast"))

    def apply(self) -> list[str]:
        """Register what the declarations say and remove the views they no longer have; services of models stay as is.

        Returns:
            The names of the registered views and default services.
        """
        wanted = self._definitions.all_objects(self.home / "tables", [])
        names = [found.name for found in wanted]
        gone = [view for view in self._store.list_feature_views() if view.name not in names]
        self._store.apply(wanted, objects_to_delete=gone, partial=False)
        self._prepare_online_tables()
        entities = {entity.value for entity in Entity}
        return [name for name in names if name not in entities]

    def _prepare_online_tables(self) -> None:
        """Readers beside a writer (WAL), and the newest row wins.

        Feast's SQLite store is last-write-wins: a late row would replace a newer one, for instance the nightly
        snapshot a row pushed since. The trigger lets such a write pass without effect, whoever makes it.
        """
        with closing(sqlite3.connect(self.online_path, timeout=60)) as connection, connection:
            connection.execute("PRAGMA journal_mode=WAL")
            for view in (name for entity in Entity for name in online_views(entity)):
                table = table_name(view)
                connection.execute(
                    f'CREATE TRIGGER IF NOT EXISTS "{table}_newest" BEFORE UPDATE ON "{table}" '
                    "WHEN NEW.event_ts < OLD.event_ts BEGIN SELECT RAISE(IGNORE); END"
                )

    def feature_service(self, version: str) -> str:
        """Register the service of a model version, which freezes the features that it was trained on.

        Returns:
            Its name, `intent_model_v<version>`, for the manifest.
        """
        name = f"intent_model_v{version}"
        of_views = [view for view in self._store.list_feature_views() if view.name in views()]
        if not of_views:
            raise LookupError("the registry holds no feature views: run apply first")
        self._store.apply([self._definitions.feature_service(name, Entity.USER, of_views)])
        return name

    def point_in_time(self, points: pa.Table, service: str = "intent_model") -> pa.Table:
        """The features of `service` as they were known at each point.

        A snapshot that was not online yet at the point is never used (`AVAILABLE_AFTER`), nor one older than the time
        to live; where none is left, the row stays and gets the defaults, as it would online.

        Args:
            points: the join key column (`shopper_id` or `item_id`), `event_timestamp` (timestamp, UTC), any others.
            service: a registered feature service.

        Returns:
            The rows of `points` in their order with one column a feature; no nulls.

        Raises:
            FileNotFoundError: no snapshot has been written.
            ValueError: a column is missing.
        """
        registered = self._store.get_feature_service(service)
        features = _declared(_feature_names(registered))
        entity = features[0].entity
        for column in (entity.key, EVENT_TIMESTAMP):
            if column not in points.column_names:
                raise ValueError(f"points: column {column!r} is missing; found {points.column_names}")
        if not self._snapshot_paths(entity):
            raise FileNotFoundError(f"no {entity}_features snapshot below {self.home / 'tables'}: materialize it first")
        if points.num_rows == 0:
            return _with_features(points, {f.name: pa.array([], arrow_type(f)) for f in features}, features)
        asked = pa.table(
            {
                entity.key: points[entity.key],
                EVENT_TIMESTAMP: points[EVENT_TIMESTAMP].cast(TIMESTAMP),
                _ROW: pa.array(range(points.num_rows), pa.int64()),
            }
        )
        job = self._store.get_historical_features(
            entity_df=asked.to_pandas(), features=registered, filter_by_created_timestamp=True
        )
        found = job.to_arrow().sort_by(_ROW)
        return _with_features(points, {f.name: found[f.name] for f in features}, features)

    def materialize(
        self, start: date, end: date, lookback: timedelta = LOOKBACK, only: Sequence[str] | None = None
    ) -> list[str]:
        """Bring the newest rows of the days `start - lookback` to `end` (inclusive, UTC) online.

        Feature values that are older than their time to live at the end of `end` are deleted: the store holds who was
        active in the longest window, not everybody who ever came.
        Safe to repeat, also after a kill: rows are upserted in batches of whole transactions, newest wins. A view whose
        table has no day yet is left out.

        Args:
            start, end, lookback: the days that are looked at.
            only: names of views; None: all, declared and derived.

        Returns:
            The views that were looked at.

        Raises:
            ValueError: `end` is before `start`.
        """
        if end < start:
            raise ValueError(f"end {end} is before start {start}")
        table_of = {view: f"{features[0].entity}_features" for view, features in views().items()}
        table_of |= {view.name: view.table for view in DERIVED_VIEWS}
        found = [view for view, table in table_of.items() if (only is None or view in only) and self._day_paths(table)]
        if not found:
            return []
        with redirect_stdout(io.StringIO()):  # Feast draws progress bars on standard output
            self._store.materialize(
                start_date=snapshot_moment(start) - lookback, end_date=snapshot_moment(end), feature_views=found
            )
        remove_expired(self.online_path, snapshot_moment(end))
        return found

    def push(self, rows: pa.Table, entity: Entity = Entity.USER) -> None:
        """Write fresh rows online, ahead of the next snapshot; a row older than the stored one has no effect.

        Args:
            rows: `snapshot_schema` of the entity's features.

        Raises:
            ValueError: columns differ from the schema.
        """
        schema = snapshot_schema(features_of(entity))
        if rows.column_names != schema.names:
            different = sorted(set(rows.column_names) ^ set(schema.names))
            raise ValueError(f"pushed rows: columns differ from the snapshot schema in {different or 'their order'}")
        frame: pd.DataFrame = rows.cast(schema).to_pandas()
        for view, features in views().items():
            if features[0].entity is entity:
                columns = [*schema.names[:3], *(feature.name for feature in features)]
                self._store.write_to_online_store(view, df=frame[columns].copy())

    def remove(self, keys: Sequence[str], entity: Entity = Entity.USER) -> int:
        """Delete what is online of `keys` from every view, which Feast itself cannot; the rows deleted.

        A snapshot that still holds a key brings it back with the next materialization.
        """
        return remove_online(self.online_path, entity, keys)

    def online(self, keys: Sequence[str], service: str = "intent_model") -> list[dict[str, Any]]:
        """What Feast itself serves for `keys`: one record each, None where it holds nothing; ages are not checked."""
        registered = self._store.get_feature_service(service)
        names = _feature_names(registered)
        derived = next((view for view in DERIVED_VIEWS if view.name == service), None)
        if derived is None:
            features = _declared(names)
            entity, names = features[0].entity, [feature.name for feature in features]
        else:
            entity = derived.entity
        answer = self._store.get_online_features(registered, [{entity.key: key} for key in keys]).to_dict()
        return [{name: answer[name][index] for name in (entity.key, *names)} for index in range(len(keys))]

    def parity_check(self, sample: int, entity: Entity = Entity.USER, seed: int = 0) -> ParityReport:
        """Compare what is served with the newest snapshot for `sample` entities drawn with `seed`.

        Raises:
            FileNotFoundError: no snapshot has been written, or nothing was ever materialized.
        """
        paths = self._snapshot_paths(entity)
        if not paths:
            raise FileNotFoundError(f"no {entity}_features snapshot below {self.home / 'tables'}: materialize it first")
        newest = pq.ParquetFile(paths[-1]).read()
        drawn = np.random.default_rng(seed).choice(newest.num_rows, min(sample, newest.num_rows), replace=False)
        newest, features = newest.take(np.sort(drawn)), features_of(entity)
        offline = _with_features(newest.select([entity.key]), {f.name: newest[f.name] for f in features}, features)
        chosen = newest[entity.key].to_pylist()
        moment = snapshot_moment(date.fromisoformat(paths[-1].parent.name.removeprefix("day=")))
        with closing(OnlineFeatures(self.online_path)) as reader:
            served = reader.read(entity, chosen, moment)
        compared, fresher = 0, set()
        missing, different = [], []
        for key, row, expected in zip(chosen, served, offline.to_pylist(), strict=True):
            if row.missing:
                missing.append(key)
            for name, found in row.values.items():
                written = row.written[name]
                if written is None:
                    continue
                if written > moment:
                    fresher.add(key)
                    continue
                compared += 1
                if found != expected[name]:
                    different.append((key, name, found, expected[name]))
        return ParityReport(len(chosen), compared, len(fresher), tuple(missing), tuple(different[:20]), len(different))

    def derived_parity(self, view: DerivedView, sample: int, seed: int = 0) -> ParityReport:
        """Compare what is served of a derived view with the newest day of its table, for `sample` keys.

        Raises:
            FileNotFoundError: no day of the table has been written.
        """
        paths = self._day_paths(view.table)
        if not paths:
            raise FileNotFoundError(f"no day of {view.table} below {self.home / 'tables'}: materialize it first")
        table = pq.ParquetFile(paths[-1]).read()
        drawn = np.random.default_rng(seed).choice(table.num_rows, min(sample, table.num_rows), replace=False)
        offline = table.take(np.sort(drawn)).to_pylist()
        fresher, missing, different = 0, [], []
        with closing(OnlineViews(self.online_path)) as reader:
            for expected in offline:
                key, moment = expected[view.entity.key], expected[EVENT_TIMESTAMP]
                row = reader.read(view, key, moment)
                if row is None:
                    missing.append(key)
                elif row.written > moment:
                    fresher += 1
                else:
                    different += [
                        (key, name, value, expected[name])
                        for name, value in row.values.items()
                        if value != expected[name]
                    ]
        compared = (len(offline) - fresher - len(missing)) * len(view.fields)
        return ParityReport(len(offline), compared, fresher, tuple(missing), tuple(different[:20]), len(different))

    def _snapshot_paths(self, entity: Entity) -> list[Path]:
        return self._day_paths(f"{entity}_features")

    def _day_paths(self, table: str) -> list[Path]:
        return sorted((self.home / "tables" / table).glob("day=*/part.parquet"))


def _feature_names(service: FeatureService) -> list[str]:
    return [field.name for projection in service.feature_view_projections for field in projection.features]


def _declared(names: Sequence[str]) -> list[Feature]:
    """The declarations of `names`, in declared order."""
    found = [feature for feature in FEATURES if feature.name in names]
    unknown = sorted(set(names) - {feature.name for feature in found})
    if unknown or not found:
        raise ValueError(f"the service holds features that are not declared: {unknown or 'none at all'}; run apply")
    return found


def _with_features(points: pa.Table, found: Mapping[str, Any], features: Sequence[Feature]) -> pa.Table:
    for feature in features:
        default = pa.scalar(feature.default, pa.float64()).cast(arrow_type(feature))
        column = pc.fill_null(found[feature.name].cast(arrow_type(feature)), default)
        points = points.append_column(pa.field(feature.name, arrow_type(feature), nullable=feature.nullable), column)
    return points


def _store_moments_in_utc() -> None:
    """Let Feast's SQLite store keep moments as UTC epoch seconds.

    Its own converters take the naive UTC times that it passes for local ones (feast 0.67, `sqlite.py`), so that a
    writer and a reader in different time zones disagree by hours.
    """
    # Its converters are registered when this module is imported, which Feast does late; ours must come after.
    importlib.import_module("feast.infra.online_stores.sqlite")
    sqlite3.register_adapter(datetime, _to_epoch)
    sqlite3.register_converter("timestamp", _from_epoch)


def _to_epoch(moment: datetime) -> int:
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _from_epoch(stored: bytes) -> datetime:
    return datetime.fromtimestamp(int(stored), UTC)
