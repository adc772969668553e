"""What shoppers wanted, day by day, and how far they came."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import duckdb
from pyarrow.parquet import ParquetFile

from intent_tracking.applications.insights.material import create_view
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL
from intent_tracking.tables import DayTable

# Answers whose sessions are counted together; of more, a part of the sessions after another.
_AT_ONCE: Final = 2_000_000
STEPS: Final = ("view", "cart", "checkout", "purchase")
_STEP_OF: Final = {
    "select_item": 1,
    "view_item": 1,
    "add_to_cart": 2,
    "view_cart": 2,
    "begin_checkout": 3,
    "add_shipping_info": 3,
    "add_payment_info": 3,
    "purchase": 4,
}
# A session has the intent that most of its answers gave; of two, that which comes first in the alphabet. It is where it
# was last. A text that was asked about alone is a session of its own.
_SESSION_INTENTS = f"""
CREATE OR REPLACE TEMP TABLE intents AS
WITH answers AS (
  SELECT coalesce(session_id, prediction_id) AS session_id, event_time, prediction_id, scene, language,
         CASE WHEN out_of_scope THEN '{OUT_OF_SCOPE_LABEL}' ELSE intent END AS intent
  FROM predictions WHERE hash(coalesce(session_id, prediction_id)) % {{parts}} = {{part}}
), ranked AS (
  SELECT session_id, intent, row_number() OVER (PARTITION BY session_id ORDER BY count(*) DESC, intent) AS rank
  FROM answers GROUP BY session_id, intent
), places AS (
  SELECT session_id, CAST(min(event_time) AS DATE) AS day,
         arg_max({{{{scene: scene, language: language}}}}, {{{{moment: event_time, answer: prediction_id}}}}) AS last
  FROM answers GROUP BY session_id
)
SELECT places.session_id, day, last.scene AS scene, last.language AS language, intent
FROM places JOIN ranked USING (session_id) WHERE rank = 1
"""  # noqa: S608 - a constant of ours

_COUNTED = "SELECT day, scene, language, intent, count(*) AS sessions FROM intents GROUP BY ALL"
_OF_DAY = "SELECT session_id, intent FROM intents SEMI JOIN sessions USING (session_id)"
_FURTHEST = f"""
SELECT coalesce(intent, '') AS intent, furthest, count(*) AS sessions
FROM (
  SELECT session_id, coalesce(list_max(list_transform(events, event -> CASE event.event_name
    {" ".join(f"WHEN '{name}' THEN {step}" for name, step in _STEP_OF.items())} ELSE 0 END)), 0) AS furthest
  FROM sessions
) LEFT JOIN of_day USING (session_id) GROUP BY ALL ORDER BY ALL
"""  # noqa: S608 - constants of ours


@dataclass(frozen=True)
class IntentCount:
    """Sessions of one intent on the day, the day before and a week before; None: nothing was answered then."""

    name: str
    sessions: int
    day_before: int | None
    week_before: int | None


@dataclass(frozen=True)
class FunnelRow:
    """Sessions of one intent and how many of them came to each step, or beyond it."""

    intent: str
    sessions: int
    reached: tuple[int, int, int, int]


@dataclass(frozen=True)
class IntentFindings:
    """Intents of the day: all, by scene, by language, and the sessions of each day before by intent."""

    by_intent: tuple[IntentCount, ...]
    by_scene: tuple[IntentCount, ...]
    by_language: tuple[IntentCount, ...]
    over_time: tuple[tuple[date, tuple[tuple[str, int], ...]], ...]


@contextmanager
def session_intents(
    predictions: DayTable, days: Sequence[date], sessions: DayTable, day: date, most: int = _AT_ONCE
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the intents of the sessions that were answered on `days`.

    `counted`: day, scene, language, intent, sessions. `of_day`: session_id, intent, of the rows of `sessions` of `day`.

    Args:
        predictions: rows of PREDICTION_SCHEMA.
        days: those that are read.
        sessions: rows of SESSION_SCHEMA.
        day: whose sessions' intents are kept.
        most: about as many answers are in memory at once.
    """
    with duckdb.connect() as database:
        database.execute("SET TimeZone = 'UTC'")
        create_view(database, "predictions", predictions, days)
        create_view(database, "sessions", sessions, [day])
        parts = 1 + sum(ParquetFile(path).metadata.num_rows for path in predictions.paths(days)) // most
        for part in range(parts):
            database.execute(_SESSION_INTENTS.format(parts=parts, part=part))
            for name, rows in (("counted", _COUNTED), ("of_day", _OF_DAY)):
                database.execute(f"INSERT INTO {name} {rows}" if part else f"CREATE TEMP TABLE {name} AS {rows}")
        yield database


def intent_findings(database: duckdb.DuckDBPyConnection, day: date) -> IntentFindings | None:
    """The counts of `day` beside those it is compared with, from `session_intents`; None: nothing was answered then."""
    rows = database.execute("SELECT day, scene, language, intent, sessions FROM counted").fetchall()
    days = sorted({row[0] for row in rows})
    if day not in days:
        return None

    def by_day(place: int) -> Counter[tuple[date, str]]:
        counts: Counter[tuple[date, str]] = Counter()
        for row in rows:
            counts[row[0], row[place]] += row[4]
        return counts

    def counted(place: int) -> tuple[IntentCount, ...]:
        counts = by_day(place)
        known = set(days)

        def on(then: date, name: str) -> int | None:
            return counts[then, name] if then in known else None

        names = {name for when, name in counts if (day - when).days in (0, 1, 7)}
        found = [
            IntentCount(name, counts[day, name], on(day - timedelta(days=1), name), on(day - timedelta(days=7), name))
            for name in names
        ]
        return tuple(sorted(found, key=lambda each: (-each.sessions, each.name)))

    intents = by_day(3)
    names = sorted({name for _, name in intents})
    over_time = tuple((when, tuple((name, intents[when, name]) for name in names)) for when in days)
    return IntentFindings(counted(3), counted(1), counted(2), over_time)


def funnel(database: duckdb.DuckDBPyConnection) -> tuple[FunnelRow, ...]:
    """How far the sessions of the day came, by the intent that `session_intents` gives them, the most frequent first.

    The intent is empty where nothing was answered.
    """
    rows: Sequence[tuple[str, int, int]] = database.execute(_FURTHEST).fetchall()
    counts: Counter[tuple[str, int]] = Counter()
    for intent, furthest, number in rows:
        counts[intent, furthest] += number
    found = [
        FunnelRow(
            intent=intent,
            sessions=sum(counts[intent, step] for step in range(5)),
            reached=tuple(sum(counts[intent, step] for step in range(least, 5)) for least in range(1, 5)),  # type: ignore[arg-type]
        )
        for intent in {intent for intent, _ in counts}
    ]
    return tuple(sorted(found, key=lambda row: (-row.sessions, row.intent)))
