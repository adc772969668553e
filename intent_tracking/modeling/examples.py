"""Training examples: sessions labelled by behaviour, sessions and messages labelled by people, free utterances."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.modeling.annotations import Annotation, LabelledText, Slot
from intent_tracking.modeling.session_keys import cutoffs_of, labelled_session, session_example_id
from intent_tracking.modeling.splits import Split, Windows, share, split_shoppers, split_utterance
from intent_tracking.sessions.render import (
    ModelInput,
    SessionEvent,
    free_text,
    free_text_with_offsets,
    render_session,
    render_utterance,
)
from intent_tracking.sessions.vocabulary import PLACEHOLDER_TOKENS

EXAMPLE_SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("text", pa.string()),
        ("scene", pa.string()),
        ("language", pa.string()),
        ("intent", pa.string()),
        ("outcome", pa.bool_()),
        ("slots", pa.list_(pa.struct([("name", pa.string()), ("start", pa.int64()), ("end", pa.int64())]))),
        ("weight", pa.float32()),
        ("kind", pa.string()),
        ("split", pa.string()),
        ("shopper_id", pa.string()),
        ("time", pa.timestamp("us", tz="UTC")),
        ("utterance_start", pa.int64()),
        ("utterance_end", pa.int64()),
    ]
)
# What people say counts; what behaviour suggests is often right and plentiful.
BEHAVIOUR_WEIGHT = 0.3
# With this many labels by people in a held-out split, guesses from behaviour are no longer scored there.
ENOUGH_ANNOTATED = 30


@dataclass(frozen=True)
class BuiltExamples:
    """Rows of `EXAMPLE_SCHEMA` plus one float64 column per user feature, and what was left out, by reason."""

    table: pa.Table
    counts: dict[str, int]


def build_examples(
    session_texts: pa.Table,
    annotations: Iterable[Annotation | Mapping[str, Any]],
    features: pa.Table | None = None,
    *,
    sessions: pa.Table | None = None,
    until: datetime,
    validation_days: int,
    test_days: int,
    seed: int,
    most_behaviour: int = 20_000,
    most_held_out: int = 2000,
) -> BuiltExamples:
    """Build examples from everything known before `until`, and split them by time and shopper.

    Args:
        session_texts: rows of `SESSION_TEXT_SCHEMA`.
        annotations: labels by people; those given before `until`, the newest for each thing.
        features: `session_id`, `event_timestamp` (the session's cut-off) and numeric columns, as they were then.
        sessions: rows of `SESSION_SCHEMA`, to find annotated messages in; without them such annotations need a `text`.
        until: UTC; nothing at or after it is used.
        validation_days: days before the test days.
        test_days: days before `until`.
        seed: of all choices.
        most_behaviour: sessions labelled by behaviour alone to keep, the newest.
        most_held_out: about how many examples validation and test take each.

    Raises:
        pydantic.ValidationError: an annotation given as a mapping is not one.
    """
    counts: Counter[str] = Counter()
    known = _newest(annotations, session_texts, until, counts)
    rows = _session_rows(session_texts, known, until, most_behaviour, counts)
    rows += _message_rows(sessions, known, until, seed, counts)
    rows += _utterance_rows(known, counts)
    dated = [row for row in rows if row["shopper_id"] is not None]
    windows = Windows.ending(until, validation_days, test_days)
    splits: Sequence[Split | None] = split_shoppers(
        [row["shopper_id"] for row in dated],
        [row["time"] for row in dated],
        windows,
        seed=seed,
        most_held_out=most_held_out,
    )
    for row, split in zip(dated, splits, strict=True):
        row["split"] = split
    counts["kept out by time or shopper"] = sum(row["split"] is None for row in rows)
    rows = [row for row in rows if row["split"] is not None]
    _judge_by_people(rows)
    rows = [row for row in rows if row["intent"] is not None or row["outcome"] is not None]
    rows.sort(key=lambda row: (row["time"], row["example_id"]))
    table = pa.Table.from_pylist(rows, schema=EXAMPLE_SCHEMA)
    return BuiltExamples(_with_features(table, features), dict(counts))


def examples_from_labelled(
    rows: Sequence[LabelledText], split: Split, time: datetime, counts: Counter[str] | None = None
) -> pa.Table:
    """Rows of `EXAMPLE_SCHEMA` for labelled texts, in their order; the language is detected where it is not given.

    Slots that cannot be kept are added to `counts`, by reason.
    """
    built = []
    counts = Counter() if counts is None else counts
    for number, row in enumerate(rows):
        rendered = render_utterance(row.text, row.scene)
        found = None if row.slots is None else _slots(row.slots, row.text, rendered, counts)
        example = _row(f"{split}-{number}", rendered, row.intent, None, found, 1.0, "utterance", None, time)
        example["split"] = split
        if row.language is not None:
            example["language"] = row.language
        built.append(example)
    return pa.Table.from_pylist(built, schema=EXAMPLE_SCHEMA)


def model_inputs(examples: pa.Table) -> list[ModelInput]:
    """What the predictor reads for each row of `EXAMPLE_SCHEMA`."""
    names = ("text", "utterance_start", "utterance_end", "scene", "language")
    return [ModelInput(**row) for row in examples.select(list(names)).to_pylist()]


def _newest(
    annotations: Iterable[Annotation | Mapping[str, Any]],
    session_texts: pa.Table,
    until: datetime,
    counts: Counter[str],
) -> dict[tuple[str, str], Annotation]:
    """The newest label of each message (by event id), session (by example id) and utterance (by scene and text)."""
    given_in_time: list[Annotation] = []
    for given in annotations:
        annotation = given if isinstance(given, Annotation) else Annotation.model_validate(given)
        if annotation.annotated_at >= until:
            counts["annotated too late"] += 1
        else:
            given_in_time.append(annotation)
    cutoffs = cutoffs_of(session_texts, {each.session_id for each in given_in_time if each.session_id}, until)
    newest: dict[tuple[str, str], Annotation] = {}
    for annotation in given_in_time:
        if annotation.event_id is not None:
            key = ("event", annotation.event_id)
        elif annotation.session_id is not None:
            session = labelled_session(annotation.session_id, annotation.annotated_at, cutoffs)
            if session is None:
                counts["annotated session not found"] += 1
                continue
            key = ("session", session_example_id(*session))
        else:
            key = ("text", f"{annotation.scene}\x1f{annotation.text}")
        if key not in newest or newest[key].annotated_at <= annotation.annotated_at:
            newest[key] = annotation
    return newest


def _session_rows(
    session_texts: pa.Table,
    known: Mapping[tuple[str, str], Annotation],
    until: datetime,
    most_behaviour: int,
    counts: Counter[str],
) -> list[dict[str, Any]]:
    annotated: list[dict[str, Any]] = []
    behaviour: list[dict[str, Any]] = []
    for session in session_texts.to_pylist():
        if session["cutoff_time"] >= until:
            counts["session after the end"] += 1
            continue
        rendered = ModelInput(
            session["text"], session["utterance_start"], session["utterance_end"], session["scene"], session["language"]
        )
        example_id = session_example_id(session["session_id"], session["cutoff_time"])
        label = known.get(("session", example_id))
        intent = session["behaviour_intent"] if label is None else label.intent
        if intent is None and session["outcome"] is None:
            counts["session without a label"] += 1
            continue
        # A label of the whole session says nothing of its words, unless it marks some.
        found: list[dict[str, Any]] | None = None
        if label is not None and label.slots:
            found = _slots(label.slots, label.text, rendered, counts)
        row = _row(
            example_id,
            rendered,
            intent,
            session["outcome"],
            found,
            BEHAVIOUR_WEIGHT if label is None else 1.0,
            "behaviour" if label is None else "annotated",
            session["shopper_id"],
            session["cutoff_time"],
        )
        (behaviour if label is None else annotated).append(row)
    behaviour.sort(key=lambda row: (row["time"], row["example_id"]), reverse=True)
    counts["behaviour beyond the limit"] = max(0, len(behaviour) - most_behaviour)
    return annotated + behaviour[:most_behaviour]


def _message_rows(
    sessions: pa.Table | None,
    known: Mapping[tuple[str, str], Annotation],
    until: datetime,
    seed: int,
    counts: Counter[str],
) -> list[dict[str, Any]]:
    """Annotated messages: half of them with the session before them, as the live service sees them, half alone."""
    wanted = {event_id: annotation for (kind, event_id), annotation in known.items() if kind == "event"}
    rows: list[dict[str, Any]] = []
    for session in _holding(sessions, wanted):
        places = [
            (place, event["event_id"]) for place, event in enumerate(session["events"]) if event["event_id"] in wanted
        ]
        events = [SessionEvent.from_row(event) for event in session["events"]] if places else []
        for place, event_id in places:
            event, label = events[place], wanted[event_id]
            if event.event_time >= until:
                counts["message after the end"] += 1
                continue
            alone = share(seed, "alone", event_id) < 0.5
            rendered = render_session(event.scene, events[place : place + 1] if alone else events[: place + 1])
            written = label.text or _as_written(event.text, label.slots or ())
            found = None if label.slots is None else _slots(label.slots, written, rendered, counts)
            del wanted[event_id]
            rows.append(
                _row(
                    event_id,
                    rendered,
                    label.intent,
                    None,
                    found,
                    1.0,
                    "annotated",
                    session["shopper_id"],
                    event.event_time,
                )
            )
    for event_id, label in wanted.items():
        if label.text is None:
            counts["annotated message not found"] += 1
            continue
        rows.append(_lone(f"message-{event_id}", label, counts))
    return rows


def _holding(sessions: pa.Table | None, event_ids: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The sessions among `sessions` that hold one of `event_ids`; the others are not made into Python objects."""
    if sessions is None:
        return
    wanted = pa.array(sorted(event_ids), pa.string())
    for batch in sessions.select(["shopper_id", "events"]).to_batches():
        events = batch.column("events")
        found = pc.is_in(pc.struct_field(pc.list_flatten(events), "event_id"), value_set=wanted)
        places = pc.unique(pc.list_parent_indices(events).filter(found))
        yield from batch.take(places).to_pylist()


def _utterance_rows(known: Mapping[tuple[str, str], Annotation], counts: Counter[str]) -> list[dict[str, Any]]:
    rows = []
    for (kind, key), label in known.items():
        if kind == "text":
            rows.append(_lone("utterance-" + hashlib.sha256(key.encode()).hexdigest()[:16], label, counts))
    return rows


def _lone(example_id: str, label: Annotation, counts: Counter[str]) -> dict[str, Any]:
    rendered = (
        render_utterance(label.text or "") if label.scene is None else render_utterance(label.text or "", label.scene)
    )
    found = None if label.slots is None else _slots(label.slots, label.text, rendered, counts)
    row = _row(example_id, rendered, label.intent, None, found, 1.0, "utterance", None, label.annotated_at)
    row["language"] = label.language or rendered.language
    return row


def _row(
    example_id: str,
    rendered: ModelInput,
    intent: str | None,
    outcome: bool | None,
    slots: list[dict[str, Any]] | None,
    weight: float,
    kind: str,
    shopper_id: str | None,
    time: datetime,
) -> dict[str, Any]:
    utterance = rendered.text[rendered.utterance_start : rendered.utterance_end]
    return {
        "example_id": example_id,
        "text": rendered.text,
        "scene": str(rendered.scene),
        "language": rendered.language,
        "intent": intent,
        "outcome": outcome,
        "slots": slots,
        "weight": weight,
        "kind": kind,
        "split": split_utterance(utterance, 0) if shopper_id is None else None,
        "shopper_id": shopper_id,
        "time": time.astimezone(UTC),
        "utterance_start": rendered.utterance_start,
        "utterance_end": rendered.utterance_end,
    }


def _as_written(stored: str | None, slots: Sequence[Slot]) -> str | None:
    """The stored message, where the offsets of `slots` hold in it: no placeholder stands before the end of a slot."""
    if stored is None or any(slot.value is not None for slot in slots):
        return None
    first = min((place for token in PLACEHOLDER_TOKENS if (place := stored.find(token)) >= 0), default=len(stored))
    return stored if all(slot.end <= first for slot in slots) else None


def _slots(
    slots: Sequence[Slot], written: str | None, rendered: ModelInput, counts: Counter[str]
) -> list[dict[str, Any]]:
    """Slots as offsets in the rendered text; those that cannot be kept are counted, by reason.

    Slots inside one number or address, of which a placeholder is left, become one: of other names the first counts.
    """
    utterance = rendered.text[rendered.utterance_start : rendered.utterance_end]
    mapped = free_text_with_offsets(written) if written is not None else None
    found: list[dict[str, Any]] = []
    for slot in slots:
        place = None
        if mapped is not None and mapped.text == utterance:
            place = mapped.map_span(slot.start, slot.end)
        elif slot.value is not None:
            value = free_text(slot.value)
            places = [i for i in range(len(utterance)) if value and utterance.startswith(value, i)]
            if places:
                start = min(places, key=lambda candidate: abs(candidate - slot.start))
                place = (start, start + len(value))
        if place is None or not place[0] < place[1] <= len(utterance):
            counts["slot not found in its text"] += 1
            continue
        start, end = (rendered.utterance_start + edge for edge in place)
        if any(start < other["end"] and other["start"] < end for other in found):
            counts["slot in the same personal data as another"] += 1
            continue
        found.append({"name": slot.name, "start": start, "end": end})
    return found


def _judge_by_people(rows: list[dict[str, Any]]) -> None:
    """In a held-out split with enough labels by people, forget the intents that behaviour suggests."""
    for split in ("validation", "test"):
        held_out = [row for row in rows if row["split"] == split]
        if sum(row["kind"] != "behaviour" and row["intent"] is not None for row in held_out) >= ENOUGH_ANNOTATED:
            for row in held_out:
                if row["kind"] == "behaviour":
                    row["intent"] = None


def _with_features(table: pa.Table, features: pa.Table | None) -> pa.Table:
    """Add the numeric columns of `features` by session and cut-off; an example without a session has nulls."""
    if features is None:
        return table
    keys = zip(features["session_id"].to_pylist(), features["event_timestamp"].to_pylist(), strict=True)
    places = {session_example_id(*key): place for place, key in enumerate(keys)}
    take = pa.array([places.get(name) for name in table["example_id"].to_pylist()], pa.int64())
    for field in features.schema:
        kind = field.type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            column = features[field.name]
            numbers = column.cast(pa.int8()) if pa.types.is_boolean(kind) else column
            table = table.append_column(field.name, numbers.cast(pa.float64(), safe=False).take(take))
    return table
