"""Entities, views and services for Feast, generated from the feature declarations.

Used by `objects.py` for `feast apply`, and by the platform's adapter, so that both register the same objects.
Nothing here names a feature: the names stand in `intent_tracking.features.catalogue`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from feast import Entity as FeastEntity
from feast import FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64, String

from intent_tracking.features.declaration import Entity
from intent_tracking.features.derived import DERIVED_VIEWS
from intent_tracking.features.schema import CREATED_TIMESTAMP, EVENT_TIMESTAMP, view_ttl, views

# What a service without a model version is called: the features of the next model, and those of the items.
DEFAULT_SERVICES = {"intent_model": Entity.USER, "item_features": Entity.ITEM}

_TYPES = {"int64": Int64, "float64": Float64, "string": String}
_OWNER = "intent-tracking"


def feast_entities() -> dict[Entity, FeastEntity]:
    """One Feast entity for each that the declarations describe; its name is `user` or `item`."""
    return {
        entity: FeastEntity(
            name=entity.value,
            join_keys=[entity.key],
            value_type=ValueType.STRING,
            description=f"One {entity}, by {entity.key}.",
            owner=_OWNER,
        )
        for entity in Entity
    }


def feature_views(tables: Path) -> list[FeatureView]:
    """One view for each entity and window, over the daily snapshots below `tables` (an absolute path)."""
    entities = feast_entities()
    sources = {
        entity: _source(tables, f"{entity}_features", f"Daily snapshots of the {entity} features.") for entity in Entity
    }
    found = []
    for name, features in views().items():
        entity = features[0].entity
        fields = [Field(name=entity.key, dtype=String)]
        fields += [Field(name=f.name, dtype=_TYPES[f.dtype], description=f.description) for f in features]
        found.append(
            FeatureView(
                name=name,
                entities=[entities[entity]],
                ttl=view_ttl(features),
                schema=fields,
                source=sources[entity],
                online=True,
                description=f"Features of one {entity} over {name.removeprefix(f'{entity}_')}.",
                owner=_OWNER,
            )
        )
    return found


def derived_views(tables: Path) -> list[FeatureView]:
    """The views that applications compute, over their day tables below `tables` (an absolute path)."""
    entities = feast_entities()
    return [
        FeatureView(
            name=view.name,
            entities=[entities[view.entity]],
            ttl=view.ttl,
            schema=[
                Field(name=view.entity.key, dtype=String),
                *(Field(name=f.name, dtype=_TYPES[f.dtype], description=f.description) for f in view.fields),
            ],
            source=_source(tables, view.table, f"Daily: {view.description}"),
            online=True,
            description=view.description,
            owner=_OWNER,
        )
        for view in DERIVED_VIEWS
    ]


def _source(tables: Path, table: str, description: str) -> FileSource:
    return FileSource(
        name=table,
        path=str(tables / table / "day=*" / "part.parquet"),
        timestamp_field=EVENT_TIMESTAMP,
        created_timestamp_column=CREATED_TIMESTAMP,
        description=description,
        owner=_OWNER,
    )


def feature_service(name: str, entity: Entity, of_views: Iterable[FeatureView]) -> FeatureService:
    """The service `name`: every one of the views that is of `entity`."""
    chosen = [view for view in of_views if view.entities == [entity.value]]
    return FeatureService(name=name, features=chosen, description=f"Every feature of one {entity}.", owner=_OWNER)


def all_objects(tables: Path, model_service_names: Iterable[str]) -> list[FeastEntity | FeatureView | FeatureService]:
    """Everything that the registry should hold: entities, views, the default services and those of the models.

    A derived view has a service of its own name; the services of models hold declared features alone.
    """
    entity_of = {**DEFAULT_SERVICES, **dict.fromkeys(model_service_names, Entity.USER)}
    of_views, derived = feature_views(tables), derived_views(tables)
    services = [feature_service(name, entity, of_views) for name, entity in entity_of.items()]
    services += [
        FeatureService(name=view.name, features=[view], description=view.description, owner=_OWNER) for view in derived
    ]
    return [*feast_entities().values(), *of_views, *derived, *services]


def model_services(models: Path) -> list[str]:
    """The service names of the model versions that lie in `models`: each keeps the features it was trained on."""
    return [f"intent_model_v{path.parent.name}" for path in sorted(models.glob("[!.]*/manifest.json"))]
