from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from intent_tracking.events.contract import EventName
from intent_tracking.features.catalogue import FEATURES, ITEM_FEATURES, USER_FEATURES, feature_bounds, features_of
from intent_tracking.features.declaration import Aggregation, Entity, Feature, Value, longest_window, window_name
from intent_tracking.features.schema import ITEM_FEATURE_SCHEMA, USER_FEATURE_SCHEMA, snapshot_schema, view_ttl, views

pytestmark = pytest.mark.unit

SPEND = Feature(
    name="user_spend_7d",
    dtype="float64",
    entity=Entity.USER,
    events=(EventName.PURCHASE,),
    aggregation=Aggregation.SUM,
    value=Value.AMOUNT,
    window=timedelta(days=7),
    default=0,
    ttl=timedelta(days=3),
    description="Money spent.",
)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"value": None}, "needs a value"),
        ({"aggregation": Aggregation.COUNT}, "takes no value"),
        ({"value": Value.BRAND}, "needs a number"),
        ({"aggregation": Aggregation.MEAN}, "only its sum"),
        ({"aggregation": Aggregation.DISTINCT, "value": Value.SHOPPER}, "one shopper"),
        ({"of": (EventName.VIEW_ITEM,)}, "denominator"),
        ({"window": timedelta(0)}, "window"),
        ({"window": timedelta(microseconds=1_500_000)}, "window"),
        ({"dtype": "int64", "default": 0.5}, "whole number"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused_by_name(change: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        replace(SPEND, **change)  # type: ignore[arg-type]

    assert "user_spend_7d" in str(raised.value)


@pytest.mark.parametrize(("seconds", "name"), [(86_400, "1d"), (5_400, "90m"), (7_200, "2h"), (45, "45s")])
def test_a_window_has_one_short_exact_name(seconds: int, name: str) -> None:
    assert window_name(timedelta(seconds=seconds)) == name


def test_feature_names_are_unique_and_say_entity_and_window() -> None:
    names = [feature.name for feature in FEATURES]

    assert len(set(names)) == len(names)
    for feature in FEATURES:
        assert feature.name.startswith(f"{feature.entity}_")
        assert feature.name.endswith(f"_{window_name(feature.window)}")


def test_every_default_lies_within_the_bounds_that_expectations_are_made_of() -> None:
    for entity in Entity:
        defaults = {feature.name: feature.default for feature in features_of(entity)}
        for bounds in feature_bounds(entity):
            assert bounds.minimum is not None
            assert bounds.minimum <= defaults[bounds.column]
            assert bounds.maximum is None or defaults[bounds.column] <= bounds.maximum


def test_views_hold_one_entity_and_one_window_each_and_every_feature_once() -> None:
    grouped = views()

    assert list(grouped) == ["user_1d", "user_7d", "user_30d", "item_7d", "item_30d"]
    assert sorted(f.name for features in grouped.values() for f in features) == sorted(f.name for f in FEATURES)
    for name, features in grouped.items():
        assert {feature.view for feature in features} == {name}
        assert view_ttl(features) == timedelta(days=3)


def test_features_of_one_view_that_disagree_about_their_time_to_live_are_refused() -> None:
    with pytest.raises(ValueError, match="one ttl"):
        view_ttl([SPEND, replace(SPEND, name="user_other_7d", ttl=timedelta(days=1))])


def test_snapshot_schemas_follow_the_declarations() -> None:
    for schema, features, key in (
        (USER_FEATURE_SCHEMA, USER_FEATURES, "shopper_id"),
        (ITEM_FEATURE_SCHEMA, ITEM_FEATURES, "item_id"),
    ):
        assert schema.names == [key, "event_timestamp", "created_timestamp", *(feature.name for feature in features)]
        assert [str(field.type) for field in schema][3:] == [
            {"int64": "int64", "float64": "double"}[f.dtype] for f in features
        ]


def test_features_of_two_entities_have_no_common_table() -> None:
    with pytest.raises(ValueError, match="exactly one entity"):
        snapshot_schema(FEATURES)


def test_the_longest_window_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no features"):
        longest_window([])
