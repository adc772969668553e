"""What a report is made of.

Five weeks of a large shop do not fit into memory: texts are read and sampled day by day, and what is counted over all
days is counted by DuckDB where it lies.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.applications.insights.words import Said
from intent_tracking.events.contract import EventName
from intent_tracking.sessions.texts import MESSAGE
from intent_tracking.tables import DayTable
from intent_tracking.text.cleaning import clean, shortened
from intent_tracking.text.language import detect
from intent_tracking.text.linguistics import Analysis, Token

_CLOSED: Final = frozenset({"ADP", "AUX", "CCONJ", "DET", "INTJ", "NUM", "PART", "PRON", "PUNCT", "SCONJ", "SYM"})
_ANSWERED: Final = """
SELECT number, arg_max({intent: intent}, prediction_id).intent
FROM predictions JOIN wanted USING (session_id, event_time) GROUP BY number
"""
_TYPED: Final = {EventName.SEARCH: "search_term", EventName.MESSAGE: "text", EventName.REVIEW: "text"}


@dataclass(frozen=True)
class Sources:
    """The tables that a report reads. One that was never written has no rows.

    Attributes:
        drift_summary: the verdict on the report's day.
        descriptions: JSON lines, an object an item with `item_id`; every other text in it describes the item.
    """

    validated_events: DayTable
    sessions: DayTable
    session_texts: DayTable
    served_predictions: DayTable
    item_features: DayTable
    user_segments: DayTable
    drift_summary: Path
    descriptions: Path


class DescriptionsError(ValueError):
    """A line of the descriptions is no object with an `item_id`; the message names file and line."""


def create_view(database: duckdb.DuckDBPyConnection, name: str, table: DayTable, days: Sequence[date]) -> None:
    """Let `database` read the rows of `days` as `name`, from the files and no more of them than a query needs."""
    paths = [str(path) for path in table.paths(days)]
    if paths:
        database.read_parquet(paths, hive_partitioning=False).create_view(name)
    else:
        database.register(name, table.schema.empty_table())


def texts_of(events: DayTable, days: Sequence[date], most: int) -> list[Said]:
    """What was typed on `days`, at most `most` texts of a day, the same ones each time."""
    found = []
    for day in days:
        columns = ["event_id", "event_name", "shopper_id", "search_term", "text"]
        table = events.read([day], columns=columns)
        table = table.filter(pc.is_in(table["event_name"], pa.array([name.value for name in _TYPED])))
        for row in sampled(table, "event_id", most).to_pylist():
            text = shortened(clean(row[_TYPED[EventName(row["event_name"])]] or "")).text
            if text:
                found.append(Said(day, row["shopper_id"], detect(text), text))
    return found


def sampled(table: pa.Table, key: str, most: int) -> pa.Table:
    """At most `most` rows, in their order: those whose `key` has the smallest hash, so the same ones each time."""
    if table.num_rows <= most:
        return table
    hashes = [hashlib.sha256(value.encode("utf-8", "backslashreplace")).digest() for value in table[key].to_pylist()]
    return table.take(sorted(sorted(range(len(hashes)), key=hashes.__getitem__)[:most]))


def sessions_with(
    sessions: DayTable, days: Sequence[date], names: frozenset[EventName], most: int | None = None
) -> Iterator[Mapping[str, Any]]:
    """`session_id, shopper_id, events` of each session that has one of the events `names`, at most `most` of a day."""
    wanted = pa.array([name.value for name in names])
    for day in days:
        table = sessions.read([day], columns=["session_id", "shopper_id", "events"])
        lists = table["events"].combine_chunks()
        if not table.num_rows:
            continue
        has = pc.is_in(pc.struct_field(pc.list_flatten(lists), "event_name"), wanted)
        rows = pc.unique(pc.filter(pc.list_parent_indices(lists), has))
        chosen = table.take(rows)
        for batch in (chosen if most is None else sampled(chosen, "session_id", most)).to_batches(max_chunksize=2048):
            yield from batch.to_pylist()


def analysed_messages(texts: DayTable, days: Sequence[date], most: int) -> dict[str, Analysis]:
    """The words, tags and trees of messages, by event id, as `session_texts` keeps them; at most `most` of a day."""
    columns = ["event_id", "kind", "text", "utterance_start", "utterance_end", "tokens", "tags", "heads", "relations"]
    found = {}
    for day in days:
        table = texts.read([day], columns=columns)
        for row in sampled(table.filter(pc.equal(table["kind"], MESSAGE)), "event_id", most).to_pylist():
            found[row["event_id"]] = _analysis(row)
    return found


def _analysis(row: Mapping[str, Any]) -> Analysis:
    text: str = row["text"][row["utterance_start"] : row["utterance_end"]]
    tokens, at = [], 0
    for word, tag, head, relation in zip(row["tokens"], row["tags"], row["heads"], row["relations"], strict=True):
        at = text.index(word, at)
        tokens.append(Token(word, at, at + len(word), tag, head, relation))
        at += len(word)
    return Analysis(text, tuple(tokens))


def grammatical_words(analyses: Iterable[Analysis]) -> set[str]:
    """Words, in small letters, that are mostly of a closed class: articles, prepositions, pronouns, greetings."""
    closed: Counter[str] = Counter()
    for analysis in analyses:
        for token in analysis.tokens:
            closed[token.text.lower()] += 1 if token.tag in _CLOSED else -1
    return {word for word, count in closed.items() if count > 0}


def intents_answered(
    predictions: DayTable, days: Sequence[date], events: Collection[tuple[str, datetime]]
) -> dict[tuple[str, datetime], str | None]:
    """The intent that was answered to each of `events`, by session and time; an event without an answer is not in it.

    Of several answers that with the last id has it.
    """
    wanted = sorted(events)
    keys = {
        "session_id": pa.array([session for session, _ in wanted], pa.string()),
        "event_time": pa.array([moment for _, moment in wanted], predictions.schema.field("event_time").type),
        "number": pa.array(range(len(wanted)), pa.int64()),
    }
    with duckdb.connect() as database:
        create_view(database, "predictions", predictions, days)
        database.register("wanted", pa.table(keys))
        found = database.execute(_ANSWERED).fetchall()
    return {wanted[number]: intent for number, intent in found}


def descriptions_of(path: Path) -> dict[str, str]:
    """The description of each item; none where there is no such file.

    Raises:
        DescriptionsError: a line is no object with a text `item_id`.
    """
    if not path.exists():
        return {}
    found = {}
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                item = json.loads(line)
            except ValueError as error:
                raise DescriptionsError(f"{path}:{number}: is not JSON ({error})") from error
            if not isinstance(item, dict) or not isinstance(item.get("item_id"), str):
                raise DescriptionsError(f"{path}:{number}: give an object with a text `item_id`")
            parts = [value for name, value in item.items() if name != "item_id" and isinstance(value, str)]
            found[item["item_id"]] = " ".join(parts)
    return found


def newest_segments(segments: DayTable, day: date) -> date | None:
    """The newest day of the week up to `day` whose segments were written."""
    week = [each for each in segments.days() if timedelta(0) <= day - each < timedelta(days=7)]
    return week[-1] if week else None


def segment_sizes(segments: DayTable, day: date) -> dict[str, int]:
    """Shoppers by segment at the end of `day`; empty where it was not written."""
    return dict(Counter(segments.read([day], columns=["segment"])["segment"].to_pylist()))


def item_views(features: DayTable, day: date) -> dict[str, int]:
    """Views of each item's page within the week that ends with `day`."""
    table = features.read([day], columns=["item_id", "item_views_7d"])
    return dict(zip(table["item_id"].to_pylist(), table["item_views_7d"].to_pylist(), strict=True))
