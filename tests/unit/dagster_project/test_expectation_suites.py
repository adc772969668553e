"""Each suite accepts rows as the library makes them, and catches the flaw that it is there for."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest

from dagster_project.resources.tables import Tables
from dagster_project.suite_checks import day_verdicts, days_result, suite_of
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.events.quarantine import RAW_SCHEMA
from intent_tracking.features.schema import ITEM_FEATURE_SCHEMA, USER_FEATURE_SCHEMA
from intent_tracking.modeling.examples import EXAMPLE_SCHEMA
from intent_tracking.prediction_log import PREDICTION_SCHEMA
from intent_tracking.sessions.sessionise import SESSION_SCHEMA
from intent_tracking.sessions.texts import SESSION_TEXT_SCHEMA

pytestmark = [
    pytest.mark.unit,
    # great_expectations 1.24 imports sre_constants, which Python 3.11 deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)

RAW = {
    "raw": "{}",
    "adapter": "native",
    "source_file": "shop/2026-03-01.jsonl",
    "source_line": 1,
    "record_count": 1,
    "received_time": NOON,
    "event_time": None,
}
EVENT = {
    **dict.fromkeys(EVENT_SCHEMA.names),
    "event_id": "e1",
    "event_name": "search",
    "event_time": NOON,
    "received_time": NOON,
    "shopper_id": "u1",
    "source": "shop",
    "scene": "search",
    "schema_version": "1",
    "search_term": "red dress",
    "items": [],
    "source_file": "shop/2026-03-01.jsonl",
    "source_line": 1,
    "record_count": 1,
}
SESSION = {
    **dict.fromkeys(SESSION_SCHEMA.names),
    "session_id": "s1",
    "shopper_id": "u1",
    "started_at": NOON,
    "ended_at": NOON,
    "event_count": 1,
    "scene": "search",
    "language": "en",
    "purchased": False,
}
TEXT = {
    **dict.fromkeys(SESSION_TEXT_SCHEMA.names),
    "session_id": "s1",
    "shopper_id": "u1",
    "kind": "session",
    "scene": "search",
    "language": "en",
    "cutoff_time": NOON,
    "visible_events": 1,
    "text": "<scene:search> <search> red dress",
    "utterance_start": 0,
    "utterance_end": 0,
    "outcome": False,
    "personal_data": "{}",
    "copies": 1,
    "tokens": ["red", "dress"],
    "tags": ["ADJ", "NOUN"],
    "heads": [1, -1],
    "relations": ["amod", "root"],
}
EXAMPLE = {
    **dict.fromkeys(EXAMPLE_SCHEMA.names),
    "text": "<scene:search> <search> red dress",
    "scene": "search",
    "language": "en",
    "intent": "find_product",
    "weight": 1.0,
    "kind": "annotated",
    "time": NOON,
}
PREDICTION = {
    **dict.fromkeys(PREDICTION_SCHEMA.names),
    "prediction_id": "p1",
    "event_time": NOON,
    "served_at": NOON,
    "kind": "track",
    "scene": "search",
    "confidence": 0.8,
    "out_of_scope": False,
    "model_version": "v1",
}
SPLITS = [{**EXAMPLE, "example_id": name, "split": name} for name in ("train", "validation", "test")]
SALON = [{**row, "scene": "salon"} for row in SPLITS]


def features(schema: pa.Schema, key: str, **changes):
    row = {field.name: 0 for field in schema}
    return {**row, key: "k1", "event_timestamp": MIDNIGHT, "created_timestamp": MIDNIGHT, **changes}


NEGATIVE = features(USER_FEATURE_SCHEMA, "shopper_id", user_views_1d=-1)
GOOD = [
    ("raw_events", RAW_SCHEMA, [RAW]),
    ("validated_events", EVENT_SCHEMA, [EVENT]),
    ("sessions", SESSION_SCHEMA, [SESSION]),
    ("session_texts", SESSION_TEXT_SCHEMA, [TEXT, {**TEXT, "kind": "message", "event_id": "e1", "outcome": None}]),
    ("training_examples", EXAMPLE_SCHEMA, SALON),
    ("served_predictions", PREDICTION_SCHEMA, [PREDICTION]),
    ("user_features", USER_FEATURE_SCHEMA, [features(USER_FEATURE_SCHEMA, "shopper_id")]),
    ("item_features", ITEM_FEATURE_SCHEMA, [features(ITEM_FEATURE_SCHEMA, "item_id")]),
]
BAD = [
    ("raw_events", RAW_SCHEMA, [RAW, RAW], "source_line"),
    ("raw_events", RAW_SCHEMA, [{**RAW, "raw": None}], "raw"),
    ("validated_events", EVENT_SCHEMA, [EVENT, EVENT], "event_id"),
    ("validated_events", EVENT_SCHEMA, [{**EVENT, "event_name": "browse"}], "event_name"),
    ("validated_events", EVENT_SCHEMA, [{**EVENT, "search_term": None}], "search_term"),
    ("validated_events", EVENT_SCHEMA, [{**EVENT, "event_name": "purchase"}], "transaction_id"),
    ("validated_events", EVENT_SCHEMA, [{**EVENT, "value": 3.0}], "currency"),
    ("sessions", SESSION_SCHEMA, [{**SESSION, "ended_at": datetime(2026, 3, 1, 11, tzinfo=UTC)}], "ended_at"),
    ("sessions", SESSION_SCHEMA, [SESSION, SESSION], "session_id"),
    ("session_texts", SESSION_TEXT_SCHEMA, [TEXT, TEXT], "session_id"),
    ("session_texts", SESSION_TEXT_SCHEMA, [{**TEXT, "text": "red dress"}], "text"),
    ("session_texts", SESSION_TEXT_SCHEMA, [{**TEXT, "text": f"{TEXT['text']} ann@example.com"}], "text"),
    ("session_texts", SESSION_TEXT_SCHEMA, [{**TEXT, "text": f"{TEXT['text']} 13812345678"}], "text"),
    ("session_texts", SESSION_TEXT_SCHEMA, [{**TEXT, "outcome": None}], "outcome"),
    ("training_examples", EXAMPLE_SCHEMA, SPLITS[:2], "split"),
    ("training_examples", EXAMPLE_SCHEMA, [*SPLITS[:2], {**SPLITS[2], "scene": "The Salon"}], "scene"),
    ("training_examples", EXAMPLE_SCHEMA, [*SPLITS, SPLITS[0]], "example_id"),
    ("training_examples", EXAMPLE_SCHEMA, [*SPLITS[:2], {**SPLITS[2], "intent": None}], "outcome"),
    ("served_predictions", PREDICTION_SCHEMA, [{**PREDICTION, "confidence": 1.2}], "confidence"),
    ("served_predictions", PREDICTION_SCHEMA, [{**PREDICTION, "model_version": None}], "model_version"),
    ("user_features", USER_FEATURE_SCHEMA, [NEGATIVE], "user_views_1d"),
    (
        "item_features",
        ITEM_FEATURE_SCHEMA,
        [features(ITEM_FEATURE_SCHEMA, "item_id", created_timestamp=NOON)],
        "created_timestamp",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("dataset", "schema", "rows"), GOOD, ids=[case[0] for case in GOOD])
def test_right_rows_meet_their_suite(dataset, schema, rows):
    verdict = suite_of(dataset, pa.Table.from_pylist(rows, schema=schema))
    assert verdict.passed, verdict.failures
    assert verdict.expectations > 5


@pytest.mark.parametrize(("dataset", "schema", "rows", "column"), BAD)
def test_a_flaw_is_found_in_its_column_and_no_other(dataset, schema, rows, column):
    verdict = suite_of(dataset, pa.Table.from_pylist(rows, schema=schema))
    assert {failure.column for failure in verdict.failures} != set()
    assert all(column in failure.column for failure in verdict.failures), verdict.failures


@pytest.mark.parametrize(
    ("dataset", "schema"), [(name, schema) for name, schema, _ in GOOD if name != "training_examples"]
)
def test_a_day_without_rows_breaks_nothing(dataset, schema):
    assert suite_of(dataset, schema.empty_table()).passed


@pytest.mark.parametrize(
    ("dataset", "row", "days_later"),
    [("sessions", SESSION, 2), ("session_texts", TEXT, 2), ("validated_events", EVENT, 4)],
)
def test_an_id_that_a_source_uses_again_days_later_breaks_no_day(tmp_path, dataset, row, days_later):
    # Sessions look one day around themselves for a used id and events three back: what a run holds may reach further.
    table = getattr(Tables(tmp_path), dataset)
    days = [NOON.date(), NOON.date() + timedelta(days=days_later)]
    for day in days:
        table.write(day, pa.Table.from_pylist([row], schema=table.schema))
    assert days_result(day_verdicts(dataset, table, days)).passed

    table.write(days[1], pa.Table.from_pylist([row, row], schema=table.schema))
    result = days_result(day_verdicts(dataset, table, days))
    assert not result.passed
    assert result.metadata["rows"].value == 3
    assert str(days[1]) in result.metadata["failures"].md_str
    assert str(days[0]) not in result.metadata["failures"].md_str


def test_a_small_day_that_is_broken_does_not_hide_among_the_rows_of_a_large_one(tmp_path):
    # Of a thousand texts one may look like an address: one of one may not.
    table = Tables(tmp_path).session_texts
    days = [NOON.date(), NOON.date() + timedelta(days=1)]
    many = [TEXT | {"session_id": f"s-{number}"} for number in range(3000)]
    table.write(days[0], pa.Table.from_pylist([TEXT | {"text": "write to ann.lee@example.com"}], schema=table.schema))
    table.write(days[1], pa.Table.from_pylist(many, schema=table.schema))
    verdicts = day_verdicts("session_texts", table, days)
    assert [verdicts[day].passed for day in days] == [False, True]
    assert [verdicts[day].rows for day in days] == [1, 3000]


def test_feature_suites_hold_every_declared_feature():
    from expectations import item_features, user_features
    from intent_tracking.features.catalogue import ITEM_FEATURES, USER_FEATURES

    for module, declared in ((user_features, USER_FEATURES), (item_features, ITEM_FEATURES)):
        covered = {getattr(expectation, "column", None) for expectation in module.suite().expectations}
        assert {feature.name for feature in declared} <= covered


def test_the_history_of_a_snapshot_reaches_back_over_the_longest_window():
    from dagster_project.defs.features.assets import WINDOW_DAYS
    from dagster_project.partitions import LAST_30_DAYS
    from intent_tracking.features.catalogue import FEATURES
    from intent_tracking.features.declaration import longest_window

    assert longest_window(FEATURES).days == WINDOW_DAYS == 1 - LAST_30_DAYS.start_offset


def test_the_days_of_late_events_are_those_of_arrival():
    from intent_tracking.events.arrival import LOOKBACK_DAYS, partition_day

    event = datetime(2026, 3, 1, 23, tzinfo=UTC)
    assert partition_day(event, datetime(2026, 3, 1 + LOOKBACK_DAYS, 1, tzinfo=UTC)) == date(2026, 3, 1)
