"""What the model is trained on: one text for each session up to its cut-off, and one for each message on its own."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from intent_tracking.events.contract import EventName, Scene
from intent_tracking.sessions.cutoff import observation_cutoff, shopper_seen
from intent_tracking.sessions.labels import behaviour_intent, outcome
from intent_tracking.sessions.render import ModelInput, SessionEvent, render_session, render_utterance
from intent_tracking.text.language import Language
from intent_tracking.text.linguistics import Analysis
from intent_tracking.text.personal_data import PLACEHOLDERS

SESSION = "session"
MESSAGE = "message"

_FIELDS: list[tuple[str, pa.DataType]] = [
    ("session_id", pa.string()),
    ("shopper_id", pa.string()),
    ("kind", pa.string()),
    ("event_id", pa.string()),
    ("scene", pa.string()),
    ("language", pa.string()),
    ("cutoff_time", pa.timestamp("us", tz="UTC")),
    ("visible_events", pa.int64()),
    ("text", pa.string()),
    ("utterance_start", pa.int64()),
    ("utterance_end", pa.int64()),
    ("behaviour_intent", pa.string()),
    ("outcome", pa.bool_()),
    ("personal_data", pa.string()),
    ("copies", pa.int64()),
    ("tokens", pa.list_(pa.string())),
    ("tags", pa.list_(pa.string())),
    ("heads", pa.list_(pa.int32())),
    ("relations", pa.list_(pa.string())),
]
SESSION_TEXT_SCHEMA = pa.schema(_FIELDS)

_LABELS = ("kind", "text", "behaviour_intent", "outcome", "shopper_id")


class Analyser(Protocol):
    """What finds the words and trees of texts: `intent_tracking.text.linguistics.Linguistics`."""

    def analyse(self, texts: Iterable[str]) -> Sequence[Analysis]:
        """One analysis a text, in order."""
        ...


def session_texts(sessions: pa.Table, analysers: Mapping[Language, Analyser], seed: int = 0) -> pa.Table:
    """The texts of one day's sessions, in the order of the sessions, each session followed by its messages.

    A session is cut (`observation_cutoff`), rendered up to the cut and labelled from what came after it; one that
    begins with its outcome shows nothing and has no row. Its shopper is the one known at the cut (`shopper_seen`). Each
    `message` event is a row of its own too (kind `message`, with its event id, in the scene of the event), because
    people label single messages. Rendering cleans and scrubs.

    A robot repeats itself: rows of one shopper with equal kind, text and labels are kept once, the first, with their
    number in `copies`.

    `tokens`, `tags`, `heads` (indices of tokens, -1 for a root) and `relations` are those of the utterance, that is of
    the newest free text, and empty where there is none. Each distinct utterance is analysed once.

    Args:
        sessions: rows of SESSION_SCHEMA.
        analysers: of both languages.
        seed: of the cut-off.

    Returns:
        SESSION_TEXT_SCHEMA. `personal_data` counts the placeholders in the text, as JSON; `{}` where there are none.
    """
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for batch in sessions.to_batches(max_chunksize=4096):
        for row in _rows(batch.to_pylist(), seed):
            first = kept.setdefault(tuple(row[name] for name in _LABELS), row)
            first["copies"] += 1
    rows = list(kept.values())
    _analyse(rows, analysers)
    return pa.Table.from_pylist(rows, schema=SESSION_TEXT_SCHEMA)


def _analyse(rows: Sequence[dict[str, Any]], analysers: Mapping[Language, Analyser]) -> None:
    utterances = [row["text"][row["utterance_start"] : row["utterance_end"]] for row in rows]
    # A dict keeps the order, so that the same sessions give the same batches and the same bytes.
    distinct: defaultdict[Language, dict[str, None]] = defaultdict(dict)
    for row, utterance in zip(rows, utterances, strict=True):
        distinct[row["language"]][utterance] = None
    found = {
        (language, analysis.text): {
            "tokens": [token.text for token in analysis.tokens],
            "tags": [token.tag for token in analysis.tokens],
            "heads": [token.head for token in analysis.tokens],
            "relations": [token.relation for token in analysis.tokens],
        }
        for language, texts in distinct.items()
        for analysis in analysers[language].analyse(texts)
    }
    for row, utterance in zip(rows, utterances, strict=True):
        row.update(found[row["language"], utterance])


def _rows(sessions: Iterable[dict[str, Any]], seed: int) -> Iterator[dict[str, Any]]:
    for session in sessions:
        cut = observation_cutoff(session, seed)
        if cut:
            visible = [SessionEvent.from_row(event) for event in session["events"][:cut]]
            yield {
                **_common(session, session["events"][cut - 1], render_session(visible[-1].scene, visible)),
                "kind": SESSION,
                "event_id": None,
                "cutoff_time": visible[-1].event_time,
                "visible_events": cut,
                "behaviour_intent": behaviour_intent(session, cut),
                "outcome": outcome(session, cut),
            }
        for event in session["events"]:
            if event["event_name"] == EventName.MESSAGE and event["text"]:
                yield {
                    **_common(session, event, render_utterance(event["text"], Scene(event["scene"]))),
                    "kind": MESSAGE,
                    "event_id": event["event_id"],
                    "cutoff_time": event["event_time"],
                    "visible_events": 1,
                    "behaviour_intent": None,
                    "outcome": None,
                }


def _common(session: dict[str, Any], newest: dict[str, Any], rendered: ModelInput) -> dict[str, Any]:
    found = Counter({kind: rendered.text.count(token) for kind, token in PLACEHOLDERS.items()})
    return {
        "session_id": session["session_id"],
        "shopper_id": shopper_seen(session, newest),
        "scene": str(rendered.scene),
        "language": rendered.language,
        "text": rendered.text,
        "utterance_start": rendered.utterance_start,
        "utterance_end": rendered.utterance_end,
        "personal_data": json.dumps({kind: count for kind, count in found.items() if count}),
        "copies": 0,
    }
