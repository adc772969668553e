"""Everything that a report says of a day, found in the tables; nothing in it belongs to fewer than a crowd."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from intent_tracking.applications.insights.intents import (
    FunnelRow,
    IntentFindings,
    funnel,
    intent_findings,
    session_intents,
)
from intent_tracking.applications.insights.items import Asked, Suggestion, items_asked_about, suggestions, told_items
from intent_tracking.applications.insights.material import (
    Sources,
    analysed_messages,
    descriptions_of,
    grammatical_words,
    intents_answered,
    item_views,
    newest_segments,
    sampled,
    segment_sizes,
    sessions_with,
    texts_of,
)
from intent_tracking.applications.insights.policy import InsightsPolicy
from intent_tracking.applications.insights.rising import RisingWord, rising_words
from intent_tracking.applications.insights.searches import SearchFindings, unmet_searches
from intent_tracking.applications.insights.themes import MOST_TEXTS, NotUnderstood, themes
from intent_tracking.applications.insights.words import Analyser, Said, Voices, spoken
from intent_tracking.evaluation.drift import DriftSummary
from intent_tracking.events.contract import EventName
from intent_tracking.prediction_log import PREDICTION_SCHEMA
from intent_tracking.sessions.render import newest_words
from intent_tracking.tables import streamed
from intent_tracking.text.language import Language, detect
from intent_tracking.text.linguistics import Analysis

_ANSWER_COLUMNS: Final = [
    *("prediction_id", "event_time", "session_id", "shopper_id"),
    *("text", "confidence", "out_of_scope", "model_version"),
]
_ANSWER_SCHEMA: Final = pa.schema([PREDICTION_SCHEMA.field(name) for name in _ANSWER_COLUMNS])
_QUESTION: Final = re.compile(r"[?？]|[吗呢][\s，。！]*$")


@dataclass(frozen=True)
class SegmentSize:
    """Shoppers of a segment on the newest day that has segments, and a week before that."""

    name: str
    shoppers: int
    week_before: int | None


@dataclass(frozen=True)
class Insights:
    """What was found for `day`. None is a part whose data is missing; `missing` names it.

    `missing` holds any of: `events`, `history`, `predictions`, `segments`, `drift`, `analyses`. The segments are
    those of `segments_day`, the newest day of the week that has some.
    """

    day: date
    policy: InsightsPolicy
    missing: tuple[str, ...]
    history: int
    texts: int
    intents: IntentFindings | None
    funnel: tuple[FunnelRow, ...]
    searches: SearchFindings
    rising: tuple[RisingWord, ...]
    not_understood: NotUnderstood | None
    suggestions: tuple[Suggestion, ...]
    segments: tuple[SegmentSize, ...]
    segments_day: date | None
    drift: DriftSummary | None


def find_insights(
    sources: Sources, day: date, analysers: Mapping[Language, Analyser], policy: InsightsPolicy | None = None
) -> Insights:
    """What the tables say of `day` and of the days before it that `policy` looks at.

    Raises:
        DescriptionsError: the file of item descriptions cannot be read.
    """
    policy = policy or InsightsPolicy()
    newest, before = policy.newest(day), policy.before(day)
    said = spoken(texts_of(sources.validated_events, newest, policy.most_texts), analysers)
    said_before = spoken(texts_of(sources.validated_events, before, policy.most_texts), analysers)
    history = sum(sources.validated_events.path(each).exists() for each in before)
    voices = Voices([*said, *said_before], policy.least_shoppers)
    with session_intents(sources.served_predictions, [*before, *newest], sources.sessions, day) as database:
        intents = intent_findings(database, day)
        came = funnel(database)
    segments_day, segments = _segments(sources, day)
    drift = _drift(sources)
    analyses = analysed_messages(sources.session_texts, [*before, *newest], policy.most_texts)
    grammatical = grammatical_words(analyses.values())
    missing = {
        "events": not sources.validated_events.path(day).exists(),
        "history": history < policy.history_days,
        "predictions": intents is None,
        "analyses": not analyses,
        "segments": not segments,
        "drift": drift is None,
    }
    return Insights(
        day=day,
        policy=policy,
        missing=tuple(name for name, lacks in missing.items() if lacks),
        history=history,
        texts=len(said),
        intents=intents,
        funnel=came,
        searches=unmet_searches(sessions_with(sources.sessions, newest, frozenset({EventName.SEARCH})), policy),
        rising=tuple(rising_words(said, said_before, policy, grammatical)[: 2 * policy.most]),
        not_understood=_not_understood(sources, newest, analysers, voices, policy, grammatical),
        suggestions=tuple(_suggestions(sources, day, analyses, analysers, policy)),
        segments=segments,
        segments_day=segments_day,
        drift=drift,
    )


def _not_understood(
    sources: Sources,
    days: list[date],
    analysers: Mapping[Language, Analyser],
    voices: Voices,
    policy: InsightsPolicy,
    grammatical: Collection[str],
) -> NotUnderstood | None:
    answers = out_of_scope = unsure = 0
    rows: dict[str, dict[str, Any]] = {}
    low = (pc.field("confidence") < policy.low_confidence) & ~pc.field("out_of_scope")
    # Whose text it is must be known, to count people.
    wanted = (low | pc.field("out_of_scope")) & pc.field("shopper_id").is_valid()
    for day in days:
        answered = sources.served_predictions.read([day], columns=["confidence", "out_of_scope"])
        answers += answered.num_rows
        out_of_scope += pc.sum(answered["out_of_scope"]).as_py() or 0
        unsure += answered.filter(low).num_rows
        chosen = streamed(sources.served_predictions.dataset([day]), _ANSWER_COLUMNS, wanted)
        table = sampled(pa.Table.from_batches(chosen, _ANSWER_SCHEMA), "prediction_id", policy.most_texts)
        for row in table.sort_by([("event_time", "ascending"), ("prediction_id", "ascending")]).to_pylist():
            words = newest_words(row["text"])
            if words:
                # The answers of a session repeat its words: one of them stands for each text.
                rows[f"{row['session_id']}\x1f{words}"] = {**row, "words": words, "day": day}
    if not answers:
        return None
    version = _most_frequent(row["model_version"] for row in rows.values())
    comparable = (row for row in rows.values() if row["model_version"] == version)
    shown = sorted(comparable, key=lambda row: str(row["prediction_id"]))[:MOST_TEXTS]
    texts = spoken([_said(row) for row in shown], analysers)
    embeddings = _embeddings(sources, days, [row["prediction_id"] for row in shown])
    found, unthemed = themes(texts, embeddings, voices, policy, grammatical)
    return NotUnderstood(answers, out_of_scope, unsure, tuple(found[: policy.most]), unthemed)


def _most_frequent(versions: Iterable[str]) -> str | None:
    """What one model makes of a text says nothing beside what another makes: the themes are of one of them."""
    counts = Counter(versions)
    return max(counts, key=lambda version: (counts[version], version)) if counts else None


def _embeddings(sources: Sources, days: list[date], ids: list[str]) -> NDArray[np.float32]:
    """What the model made of the texts of some answers, in their order; read for these alone, they are large."""
    wanted = pa.array(ids, pa.string())
    found: dict[str, list[float]] = {}
    for day in days:
        for batch in streamed(
            sources.served_predictions.dataset([day]),
            ["prediction_id", "embedding"],
            pc.field("prediction_id").isin(wanted),
        ):
            found |= dict(zip(batch["prediction_id"].to_pylist(), batch["embedding"].to_pylist(), strict=True))
    return np.array([found[each] for each in ids], np.float32)


def _said(row: Mapping[str, object]) -> Said:
    text = str(row["words"])
    day = row["day"]
    assert isinstance(day, date)  # noqa: S101 - put there above
    return Said(day, str(row["shopper_id"]), detect(text), text)


def _suggestions(
    sources: Sources,
    day: date,
    analyses: Mapping[str, Analysis],
    analysers: Mapping[Language, Analyser],
    policy: InsightsPolicy,
) -> list[Suggestion]:
    days = [*policy.before(day), *policy.newest(day)]
    messages: list[tuple[tuple[str, datetime], str, str, Analysis]] = []
    searched: list[tuple[str, str, str]] = []
    typing = frozenset({EventName.MESSAGE, EventName.SEARCH})
    for session in sessions_with(sources.sessions, days, typing, policy.most_texts):
        about = {event_id: (kind, item) for event_id, kind, item in items_asked_about(session)}
        for event in session["events"]:
            kind, item = about.get(event["event_id"], ("", ""))
            if kind == "search":
                searched.append((session["shopper_id"], item, event["search_term"]))
            elif event["event_name"] == EventName.MESSAGE and event["event_id"] in analyses:
                key = (session["session_id"], event["event_time"])
                messages.append((key, session["shopper_id"], item, analyses[event["event_id"]]))
    answered = intents_answered(sources.served_predictions, days, {key for key, *_ in messages})
    asked: list[Asked] = []
    others: list[Analysis] = []
    for key, shopper, item, analysis in messages:
        intent = answered.get(key)
        asks = intent in policy.question_intents if intent else bool(_QUESTION.search(analysis.text))
        if item and asks:
            asked.append(Asked(shopper, item, analysis))
        elif not asks:
            others.append(analysis)
    asked += _analysed(searched, analysers)
    told = told_items(
        sources.validated_events,
        days,
        {each.item for each in asked},
        descriptions_of(sources.descriptions),
        policy.least_shoppers,
    )
    return suggestions(asked, others, told, item_views(sources.item_features, day), policy)


def _analysed(searched: list[tuple[str, str, str]], analysers: Mapping[Language, Analyser]) -> list[Asked]:
    known: dict[str, Analysis] = {}
    for language, analyser in analysers.items():
        terms = sorted({term for _, _, term in searched if detect(term) == language})
        known.update(zip(terms, analyser.analyse(terms), strict=True))
    return [Asked(shopper, item, known[term]) for shopper, item, term in searched]


def _segments(sources: Sources, day: date) -> tuple[date | None, tuple[SegmentSize, ...]]:
    newest = newest_segments(sources.user_segments, day)
    if newest is None:
        return None, ()
    now = segment_sizes(sources.user_segments, newest)
    then = segment_sizes(sources.user_segments, newest - timedelta(days=7))
    found = [SegmentSize(name, now.get(name, 0), then.get(name, 0) if then else None) for name in {*now, *then}]
    return newest, tuple(sorted(found, key=lambda each: (-each.shoppers, each.name)))


def _drift(sources: Sources) -> DriftSummary | None:
    if not sources.drift_summary.exists():
        return None
    return DriftSummary.from_dict(json.loads(sources.drift_summary.read_text(encoding="utf-8")))
