"""Training examples: sessions labelled by behaviour, sessions and messages labelled by people, free utterances."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.modeling.annotations import Annotation, LabelledText
from intent_tracking.modeling.session_keys import (
    chosen_sessions,
    cutoffs_of,
    labelled_session,
    labelled_sessions,
    session_example_id,
)
from intent_tracking.modeling.slot_places import as_written, placed_slots
from intent_tracking.modeling.splits import (
    ENOUGH_TO_JUDGE,
    MOST_BEHAVIOUR,
    MOST_HELD_OUT,
    Sample,
    ShopperSplits,
    Split,
    Windows,
    share,
    split_utterance,
)
from intent_tracking.sessions.cutoff import observation_cutoff, shopper_seen
from intent_tracking.sessions.render import (
    ModelInput,
    SessionEvent,
    render_session,
    render_utterance,
)
from intent_tracking.sessions.texts import SESSION
from intent_tracking.tables import streamed

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

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
# Of messages: whose they are, and whose the text of their session is (`session_texts`).
_DATED = pa.schema(
    [*(EXAMPLE_SCHEMA.field(name) for name in ("shopper_id", "time")), ("session_shopper_id", pa.string())]
)
# What people say counts; what behaviour suggests is often right and plentiful.
BEHAVIOUR_WEIGHT = 0.3
# From `shopper_id` and `event_timestamp` to the features as they were then, a row each, in order.
FeaturesAt = Callable[[pa.Table], pa.Table]


@dataclass(frozen=True)
class BuiltExamples:
    """Rows of `EXAMPLE_SCHEMA` plus one float64 column per user feature, and what was left out, by reason."""

    table: pa.Table
    counts: dict[str, int]


def build_examples(
    session_texts: Dataset,
    annotations: Iterable[Annotation | Mapping[str, Any]],
    features_at: FeaturesAt | None = None,
    *,
    sessions: Dataset | None = None,
    until: datetime,
    validation_days: int,
    test_days: int,
    seed: int,
    most_behaviour: int = MOST_BEHAVIOUR,
    most_held_out: int = MOST_HELD_OUT,
) -> BuiltExamples:
    """Build examples from everything known before `until`, and split them by time and shopper.

    Each session that was read is a row of the table or in one of its counts. Texts are read of those chosen alone.

    Args:
        session_texts: rows of `SESSION_TEXT_SCHEMA`; those of sessions are used.
        annotations: labels by people; those given before `until`, the newest for each thing.
        features_at: numeric columns of the chosen sessions' shoppers at the cut-offs.
        sessions: rows of `SESSION_SCHEMA`, to find annotated messages in; without them such annotations need a `text`.
        until: UTC; nothing at or after it is used.
        validation_days: days before the test days.
        test_days: days before `until`.
        seed: of all choices.
        most_behaviour: sessions labelled by behaviour alone to train on, drawn over all days.
        most_held_out: about how many examples validation and test take each; at most so many by behaviour alone.

    Raises:
        pydantic.ValidationError: an annotation given as a mapping is not one.
    """
    counts: Counter[str] = Counter()
    known = _newest(annotations, session_texts, until, counts)
    rows = _message_rows(sessions, known, until, seed, counts) + _utterance_rows(known, counts)
    messages = [row for row in rows if row["split"] is None]
    dated = pa.RecordBatch.from_pylist(messages, _DATED)

    by_people = frozenset(name for kind, name in known if kind == "session")
    splits = ShopperSplits.drawn(
        chain([dated], labelled_sessions(session_texts, by_people, until)),
        Windows.ending(until, validation_days, test_days),
        seed=seed,
        most_held_out=most_held_out,
    )
    # Around a login a session has two shoppers, who may be held out apart: its text and its messages never are.
    own, beside = (splits.of(dated[whose], dated["time"]) for whose in ("shopper_id", "session_shopper_id"))
    for row, split, of_text in zip(messages, own, beside, strict=True):
        row["split"] = split if split == of_text else None
    counts["message kept out by time or shopper"] = sum(row["split"] is None for row in messages)
    rows = [row for row in rows if row["split"] is not None]
    samples: dict[Split, Sample] = {
        "train": Sample(most_behaviour, seed),
        "validation": Sample(most_held_out, seed),
        "test": Sample(most_held_out, seed),
    }
    chosen = chosen_sessions(session_texts, by_people, until, splits, samples, counts)
    rows += _session_rows(session_texts, chosen, known, counts)
    rows.sort(key=lambda row: (row["time"], row["example_id"]))
    table = pa.Table.from_pylist(rows, schema=EXAMPLE_SCHEMA)
    judged = judged_by_people(table, "validation", ENOUGH_TO_JUDGE)
    counts["validation behaviour where people judge"] = table.num_rows - judged.num_rows
    return BuiltExamples(_with_features(judged, chosen, features_at), dict(counts))


def judged_by_people(examples: pa.Table, split: Split, enough: int) -> pa.Table:
    """Where people labelled the intents of `enough` examples of `split`, they alone judge.

    The intents that behaviour suggests there are forgotten then, and an example that is left without any label goes.
    """
    inside = pc.equal(examples["split"], split)
    guessed = pc.and_(inside, pc.equal(examples["kind"], "behaviour"))
    said = pc.and_(pc.and_not(inside, guessed), pc.is_valid(examples["intent"]))
    if not (count := pc.sum(said).as_py()) or count < enough:
        return examples
    field = EXAMPLE_SCHEMA.field("intent")
    intents = pc.if_else(guessed, pa.scalar(None, field.type), examples["intent"])
    judged = examples.set_column(examples.schema.get_field_index("intent"), field, intents)
    return judged.filter(pc.or_(pc.is_valid(judged["intent"]), pc.is_valid(judged["outcome"])))


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
        found = None if row.slots is None else placed_slots(row.slots, row.text, rendered, counts)
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
    session_texts: Dataset,
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
    session_texts: Dataset,
    chosen: Mapping[str, Split],
    known: Mapping[tuple[str, str], Annotation],
    counts: Counter[str],
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    wanted = pa.array(sorted({example_id.rpartition("@")[0] for example_id in chosen}), pa.string())
    for session in _sessions_of(session_texts, wanted):
        example_id = session_example_id(session["session_id"], session["cutoff_time"])
        if example_id not in chosen:
            continue
        rendered = ModelInput(
            session["text"], session["utterance_start"], session["utterance_end"], session["scene"], session["language"]
        )
        label = known.get(("session", example_id))
        # A label of the whole session says nothing of its words, unless it marks some.
        found: list[dict[str, Any]] | None = None
        if label is not None and label.slots:
            found = placed_slots(label.slots, label.text, rendered, counts)
        row = _row(
            example_id,
            rendered,
            session["behaviour_intent"] if label is None else label.intent,
            session["outcome"],
            found,
            BEHAVIOUR_WEIGHT if label is None else 1.0,
            "behaviour" if label is None else "annotated",
            session["shopper_id"],
            session["cutoff_time"],
        )
        rows.append(row | {"split": chosen[example_id]})
    return rows


def _sessions_of(session_texts: Dataset, session_ids: pa.Array) -> Iterator[dict[str, Any]]:
    names = ["session_id", "shopper_id", "scene", "language", "cutoff_time", "text", "utterance_start", "utterance_end"]
    columns = [*names, "behaviour_intent", "outcome"]
    for batch in streamed(
        session_texts, columns, (pc.field("kind") == SESSION) & pc.field("session_id").isin(session_ids)
    ):
        yield from batch.to_pylist()


def _message_rows(
    sessions: Dataset | None,
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
        newest_in_text = session["events"][max(observation_cutoff(session), 1) - 1]
        for place, event_id in places:
            event, label = events[place], wanted[event_id]
            if event.event_time >= until:
                counts["message after the end"] += 1
                continue
            alone = share(seed, "alone", event_id) < 0.5
            rendered = render_session(event.scene, events[place : place + 1] if alone else events[: place + 1])
            written = label.text or as_written(event.text, label.slots or ())
            found = None if label.slots is None else placed_slots(label.slots, written, rendered, counts)
            del wanted[event_id]
            shopper = shopper_seen(session, session["events"][place])
            row = _row(event_id, rendered, label.intent, None, found, 1.0, "annotated", shopper, event.event_time)
            rows.append(row | {"session_shopper_id": shopper_seen(session, newest_in_text)})
    for event_id, label in wanted.items():
        if label.text is None:
            counts["annotated message not found"] += 1
            continue
        rows.append(_lone(f"message-{event_id}", label, counts))
    return rows


def _holding(sessions: Dataset | None, event_ids: Collection[str]) -> Iterator[dict[str, Any]]:
    """The sessions among `sessions` that hold one of `event_ids`; the others are not made into Python objects."""
    if sessions is None or not event_ids:
        return
    wanted = pa.array(sorted(event_ids), pa.string())
    for batch in streamed(sessions, ["session_id", "shopper_id", "events"]):
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
    found = None if label.slots is None else placed_slots(label.slots, label.text, rendered, counts)
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


def _with_features(table: pa.Table, sessions: Collection[str], features_at: FeaturesAt | None) -> pa.Table:
    """Add the numeric columns of `features_at` to the `sessions` among the examples; the others have nulls."""
    if features_at is None:
        return table
    is_session = pc.is_in(table["example_id"], value_set=pa.array(sorted(sessions), pa.string()))
    points = table.filter(is_session).select(["shopper_id", "time"]).rename_columns(["shopper_id", "event_timestamp"])
    features = features_at(points)
    places = iter(range(points.num_rows))
    take = pa.array([next(places) if each else None for each in is_session.to_pylist()], pa.int64())
    for field in features.schema:
        kind = field.type
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
            column = features[field.name]
            numbers = column.cast(pa.int8()) if pa.types.is_boolean(kind) else column
            table = table.append_column(field.name, numbers.cast(pa.float64(), safe=False).take(take))
    return table
