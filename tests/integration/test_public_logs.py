"""Real logs: every line of Online Retail and OTTO is accepted, a duplicate, or quarantined with its reason."""

from __future__ import annotations

import io
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from intent_tracking.events.commands import ingest_command
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.events.ingest import collect, days_of
from intent_tracking.events.landing import land
from intent_tracking.events.quarantine import RAW_SCHEMA
from intent_tracking.events.validate import Validated, accepted_ids, validate
from intent_tracking.tables import DayTable

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def retail(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[date, Validated]:
    """The 305 days of Online Retail, validated in order."""
    home = tmp_path_factory.mktemp("retail")
    files = sorted((data_dir / "online_retail" / "by-day").glob("*.csv"))
    land(files, "online_retail", "columns:online_retail", home=home)
    days = [date.fromisoformat(path.stem) for path in files]
    return {day: validate(raw, day) for day, raw in collect(home, days)}


def test_online_retail_is_conserved_line_by_line(retail: dict[date, Validated]) -> None:
    assert all(result.is_conserved for result in retail.values())
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for result in retail.values():
        counts.update(read=result.records_read, accepted=result.records_accepted, events=result.accepted.num_rows)
        counts.update(duplicates=result.duplicates, quarantined=result.records_quarantined)
        reasons.update(result.reasons)
    assert counts == {
        "read": 541_909, "accepted": 534_128, "events": 23_795, "duplicates": 5_268, "quarantined": 2_513
    }  # fmt: skip
    assert reasons == {"empty_description": 1454, "internal_note": 638, "zero_price": 418, "accounting_entry": 3}


def test_online_retail_keeps_its_customers_and_cancellations(retail: dict[date, Validated]) -> None:
    names: Counter[str] = Counter()
    customers: set[str] = set()
    for result in retail.values():
        names.update(result.accepted["event_name"].to_pylist())
        customers.update(user for user in result.accepted["user_id"].to_pylist() if user)
    assert names == {"purchase": 19_959, "refund": 3_836}
    assert len(customers) == 4_371  # of 4,372: one had nothing but lines at price zero


def test_otto_sessions_become_events(data_dir: Path, tmp_path: Path) -> None:
    files = [data_dir / "otto_sample" / "train.jsonl"]
    landed = land(files, "otto", "columns:otto", received="event_time", home=tmp_path)
    days = days_of(tmp_path, "otto", landed.files)
    assert sum(days.values()) == 862
    names: Counter[str] = Counter()
    for day, raw in collect(tmp_path, list(days)):
        result = validate(raw, day)
        assert result.is_conserved
        assert result.records_quarantined == 0
        names.update(result.accepted["event_name"].to_pylist())
    assert set(names) == {"view_item", "add_to_cart", "purchase"}


def test_the_ingest_command_writes_the_days_and_can_be_repeated(data_dir: Path, tmp_path: Path) -> None:
    files = sorted((data_dir / "online_retail" / "by-day").glob("*.csv"))[:3]
    out = io.StringIO()
    days = ingest_command(
        files, home=tmp_path, source="shop", adapter="columns", mapping="online_retail",
        console=Console(file=out, width=120),
    )  # fmt: skip
    table = DayTable(tmp_path / "tables", "raw_events", RAW_SCHEMA)
    assert [day.isoformat() for day in table.days()] == list(days) == [path.stem for path in files]
    assert f"{sum(days.values()):,}" in out.getvalue()
    first = [path.read_bytes() for path in table.paths(table.days())]
    ingest_command(
        files, home=tmp_path, source="shop", adapter="columns", mapping="online_retail",
        console=Console(file=out, width=120),
    )  # fmt: skip
    assert [path.read_bytes() for path in table.paths(table.days())] == first
    events = DayTable(tmp_path / "tables", "validated_events", EVENT_SCHEMA)
    for day in table.days():
        events.write(day, validate(table.read([day]), day, known_ids=accepted_ids(events, day)).accepted)
    assert events.days() == table.days()
