from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.evaluation.gate import GatePolicy
from intent_tracking.modeling.annotations import LabelledText, Slot
from intent_tracking.modeling.augmentation import augmented_examples
from intent_tracking.modeling.examples import (
    BEHAVIOUR_WEIGHT,
    EXAMPLE_SCHEMA,
    FeaturesAt,
    build_examples,
    examples_from_labelled,
    judged_by_people,
    model_inputs,
)
from intent_tracking.modeling.splits import ENOUGH_TO_JUDGE, Split
from intent_tracking.sessions.cutoff import observation_cutoff, shopper_seen
from intent_tracking.sessions.render import render_utterance
from intent_tracking.sessions.texts import SESSION_TEXT_SCHEMA
from intent_tracking.tables import DayTable

pytestmark = pytest.mark.unit

UNTIL = datetime(2026, 2, 1, tzinfo=UTC)


def _session(
    number: int, *, days: float, intent: str | None = "compare", outcome: bool | None = None
) -> dict[str, Any]:
    rendered = render_utterance(f"red coat {number}")
    return {
        "session_id": f"session-{number}",
        "shopper_id": f"shopper-{number}",
        "kind": "session",
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
    return pa.Table.from_pylist(list(rows), SESSION_TEXT_SCHEMA)


def _event(event_id: str, minute: int, text: str | None, name: str = "message") -> dict[str, Any]:
    return {
        "event_id": event_id,
        "event_name": name,
        "event_time": UNTIL - timedelta(days=10) + timedelta(minutes=minute),
        "scene": "customer_service" if name == "message" else "browse",
        "search_term": None,
        "text": text,
        "visitor_id": None,
        "items": [],
    }


def _sessions(*visits: list[dict[str, Any]]) -> pa.Table:
    event = pa.struct([
        ("event_id", pa.string()), ("event_name", pa.string()), ("event_time", pa.timestamp("us", tz="UTC")),
        ("scene", pa.string()), ("search_term", pa.string()), ("text", pa.string()), ("visitor_id", pa.string()),
        ("items", pa.list_(pa.struct([("item_id", pa.string()), ("item_name", pa.string())]))),
    ])  # fmt: skip
    schema = pa.schema([("session_id", pa.string()), ("shopper_id", pa.string()), ("events", pa.list_(event))])
    rows = [
        {"session_id": f"session-{n}", "shopper_id": f"shopper-{n}", "events": events}
        for n, events in enumerate(visits, start=1)
    ]
    return pa.Table.from_pylist(rows, schema)


def _build(
    texts: pa.Table, annotations: list[dict[str, Any]], features_at: FeaturesAt | None = None, **options: Any
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    if "sessions" in options:
        options["sessions"] = ds.dataset(options["sessions"])
    options = {"until": UNTIL, "validation_days": 1, "test_days": 1, "seed": 0} | options
    built = build_examples(ds.dataset(texts), annotations, features_at, **options)
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


def test_a_message_before_a_login_is_the_visitor_s() -> None:
    events = [_event("m1", 1, "hello") | {"visitor_id": "anonymous:phone-1"}, _event("m2", 2, "hello again")]
    labels = [{"event_id": name, "intent": "greet", "annotated_at": _at(9)} for name in ("m1", "m2")]
    rows, _ = _build(_texts(), labels, sessions=_sessions(events))
    assert {row["example_id"]: row["shopper_id"] for row in rows} == {"m1": "anonymous:phone-1", "m2": "shopper-1"}


def test_the_messages_of_a_session_are_where_its_text_is_or_nowhere() -> None:
    # Cause: the text before a login and the message after it were split by different shoppers, and share their events.
    visits = [
        [_event(f"{n}-before", 0, "hello") | {"visitor_id": f"anonymous:phone-{n}"}, _event(f"{n}-after", 1, "again")]
        for n in range(1, 61)
    ]
    sessions = _sessions(*visits)
    texts = [
        _session(n, days=10) | {"shopper_id": shopper_seen(session, session["events"][observation_cutoff(session) - 1])}
        for n, session in enumerate(sessions.to_pylist(), start=1)
    ]
    labels = [{"event_id": each["event_id"], "intent": "greet", "annotated_at": _at(9)} for v in visits for each in v]
    rows, counts = _build(_texts(*texts), labels, sessions=sessions, validation_days=12)
    sides: dict[str, set[str]] = {}
    for row in rows:
        number = row["example_id"].partition("@")[0].removeprefix("session-").partition("-")[0]
        sides.setdefault(number, set()).add(row["split"])
    assert {len(each) for each in sides.values()} == {1}
    assert Counter(side for each in sides.values() for side in each).keys() == {"train", "validation"}
    assert {row["kind"] for row in rows if row["split"] == "validation"} == {"annotated", "behaviour"}
    assert 0 < counts["message kept out by time or shopper"] < 60


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


def _visits(number: int, days: Iterable[float], *, shoppers: int | None = None) -> Iterator[dict[str, Any]]:
    """A session a day given, which are rendered once, of as many shoppers as sessions unless said otherwise."""
    one = _session(0, days=1)
    for place, ago in enumerate(days):
        shopper = f"shopper-{number}-{place if shoppers is None else place % shoppers}"
        yield one | {
            "session_id": f"visit-{number}-{place}", "shopper_id": shopper, "cutoff_time": UNTIL - timedelta(days=ago)
        }  # fmt: skip


def test_a_busy_shop_trains_on_its_whole_window() -> None:
    """The newest sessions were kept before the split: two busy days left the test split alone."""
    days = [(place + 0.5) / 20 for place in range(60 * 20)]
    rows, counts = _build(
        _texts(*_visits(0, days)), [], validation_days=2, test_days=2, most_behaviour=100, most_held_out=10
    )
    assert Counter(row["split"] for row in rows) == {"train": 100, "validation": 10, "test": 10}
    ages = [(UNTIL - row["time"]) / timedelta(days=1) for row in rows if row["split"] == "train"]
    assert max(ages) > 50
    assert min(ages) < 10
    assert 24 < sum(ages) / len(ages) < 38
    assert counts["train behaviour beyond the limit"] == 58 * 20 - 100 - 10
    assert counts["session kept out by time or shopper"] == 40 - 10


def test_one_shopper_with_many_sessions_does_not_fill_the_test() -> None:
    texts = _texts(*_visits(0, [0.5] * 50, shoppers=1), *_visits(1, [0.5] * 50, shoppers=1), *_visits(2, [9.0] * 50))
    rows, counts = _build(texts, [], most_held_out=20)
    assert Counter(row["split"] for row in rows) == {"train": 50, "test": 20}
    assert counts["test behaviour beyond the limit"] == 30


_PAST = st.lists(st.tuples(st.floats(-1, 9), st.booleans(), st.booleans(), st.booleans()), max_size=30)


@settings(max_examples=40)
@given(_PAST, st.integers(0, 5), st.integers(1, 5))
def test_each_session_is_an_example_or_counted_and_their_order_is_nothing(
    past: list[tuple[float, bool, bool, bool]], most_behaviour: int, most_held_out: int
) -> None:
    sessions = list(_visits(0, [days for days, *_ in past], shoppers=9))
    labels = []
    for session, (_, guessed, ended, said) in zip(sessions, past, strict=True):
        session |= {"behaviour_intent": "compare" if guessed else None, "outcome": True if ended else None}
        if said:
            labels.append({"session_id": session["session_id"], "intent": "complain", "annotated_at": _at(0.001)})
    limits = {"most_behaviour": most_behaviour, "most_held_out": most_held_out}
    rows, counts = _build(_texts(*sessions), labels, **limits)
    reasons = [name for name in counts if not name.startswith(("annotated", "message"))]
    assert len(rows) + sum(counts[name] for name in reasons) == len(sessions)
    behaviour = Counter(row["split"] for row in rows if row["kind"] == "behaviour")
    assert behaviour["train"] <= most_behaviour
    assert max(behaviour["validation"], behaviour["test"]) <= most_held_out
    assert _build(_texts(*reversed(sessions)), labels, **limits) == (rows, counts)


def test_the_texts_of_a_table_of_days_are_those_of_a_table_in_memory(tmp_path: Path) -> None:
    texts = _texts(*_visits(0, [(place + 1) / 3 for place in range(30)]))
    days = DayTable(tmp_path, "session_texts", SESSION_TEXT_SCHEMA)
    for ago in range(1, 11):
        day = UNTIL - timedelta(days=ago)
        inside = pc.and_(pc.greater_equal(texts["cutoff_time"], day), pc.less(texts["cutoff_time"], day + timedelta(1)))
        days.write(day.date(), texts.filter(inside))
    window = [UNTIL.date() - timedelta(days=ago) for ago in range(40)]
    options: dict[str, Any] = {"until": UNTIL, "validation_days": 1, "test_days": 1, "seed": 0}
    read = build_examples(days.dataset(window), [], **options)
    assert (read.table.to_pylist(), read.counts) == _build(texts, [])
    assert build_examples(days.dataset([]), [], **options).table.num_rows == 0


@pytest.mark.parametrize("split", ["validation", "test"])
def test_people_judge_alone_from_as_many_labels_as_are_enough(split: Split) -> None:
    """From 30 on they did, and a gate that asks for 100 refused every model until there were as many."""
    guessed = [_session(place, days=0.5, outcome=True if place else None) for place in range(5)]
    said = [_session(100 + place, days=0.5) for place in range(40)]
    labels = [{"session_id": row["session_id"], "intent": "complain", "annotated_at": _at(0.1)} for row in said]
    built = build_examples(
        ds.dataset(_texts(*guessed, *said)), labels, until=UNTIL, validation_days=1, test_days=1, seed=0
    ).table
    assert Counter(built["split"].to_pylist()) == {"test": 45}
    assert Counter(built["intent"].to_pylist()) == {"compare": 5, "complain": 40}
    held_out = built.set_column(built.schema.get_field_index("split"), "split", pa.array([split] * 45))

    assert judged_by_people(held_out, split, 41) is held_out
    assert judged_by_people(held_out, "train", 40) is held_out
    judged = judged_by_people(held_out, split, 40)
    assert judged.schema == held_out.schema
    assert Counter(zip(judged["kind"].to_pylist(), judged["intent"].to_pylist(), strict=True)) == {
        ("annotated", "complain"): 40, ("behaviour", None): 4
    }  # fmt: skip


def test_nobody_judges_alone_where_nobody_labelled() -> None:
    table = build_examples(
        ds.dataset(_texts(_session(1, days=0.5))), [], until=UNTIL, validation_days=1, test_days=1, seed=0
    ).table
    assert judged_by_people(table, "test", 0) is table


@pytest.mark.parametrize(("labelled", "guesses"), [(ENOUGH_TO_JUDGE - 1, 110), (ENOUGH_TO_JUDGE, 0)])
def test_validation_is_of_people_alone_from_as_many_labels_as_the_gate_asks(labelled: int, guesses: int) -> None:
    assert GatePolicy().min_examples == ENOUGH_TO_JUDGE
    said = list(_visits(0, [1.5] * labelled, shoppers=1))
    guessed = [session | {"session_id": f"guessed-{place}"} for place, session in enumerate(said[:10])]
    others = [*_visits(1, [1.5] * 300), *_visits(2, [9.0] * 1000)]
    labels = [{"session_id": row["session_id"], "intent": "complain", "annotated_at": _at(0.1)} for row in said]
    rows, counts = _build(_texts(*said, *guessed, *others), labels, most_held_out=500)
    found = Counter((row["split"], row["kind"]) for row in rows)
    assert (found["validation", "annotated"], found["validation", "behaviour"]) == (labelled, guesses)
    assert len(rows) + counts["validation behaviour where people judge"] == labelled + 10 + 1300


def test_features_join_their_session_and_are_missing_elsewhere() -> None:
    events = [_event("m", 1, "hello")]
    asked = []

    def features_at(points: pa.Table) -> pa.Table:
        asked.extend(points.to_pylist())
        return points.append_column("purchases", pa.array([3])).append_column("is_new", pa.array([True]))

    rows, _ = _build(
        _texts(_session(1, days=10, intent=None), _session(2, days=11)),
        [{"event_id": "m", "intent": "greet", "annotated_at": _at(9)}],
        features_at,
        sessions=_sessions(events),
    )
    assert asked == [{"shopper_id": "shopper-2", "event_timestamp": UNTIL - timedelta(days=11)}]
    assert list(rows[0]) == [*EXAMPLE_SCHEMA.names, "purchases", "is_new"]
    assert {row["example_id"][:9]: (row["purchases"], row["is_new"]) for row in rows} == {
        "session-2": (3.0, 1.0),
        "m": (None, None),
    }


def test_a_session_id_that_comes_back_days_later_is_another_example_with_its_own_features() -> None:
    first, second = _session(1, days=12), _session(1, days=5)
    purchases = {first["cutoff_time"]: 1, second["cutoff_time"]: 9}
    rows, _ = _build(
        _texts(second, first),
        [],
        lambda points: pa.table({"purchases": [purchases[moment] for moment in points["event_timestamp"].to_pylist()]}),
    )
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
