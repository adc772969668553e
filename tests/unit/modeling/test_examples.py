from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from intent_tracking.modeling.annotations import LabelledText, Slot
from intent_tracking.modeling.augmentation import augmented_examples
from intent_tracking.modeling.examples import (
    BEHAVIOUR_WEIGHT,
    ENOUGH_ANNOTATED,
    EXAMPLE_SCHEMA,
    build_examples,
    examples_from_labelled,
    model_inputs,
)
from intent_tracking.sessions.render import render_utterance

pytestmark = pytest.mark.unit

UNTIL = datetime(2026, 2, 1, tzinfo=UTC)


def _session(
    number: int, *, days: float, intent: str | None = "compare", outcome: bool | None = None
) -> dict[str, Any]:
    rendered = render_utterance(f"red coat {number}")
    return {
        "session_id": f"session-{number}",
        "shopper_id": f"shopper-{number}",
        "scene": "search",
        "language": "en",
        "cutoff_time": UNTIL - timedelta(days=days),
        "text": rendered.text,
        "utterance_start": rendered.utterance_start,
        "utterance_end": rendered.utterance_end,
        "behaviour_intent": intent,
        "outcome": outcome,
    }


def _texts(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=pa.schema([
        ("session_id", pa.string()), ("shopper_id", pa.string()), ("scene", pa.string()), ("language", pa.string()),
        ("cutoff_time", pa.timestamp("us", tz="UTC")), ("text", pa.string()), ("utterance_start", pa.int64()),
        ("utterance_end", pa.int64()), ("behaviour_intent", pa.string()), ("outcome", pa.bool_()),
    ]))  # fmt: skip


def _event(event_id: str, minute: int, text: str | None, name: str = "message") -> dict[str, Any]:
    return {
        "event_id": event_id,
        "event_name": name,
        "event_time": UNTIL - timedelta(days=10) + timedelta(minutes=minute),
        "scene": "customer_service" if name == "message" else "browse",
        "search_term": None,
        "text": text,
        "items": [],
    }


def _sessions(events: list[dict[str, Any]]) -> pa.Table:
    event = pa.struct([
        ("event_id", pa.string()), ("event_name", pa.string()), ("event_time", pa.timestamp("us", tz="UTC")),
        ("scene", pa.string()), ("search_term", pa.string()), ("text", pa.string()),
        ("items", pa.list_(pa.struct([("item_id", pa.string()), ("item_name", pa.string())]))),
    ])  # fmt: skip
    rows = [{"shopper_id": "shopper-1", "events": events}]
    return pa.Table.from_pylist(rows, schema=pa.schema([("shopper_id", pa.string()), ("events", pa.list_(event))]))


def _build(
    texts: pa.Table, annotations: list[dict[str, Any]], **options: Any
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    built = build_examples(texts, annotations, until=UNTIL, validation_days=1, test_days=1, seed=0, **options)
    return built.table.to_pylist(), built.counts


def _at(days: float) -> str:
    return (UNTIL - timedelta(days=days)).isoformat()


def test_a_label_by_a_person_replaces_the_one_by_behaviour() -> None:
    rows, _ = _build(
        _texts(_session(1, days=10, outcome=False), _session(2, days=10)),
        [{"session_id": "session-1", "intent": "complain", "annotated_at": _at(9)}],
    )
    by_id = {row["example_id"].partition("@")[0]: row for row in rows}
    assert (by_id["session-1"]["intent"], by_id["session-1"]["kind"], by_id["session-1"]["weight"]) == (
        "complain",
        "annotated",
        1.0,
    )
    assert by_id["session-1"]["outcome"] is False
    assert by_id["session-2"]["weight"] == pytest.approx(BEHAVIOUR_WEIGHT)


def test_nothing_known_at_the_end_or_later_is_used() -> None:
    rows, counts = _build(
        _texts(_session(1, days=10), _session(2, days=0), _session(3, days=-1)),
        [{"session_id": "session-1", "intent": "complain", "annotated_at": _at(0)}],
    )
    assert [(row["example_id"], row["intent"]) for row in rows] == [
        (f"session-1@{UNTIL - timedelta(days=10):%Y-%m-%d}T00:00:00.000000Z", "compare")
    ]
    assert counts["annotated too late"] == 1
    assert counts["session after the end"] == 2


def test_the_newest_of_several_labels_counts() -> None:
    label = {"session_id": "session-1", "intent": "old", "annotated_at": _at(5)}
    rows, _ = _build(_texts(_session(1, days=10)), [label | {"intent": "new", "annotated_at": _at(4)}, label])
    assert rows[0]["intent"] == "new"


def test_a_message_is_read_as_the_service_reads_it_with_or_without_the_session_before_it() -> None:
    events = [_event("v", 0, None, "view_item")]
    events += [_event(f"m{place}", place + 1, f"cancel order 47{place}") for place in range(20)]
    labels = [
        {
            "event_id": f"m{place}",
            "intent": "cancel",
            "annotated_at": _at(9),
            "slots": [{"name": "order_id", "start": 13, "end": 13 + len(f"47{place}"), "value": f"47{place}"}],
        }
        for place in range(20)
    ]
    rows, _ = _build(_texts(), labels, sessions=_sessions(events))
    assert len(rows) == 20
    alone = [row for row in rows if "<view_item>" not in row["text"]]
    assert 0 < len(alone) < 20
    for row in rows:
        place = row["example_id"].removeprefix("m")
        [slot] = row["slots"]
        assert row["text"][slot["start"] : slot["end"]] == f"47{place}"
        assert row["text"][row["utterance_start"] : row["utterance_end"]] == f"cancel order 47{place}"
        assert f"47{int(place) + 1}" not in row["text"] or place == "0"


def test_slots_follow_the_text_through_cleaning_and_lost_ones_are_counted() -> None:
    written = "call 13812345678 about  order A17"
    slot = {"name": "order_id", "start": written.index("A17"), "end": len(written), "value": "A17"}
    rows, counts = _build(
        _texts(),
        [
            {"text": written, "intent": "ask", "annotated_at": _at(5), "slots": [slot]},
            {
                "event_id": "gone",
                "text": "hello",
                "intent": "ask",
                "annotated_at": _at(5),
                "slots": [slot | {"start": 40, "end": 43}],
            },
        ],
    )
    found = [row["text"][s["start"] : s["end"]] for row in rows for s in row["slots"]]
    assert found == ["A17"]
    assert all("13812345678" not in row["text"] for row in rows)
    assert counts["slot not found in its text"] == 1


def test_a_message_that_is_nowhere_is_counted() -> None:
    rows, counts = _build(_texts(), [{"event_id": "gone", "intent": "ask", "annotated_at": _at(5)}])
    assert rows == []
    assert counts["annotated message not found"] == 1


def test_held_out_intents_are_judged_by_people_where_there_are_enough() -> None:
    guessed = [_session(place, days=0.5, outcome=True) for place in range(5)]
    said = [_session(100 + place, days=0.5) for place in range(ENOUGH_ANNOTATED)]
    labels = [{"session_id": row["session_id"], "intent": "complain", "annotated_at": _at(0.1)} for row in said]
    rows, _ = _build(_texts(*guessed, *said), labels)
    assert {row["split"] for row in rows} == {"test"}
    assert {row["intent"] for row in rows if row["kind"] == "behaviour"} == {None}
    rows, _ = _build(_texts(*guessed, *said), labels[1:])
    assert {row["intent"] for row in rows if row["kind"] == "behaviour"} == {"compare"}


def test_features_join_their_session_and_are_missing_elsewhere() -> None:
    features = pa.table(
        {
            "session_id": ["session-2"],
            "event_timestamp": pa.array([UNTIL - timedelta(days=10)], pa.timestamp("us", tz="UTC")),
            "user_id": ["u"],
            "purchases": [3],
            "is_new": [True],
        }
    )
    built = build_examples(
        _texts(_session(1, days=10), _session(2, days=10)), [], features,
        until=UNTIL, validation_days=1, test_days=1, seed=0,
    )  # fmt: skip
    assert built.table.column_names == [*EXAMPLE_SCHEMA.names, "purchases", "is_new"]
    assert built.table["purchases"].to_pylist() == [None, 3.0]


def test_a_session_id_that_comes_back_days_later_is_another_example_with_its_own_features() -> None:
    first, second = _session(1, days=12), _session(1, days=5)
    features = pa.table(
        {
            "session_id": ["session-1"] * 2,
            "event_timestamp": pa.array([first["cutoff_time"], second["cutoff_time"]], pa.timestamp("us", tz="UTC")),
            "purchases": [1, 9],
        }
    )
    rows, _ = _build(_texts(first, second), [], features=features)
    assert len({row["example_id"] for row in rows}) == 2
    assert {row["time"]: row["purchases"] for row in rows} == {first["cutoff_time"]: 1.0, second["cutoff_time"]: 9.0}


def test_a_label_means_the_last_session_with_its_id_before_it() -> None:
    """The live service tells the second session of an id by `#` and a hash; the tables forget the first after days."""
    texts = _texts(*(_session(1, days=days) for days in (20, 12, 5)))
    labels = [
        {"session_id": "session-1", "intent": "complain", "annotated_at": _at(19)},
        {"session_id": "session-1#0123abcd", "intent": "return", "annotated_at": _at(11)},
        {"session_id": "session-1", "intent": "older than what is read", "annotated_at": _at(40)},
    ]
    rows, counts = _build(texts, labels)
    assert [row["intent"] for row in rows] == ["complain", "return", "compare"]
    assert counts["annotated session not found"] == 1


def test_same_input_gives_the_same_rows() -> None:
    texts = _texts(*(_session(place, days=place / 3) for place in range(40)))
    assert _build(texts, []) == _build(texts, [])


def test_labelled_texts_become_inputs_of_the_predictor() -> None:
    slot = Slot(name="colour", start=0, end=3)
    table = examples_from_labelled([LabelledText(text="red coat", intent="find", slots=(slot,))], "test", UNTIL)
    assert table.schema == EXAMPLE_SCHEMA
    [entry] = model_inputs(table)
    assert entry == render_utterance("red coat")
    [found] = table["slots"].to_pylist()[0]
    assert entry.text[found["start"] : found["end"]] == "red"


def test_what_nobody_marked_stays_unmarked() -> None:
    rows = [LabelledText(text="red coat", intent="find"), LabelledText(text="hello", intent="greet", slots=())]
    assert examples_from_labelled(rows, "test", UNTIL)["slots"].to_pylist() == [None, []]


def test_slots_in_one_number_do_not_overlap_when_its_placeholder_is_left() -> None:
    """Both grew to the whole of `<phone>`, and augmenting such a text raised "overlaps another"."""
    text = "call 13812345678 now"
    slots = (Slot(name="area", start=5, end=8), Slot(name="line", start=8, end=16))
    counts: Counter[str] = Counter()
    table = examples_from_labelled([LabelledText(text=text, intent="call", slots=slots)], "train", UNTIL, counts)
    [slot] = table["slots"].to_pylist()[0]
    assert (slot["name"], table["text"][0].as_py()[slot["start"] : slot["end"]]) == ("area", "<phone>")
    assert counts == {"slot in the same personal data as another": 1}
    assert augmented_examples(table, 3)["slots"].to_pylist()[0][0]["name"] == "area"
