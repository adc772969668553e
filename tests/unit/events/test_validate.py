"""Nothing is lost, nothing counts twice, and the same input gives the same bytes."""

from __future__ import annotations

import json
import random
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.events.contract import EVENT_SCHEMA, event_from_row
from intent_tracking.events.quarantine import QUARANTINE_SCHEMA, RAW_SCHEMA, QuarantineReason
from intent_tracking.events.validate import accepted_ids, replay, validate
from intent_tracking.tables import DayTable

pytestmark = pytest.mark.unit

DAY = date(2026, 1, 5)
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def row(raw: str | dict[str, Any], line: int = 1, *, received: datetime = NOON, **changes: Any) -> dict[str, Any]:
    text = raw if isinstance(raw, str) else json.dumps(raw)
    return {
        "raw": text, "adapter": "native", "source_file": "web/a.jsonl", "source_line": line, "record_count": 1,
        "received_time": received, "event_time": None,
    } | changes  # fmt: skip


def share(event_id: str, minute: int = 0, **changes: Any) -> dict[str, Any]:
    moment = (NOON + timedelta(minutes=minute)).isoformat()
    return {"event_id": event_id, "event_name": "share", "event_time": moment, "user_id": "u"} | changes


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=RAW_SCHEMA)


def test_accepted_events_are_ordered_and_know_their_place() -> None:
    result = validate(table(row(share("b", 1), 1), row(share("c"), 2), row(share("a"), 3)), DAY)
    assert result.accepted.schema == EVENT_SCHEMA
    assert result.accepted["event_id"].to_pylist() == ["a", "c", "b"]
    assert result.accepted["source_line"].to_pylist() == [3, 2, 1]
    assert event_from_row(result.accepted.to_pylist()[0]).received_time == NOON
    assert (result.records_read, result.records_accepted, result.duplicates) == (3, 3, 0)


def test_of_equal_ids_the_first_to_arrive_is_kept() -> None:
    late = row(share("a", method="x") | {"params": {"method": "second"}}, 1, received=NOON + timedelta(minutes=5))
    early = row(share("a") | {"params": {"method": "first"}}, 9)
    for rows in ([late, early], [early, late]):
        result = validate(table(*rows), DAY)
        assert json.loads(result.accepted["custom"][0].as_py()) == {"method": "first"}
        assert result.is_conserved


def test_an_id_accepted_on_an_earlier_day_is_a_duplicate(tmp_path: Path) -> None:
    events = DayTable(tmp_path, "validated_events", EVENT_SCHEMA)
    before = NOON - timedelta(days=2)
    first = validate(table(row(share("a", -2 * 24 * 60), received=before)), before.date())
    events.write(before.date(), first.accepted)
    known = accepted_ids(events, DAY)
    result = validate(table(row(share("a")), row(share("b"), 2)), DAY, known_ids=known)
    assert (known, result.accepted["event_id"].to_pylist(), result.duplicates) == ({"a"}, ["b"], 1)
    assert accepted_ids(events, DAY + timedelta(days=2)) == frozenset()


def test_what_arrives_out_of_time_is_quarantined_with_its_raw_text() -> None:
    old, early = share("a", -5 * 24 * 60), share("b", 24 * 60)
    result = validate(table(row(old), row(early, 2), row("{", 3)), DAY)
    assert result.quarantined.schema == QUARANTINE_SCHEMA
    assert result.quarantined["reason"].to_pylist() == [
        QuarantineReason.TOO_LATE,
        QuarantineReason.FROM_THE_FUTURE,
        QuarantineReason.UNREADABLE,
    ]
    assert result.quarantined["raw"].to_pylist() == [json.dumps(old), json.dumps(early), "{"]
    assert result.reasons == {"from_the_future": 1, "too_late": 1, "unreadable": 1}


def test_a_row_of_another_day_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="belongs to 2026-01-05"):
        validate(table(row(share("a"))), DAY + timedelta(days=1))


def group(invoice: str, *lines: tuple[str, str, str]) -> dict[str, Any]:
    rows = [
        {"InvoiceNo": invoice, "StockCode": code, "Description": name, "Quantity": "2", "UnitPrice": price,
         "InvoiceDate": "2026-01-05 10:00:00", "CustomerID": "7", "Country": "UK"}
        for code, name, price in lines
    ]  # fmt: skip
    members = [{"line": at, "row": each} for at, each in enumerate(rows, start=2)]
    return row({"group": members}, 2, adapter="columns:online_retail", record_count=len(lines))


def test_records_of_grouped_events_are_conserved_line_by_line() -> None:
    bad_event = group("9", ("1", "CUP", "a lot"), ("2", "", "1"))
    good = group("5", ("1", "CUP", "2"), ("1", "CUP", "2"), ("2", "damaged", "0"), ("3", "MUG", "1"))
    result = validate(table(good, row(good["raw"], 50, adapter=good["adapter"], record_count=4), bad_event), DAY)
    assert (result.records_read, result.records_accepted, result.duplicates, result.records_quarantined) == (
        10,
        2,
        5,
        3,
    )
    assert result.is_conserved
    assert result.reasons == {"empty_description": 1, "internal_note": 1, "invalid_value": 1}
    refused = result.quarantined.to_pylist()
    assert [(each["source_line"], each["record_count"]) for each in refused] == [(2, 1), (3, 1), (4, 1)]


def test_quarantined_rows_can_be_replayed() -> None:
    result = validate(table(row(share("a", -5 * 24 * 60)), row("{", 3), row(share("b") | {"shop": 1}, 4)), DAY)
    assert replay(result.quarantined).num_rows == 3
    chosen = replay(result.quarantined, reasons=["unexpected_field"])
    assert chosen.schema == RAW_SCHEMA
    mended = chosen.to_pylist()[0] | {"raw": json.dumps(share("b"))}
    assert validate(table(mended), DAY).accepted["event_id"].to_pylist() == ["b"]


raws = st.one_of(
    st.builds(share, st.sampled_from("abcdef"), st.integers(-7000, 3000)).map(json.dumps),
    st.sampled_from(["{", "[]", "{}", json.dumps(share("a") | {"extra": 1}), json.dumps(share(""))]),
    st.text(max_size=5).filter(lambda text: "\ud800" not in text),
)


@given(st.lists(raws, max_size=12), st.randoms(use_true_random=False), st.sets(st.sampled_from("abcdef")))
@settings(max_examples=80)
def test_records_are_conserved_and_the_order_of_rows_does_not_matter(
    texts: list[str], shuffler: random.Random, known: set[str]
) -> None:
    rows = [row(text, line) for line, text in enumerate(texts, start=1)]
    # Only rows of this day stand in its partition; the others are those that validation refuses here.
    ours = [each for each in rows if not _is_of_another_day(each["raw"])]
    result = validate(table(*ours), DAY, known_ids=known)
    assert result.is_conserved
    assert result.records_read == len(ours)
    assert known.isdisjoint(result.accepted["event_id"].to_pylist())
    shuffler.shuffle(ours)
    again = validate(table(*ours), DAY, known_ids=known)
    assert again.accepted.equals(result.accepted)
    assert again.quarantined.equals(result.quarantined)


def _is_of_another_day(raw: str) -> bool:
    try:
        document = json.loads(raw)
    except ValueError:
        return False
    if not isinstance(document, dict) or "event_time" not in document:
        return False
    back = (DAY - datetime.fromisoformat(document["event_time"]).date()).days
    return 1 <= back <= 3


def test_materializing_again_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = [row(share(f"e{number:03d}", number % 50), number) for number in range(200)] + [row("{", 999)]
    events = DayTable(tmp_path, "validated_events", EVENT_SCHEMA)
    refused = DayTable(tmp_path, "quarantined_events", QUARANTINE_SCHEMA)
    found = []
    for order in (rows, rows[::-1]):
        result = validate(table(*order), DAY)
        events.write(DAY, result.accepted)
        refused.write(DAY, result.quarantined)
        found.append((events.path(DAY).read_bytes(), refused.path(DAY).read_bytes()))
    assert found[0] == found[1]


def test_an_empty_day_is_an_empty_table() -> None:
    result = validate(RAW_SCHEMA.empty_table(), DAY)
    assert (result.records_read, result.accepted.num_rows, result.quarantined.num_rows) == (0, 0, 0)
    assert result.is_conserved
