"""What DuckDB and the streams count of five weeks is what plain Python counts of all rows at once."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from intent_tracking.applications.insights.intents import STEPS, funnel, intent_findings, session_intents
from intent_tracking.applications.insights.items import told_items
from intent_tracking.applications.insights.material import intents_answered
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.prediction_log import PREDICTION_SCHEMA
from intent_tracking.sessions.sessionise import SESSION_SCHEMA
from intent_tracking.tables import DayTable

pytestmark = pytest.mark.unit

DAY = date(2026, 3, 31)
DAYS = [DAY - timedelta(days=back) for back in reversed(range(9))]
LEAST = 3


def table(home: Path, name: str, schema: pa.Schema, rows: dict[date, list[dict[str, Any]]]) -> DayTable:
    written = DayTable(home, name, schema)
    for day, some in rows.items():
        whole = [dict.fromkeys(schema.names) | row for row in some]
        written.write(day, pa.Table.from_pylist(whole, schema=schema))
    return written


def answers(seed: int) -> dict[date, list[dict[str, Any]]]:
    """Answers of a few days, one of them without any: sessions go over midnights, and some texts have no session."""
    draw = random.Random(seed)
    rows: dict[date, list[dict[str, Any]]] = defaultdict(list)
    for number in range(300):
        day = draw.choice([each for each in DAYS if each != DAYS[4]])
        rows[day].append(
            {
                "prediction_id": f"p{number:04d}",
                "event_time": datetime.combine(day, time(draw.randrange(24), draw.randrange(3)), UTC),
                "session_id": draw.choice([None, *(f"s{6 * DAYS.index(day) + n}" for n in range(12))]),
                "scene": draw.choice(["search", "browse", "cart"]),
                "language": draw.choice(["en", "zh"]),
                "intent": draw.choice(["buy", "ask", "look"]),
                "out_of_scope": draw.random() < 0.2,
            }
        )
    return rows


def plain_intents(rows: dict[date, list[dict[str, Any]]]) -> dict[str, tuple[date, str, str, str]]:
    sessions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in (row for some in rows.values() for row in some):
        sessions[row["session_id"] or row["prediction_id"]].append(row)
    found = {}
    for session, some in sessions.items():
        some.sort(key=lambda row: (row["event_time"], row["prediction_id"]))
        counts = Counter("oos" if row["out_of_scope"] else row["intent"] for row in some)
        intent = min(counts, key=lambda name: (-counts[name], name))
        found[session] = (some[0]["event_time"].date(), some[-1]["scene"], some[-1]["language"], intent)
    return found


@pytest.mark.parametrize(("seed", "most"), [(0, 1000), (1, 1000), (2, 70)])
def test_sessions_are_counted_by_their_intents(tmp_path: Path, seed: int, most: int) -> None:
    rows = answers(seed)
    plain = plain_intents(rows)
    predictions = table(tmp_path, "predictions", PREDICTION_SCHEMA, rows)
    sessions = DayTable(tmp_path, "sessions", SESSION_SCHEMA)
    with session_intents(predictions, DAYS, sessions, DAY, most) as database:
        found = intent_findings(database, DAY)
        assert intent_findings(database, DAYS[4]) is None
    assert found is not None
    for place, part in ((1, found.by_scene), (2, found.by_language), (3, found.by_intent)):
        counts = Counter((row[0], row[place]) for row in plain.values())
        for each in part:
            assert (each.sessions, each.day_before) == (counts[DAY, each.name], counts[DAYS[-2], each.name])
        assert sum(each.sessions for each in part) == sum(row[0] == DAY for row in plain.values())
    by_day = Counter((row[0], row[3]) for row in plain.values())
    assert {(day, name): n for day, some in found.over_time for name, n in some if n} == dict(by_day)


@pytest.mark.parametrize("most", [1000, 70])
def test_the_steps_of_sessions_are_counted_by_their_intents(tmp_path: Path, most: int) -> None:
    rows = answers(7)
    plain = plain_intents(rows)
    events = [[], ["search"], ["view_item", "search"], ["view_item", "add_to_cart"], ["begin_checkout"], ["purchase"]]
    sessions = [
        {"session_id": f"s{n}", "events": [{"event_name": name} for name in events[n % len(events)]]} for n in range(60)
    ]
    furthest = [0, 0, 1, 2, 3, 4]
    predictions = table(tmp_path, "predictions", PREDICTION_SCHEMA, rows)
    written = table(tmp_path, "sessions", SESSION_SCHEMA, {DAY: sessions})
    with session_intents(predictions, DAYS, written, DAY, most) as database:
        found = funnel(database)
    for row in found:
        steps = [furthest[n % 6] for n in range(60) if plain.get(f"s{n}", ("", "", "", ""))[3] == row.intent]
        assert (row.sessions, row.reached) == (
            len(steps),
            tuple(sum(step >= least for step in steps) for least in range(1, len(STEPS) + 1)),
        )
    assert sum(row.sessions for row in found) == 60


def met(seed: int) -> dict[date, list[dict[str, Any]]]:
    """Events with items that several shoppers, some of them on several days, met by several names."""
    draw = random.Random(seed)

    def item() -> dict[str, Any]:
        return {
            "item_id": draw.choice([None, "J1", "J2", "J3"]),
            "item_name": draw.choice([None, "Rain jacket", "Regenjacke"]),
            "item_brand": draw.choice([None, "Peak"]),
            "item_category": draw.choice([None, "jackets", "coats"]),
        }

    return {
        day: [
            {"shopper_id": draw.choice([None, *"abcdefgh"]), "items": [item() for _ in range(draw.randrange(3))]}
            for _ in range(draw.randrange(6))
        ]
        for day in DAYS
    }


def meetings(rows: dict[date, list[dict[str, Any]]]) -> Iterator[tuple[set[str], str, str, str | None, str]]:
    for row in (row for some in rows.values() for row in some):
        for item in row["items"]:
            key, name = item["item_id"] or item["item_name"], item["item_name"] or item["item_id"]
            if key is not None:
                parts = (item["item_name"], item["item_brand"], item["item_category"])
                said = " ".join(part for part in parts if part is not None)
                yield {row["shopper_id"]} - {None}, key, name, item["item_category"], said


@pytest.mark.parametrize("seed", range(5))
def test_what_is_told_of_an_item_and_by_how_many(tmp_path: Path, seed: int) -> None:
    rows = met(seed)
    wanted = {"J1", "J2", "Regenjacke", "never met"}
    named: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    placed: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    told: dict[str, set[str]] = defaultdict(set)
    for shopper, key, name, category, said in meetings(rows):
        named[key][name] |= shopper
        told[key].add(said)
        if category is not None:
            placed[key, name][category] |= shopper
    found = told_items(table(tmp_path, "events", EVENT_SCHEMA, rows), DAYS, wanted, {"J1": "Shell"}, LEAST)
    assert set(found) == wanted & set(named)
    for key, item in found.items():
        name = min(named[key], key=lambda each: (-len(named[key][each]), each))
        categories = placed[key, name]
        category = min(categories, key=lambda each: (-len(categories[each]), each), default="")
        assert (item.name, item.shoppers) == (name, len(named[key][name]))
        assert item.category == (category if category and len(categories[category]) >= LEAST else "")
        assert item.said == f"{' '.join(sorted(told[key]))} {'Shell' if key == 'J1' else ''}".lower()


def test_answers_to_other_events_cost_no_memory(tmp_path: Path) -> None:
    # Cause: the answers of five weeks to all events were kept at once, 287 bytes each.
    start = datetime.combine(DAY, time(), UTC)
    number = 40_000
    columns: dict[str, Any] = {
        "prediction_id": [f"{n:06d}" for n in range(number)],
        "session_id": [f"session-{n // 8}" for n in range(number)],
        "event_time": [start + timedelta(seconds=n) for n in range(number)],
        "intent": ["ask" if n % 2 else "buy" for n in range(number)],
    }
    empty = {field.name: pa.nulls(number, field.type) for field in PREDICTION_SCHEMA}
    rows = pa.table(empty | columns).cast(PREDICTION_SCHEMA)
    predictions = DayTable(tmp_path, "predictions", PREDICTION_SCHEMA)
    predictions.write(DAY, rows)
    wanted = {("session-7", start + timedelta(seconds=n)) for n in (57, 58, 99)}
    del rows, columns
    tracemalloc.start()
    found = intents_answered(predictions, DAYS, wanted)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == {
        ("session-7", start + timedelta(seconds=57)): "ask",
        ("session-7", start + timedelta(seconds=58)): "buy",
    }
    assert peak < 10 * number
