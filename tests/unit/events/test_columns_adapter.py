"""Column mappings: what the YAML says is what becomes of the lines."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tracking.events.adapters import Adapter, Parsed, get_adapter
from intent_tracking.events.adapters.mapping import load_mapping, shipped_mappings
from intent_tracking.events.contract import EventName
from intent_tracking.events.nesting import MAX_NESTING
from intent_tracking.events.quarantine import QuarantineReason

pytestmark = pytest.mark.unit

ARRIVAL = datetime(2026, 1, 3, 23, 0, tzinfo=UTC)
HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"


def parsed(adapter: Adapter, path: Path) -> list[tuple[Parsed, int]]:
    return [(adapter.parse(record.raw, ARRIVAL), record.record_count) for record in adapter.read(path)]


def retail(tmp_path: Path, *lines: str) -> list[tuple[Parsed, int]]:
    path = tmp_path / "2010-12-01.csv"
    path.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return parsed(get_adapter("columns:online_retail"), path)


def mapped(tmp_path: Path, yaml: str) -> Adapter:
    path = tmp_path / "shop.yaml"
    path.write_text(yaml, encoding="utf-8")
    return get_adapter(f"columns:{path}")


def test_lines_of_one_invoice_are_one_purchase(tmp_path: Path) -> None:
    ((result, count),) = retail(
        tmp_path,
        "536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom",
        "536365,71053,WHITE METAL LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom",
    )
    event = result.event
    assert event is not None
    assert count == 2
    assert (event.event_id, event.event_name, event.user_id) == ("online_retail-536365", EventName.PURCHASE, "17850")
    assert event.event_time == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert (event.params.transaction_id, event.params.currency, event.params.value) == ("536365", "GBP", 35.64)
    assert [item.item_id for item in event.params.items] == ["85123A", "71053"]
    assert event.params.custom == {"country": "United Kingdom"}


def test_a_cancellation_is_a_refund_of_what_came_back_and_a_guest_is_known_by_the_invoice(tmp_path: Path) -> None:
    ((result, _),) = retail(tmp_path, "C536379,D12,BOX,-3,2010-12-01 09:41:00,27.5,,United Kingdom")
    assert result.event is not None
    assert (result.event.event_name, result.event.user_id) == (EventName.REFUND, None)
    assert result.event.anonymous_id == "invoice-C536379"
    assert (result.event.params.items[0].quantity, result.event.params.value) == (3, 82.5)


def test_bad_lines_leave_the_invoice_with_their_own_reasons_and_repeats_are_duplicates(tmp_path: Path) -> None:
    good = "536365,71053,WHITE METAL LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom"
    ((result, count),) = retail(
        tmp_path,
        good,
        "536365,1,,6,2010-12-01 08:26:00,0.0,17850.0,United Kingdom",
        "536365,2,damaged?,-6,2010-12-01 08:26:00,0.0,17850.0,United Kingdom",
        "536365,3,RED CUP,1,2010-12-01 08:26:00,0.0,17850.0,United Kingdom",
        good,
    )
    assert result.event is not None
    assert [item.item_id for item in result.event.params.items] == ["71053"]
    assert [(each.reason, each.source_line) for each in result.quarantined] == [
        ("empty_description", 3),
        ("internal_note", 4),
        ("zero_price", 5),
    ]
    assert (result.duplicates, count) == (1, 5)


def test_a_line_taken_out_of_its_group_can_be_parsed_alone(tmp_path: Path) -> None:
    ((result, _),) = retail(
        tmp_path,
        "536365,71053,LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,UK",
        "536365,3,RED CUP,1,2010-12-01 08:26:00,0.0,17850.0,UK",
    )
    raw = result.quarantined[0].raw
    assert raw is not None
    (again,) = get_adapter("columns:online_retail").parse(raw, ARRIVAL).quarantined
    assert (again.reason, again.source_line) == ("zero_price", 3)


def test_lines_without_the_columns_of_the_file_are_unreadable(tmp_path: Path) -> None:
    results = retail(tmp_path, "536365,71053", "536366,1,CUP,1,2010-12-01 08:26:00,2,,UK", "1,2,3,4,5,6,7,8,9")
    reasons = [refusal.reason for result, _ in results for refusal in result.quarantined]
    assert reasons == [QuarantineReason.UNREADABLE] * 2
    assert sum(count for _, count in results) == 3


def test_a_line_nested_too_deep_for_its_group_is_refused_alone(tmp_path: Path) -> None:
    adapter = get_adapter("columns:online_retail")
    deep = MAX_NESTING - 3
    lines = [{"InvoiceNo": "1", "x": 1}, {"InvoiceNo": "1"}]
    texts = [json.dumps(line) for line in lines]
    texts[1] = texts[1].replace("}", f', "x": {"[" * deep}{"]" * deep}}}')
    path = tmp_path / "deep.jsonl"
    path.write_text("\n".join(texts), encoding="utf-8")
    details = [each.detail for result, _ in parsed(adapter, path) for each in result.quarantined]
    assert sum("line 2: nested more than" in detail for detail in details) == 1


def test_otto_lines_become_one_event_per_click_and_one_purchase_per_order(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(
        '{"session":0,"events":[{"aid":1,"ts":1659304800025,"type":"clicks"},{"aid":2,"ts":1659369893840,"type":"carts"},'
        '{"aid":3,"ts":1659370027105,"type":"orders"},{"aid":4,"ts":1659370027105,"type":"orders"}]}\n'
        '{"session":1,"events":[]}\nnonsense\n'
    )
    results = parsed(get_adapter("columns:otto"), path)
    events = [result.event for result, _ in results if result.event]
    assert [event.event_name for event in events] == [EventName.VIEW_ITEM, EventName.ADD_TO_CART, EventName.PURCHASE]
    assert events[0].event_time == datetime(2022, 7, 31, 22, 0, 0, 25000, tzinfo=UTC)
    assert [item.item_id for item in events[2].params.items] == ["3", "4"]
    assert events[2].params.transaction_id == "otto-0-1659370027105"
    assert events[0].params.transaction_id is None
    assert sum(count for _, count in results) == 6
    assert [refusal.reason for result, _ in results for refusal in result.quarantined] == ["unreadable", "unreadable"]


SHOP = """
name: shop
delimiter: ";"
encoding: cp1252
timezone: Europe/Berlin
event_name: {column: what, values: {seen: view_item, asked: message}}
event_time: {column: at, format: "%d.%m.%Y %H:%M"}
user_id: "{who}"
session_id: "{who|lower}-{day}"
items: {item_id: "{sku}", price: "{price}"}
params: {text: {message: "{words}"}, currency: EUR}
free_text: [words]
"""


def test_a_mapping_states_zone_encoding_names_and_constants(tmp_path: Path) -> None:
    adapter = mapped(tmp_path, SHOP)
    path = tmp_path / "2026-07-01.csv.gz"
    text = (
        "what;at;who;day;sku;price;words\nseen;01.07.2026 10:30;Jörg;1;s1;2,5;\nasked;01.07.2026 10:31;Jörg;1;;;Maß?\n"
    )
    path.write_bytes(gzip.compress(text.encode("cp1252")))
    (seen, _), (asked, _) = parsed(adapter, path)
    assert seen.event is None  # a comma is no decimal point: the contract says so instead of guessing
    assert "price" in seen.quarantined[0].detail
    assert asked.event is not None
    assert (asked.event.params.text, asked.event.params.items) == ("Maß?", ())
    assert adapter.free_text == {"words"}


def test_local_time_becomes_utc(tmp_path: Path) -> None:
    adapter = mapped(tmp_path, SHOP)
    path = tmp_path / "2026-07-01.csv"
    path.write_bytes("what;at;who;day;sku;price;words\nseen;01.07.2026 10:30;Jörg;1;s1;2.5;\n".encode("cp1252"))
    ((result, _),) = parsed(adapter, path)
    assert result.event is not None
    assert result.event.event_time == datetime(2026, 7, 1, 8, 30, tzinfo=UTC)
    assert (result.event.user_id, result.event.session_id) == ("Jörg", "jörg-1")


def test_parquet_rows_and_an_id_made_of_the_row(tmp_path: Path) -> None:
    adapter = mapped(
        tmp_path,
        "name: pq\nevent_name: share\nevent_time: {column: at}\nanonymous_id: '{who}'\ncustom: {shade: '{shade}'}\n",
    )
    path = tmp_path / "x.parquet"
    row = {"at": datetime(2026, 1, 3, 9, tzinfo=UTC), "who": 7, "shade": None}
    pq.write_table(pa.Table.from_pylist([row, row, row | {"who": 8}]), path)
    events = [result.event for result, _ in parsed(adapter, path)]
    assert all(event is not None for event in events)
    first, second, third = (event.event_id for event in events if event)
    assert first == second != third


@pytest.mark.parametrize(
    ("yaml", "place"),
    [
        ("name: x\n", "event_name"),
        ("name: x\nevent_name: dance\nevent_time: {column: t}\nuser_id: '{u}'\n", "event_name"),
        ("name: x\nevent_name: share\nevent_time: {column: t}\n", "needs a shopper"),
        ("name: x\nevent_name: share\nevent_time: {column: t}\nuser_id: '{u|shout}'\n", "shout"),
        ("name: x\nevent_name: share\nevent_time: {column: t}\nuser_id: '{u}'\nitems: {sku: '{s}'}\n", "sku"),
        ("name: x\nevent_name: share\nevent_time: {column: t}\nuser_id: '{u}'\ntimezone: Mars/North\n", "time zone"),
        (
            "name: x\nevent_name: share\nevent_time: {column: t}\nuser_id: '{u}'\nchecks: [{reason: r, column: c}]\n",
            "empty",
        ),
        ("name: x\nevent_name: share\nevent_time: {column: t}\nuser_id: '{u}'\nnaem: x\n", "naem"),
        ("name: [", "not YAML"),
        ("- 1", "mapping"),
    ],
)
def test_a_wrong_mapping_names_the_file_and_the_field(tmp_path: Path, yaml: str, place: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml)
    with pytest.raises(ValueError, match=rf"(?s)wrong\.yaml.*{place}"):
        load_mapping(str(path))


def test_shipped_mappings_load() -> None:
    assert set(shipped_mappings()) >= {"online_retail", "otto"}
    for name in shipped_mappings():
        assert load_mapping(name).name == name


STALL = """
name: shop
delimiter: ';'
event_name: {column: action, values: {view: view_item, order: purchase}}
event_time: {column: when}
user_id: '{customer|lower}'
items: {item_id: '{sku}', price: '{price}', quantity: '{qty}'}
params: {transaction_id: {purchase: '{order}'}, currency: EUR}
value_from_items: true
checks: [{reason: test_account, column: customer, equals: test, when: {column: country, equals: XX}}]
"""
COLUMNS = ("action", "when", "customer", "sku", "price", "qty", "order", "country")


@pytest.mark.parametrize("form", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("missing", COLUMNS)
def test_a_column_that_the_file_does_not_have_is_refused(tmp_path: Path, form: str, missing: str) -> None:
    # Cause: a misspelt column was read as empty, so that every line went to quarantine, or lost a field silently.
    header = [name for name in COLUMNS if name != missing]
    path = tmp_path / f"2026-01-03.{form}"
    if form == "parquet":
        pq.write_table(pa.table({name: ["1"] for name in header}), path)
    else:
        text = (";".join(header) + "\n" + ";".join(["1"] * len(header)) + "\n").encode()
        path.write_bytes(gzip.compress(text) if form == "csv.gz" else text)
    with pytest.raises(ValueError, match=f"names {missing}, which the file does not have") as refused:
        mapped(tmp_path, STALL).read(path)
    assert str(path) in str(refused.value)
    assert ", ".join(header) in str(refused.value)


def test_a_file_of_the_wrong_delimiter_is_refused_without_its_personal_data(tmp_path: Path) -> None:
    path = tmp_path / "2026-01-03.csv"
    path.write_text("anna.muster@example.com,1\n")
    with pytest.raises(ValueError, match=r"its columns: <email>,1\. Correct the mapping") as refused:
        mapped(tmp_path, STALL).read(path)
    assert "muster" not in str(refused.value)


def test_events_without_items_have_no_value(tmp_path: Path) -> None:
    # Cause: the sum over no items is 0.0, which said that a purchase or a chat line among clicks was worth nothing.
    path = tmp_path / "2026-01-03.csv"
    path.write_text(
        ";".join(COLUMNS) + "\nview;2026-01-03T10:00:00Z;Ann;S1;2.5;2;;DE\norder;2026-01-03T10:00:00Z;Ann;;;;o1;DE\n"
    )
    (view, _), (order, _) = parsed(
        mapped(
            tmp_path, STALL.replace("order: purchase", "order: refund").replace("{purchase: '{order}'}", "'{order}'")
        ),
        path,
    )
    assert view.event is not None
    assert view.event.params.value == 5.0
    assert order.event is not None
    assert order.event.params.items == ()
    assert order.event.params.value is None


def test_a_ragged_line_is_told_by_its_place_and_fields_and_not_by_its_text(tmp_path: Path) -> None:
    # Cause: the detail quoted the line whole, with whatever it says of people, up to 500 characters.
    path = tmp_path / "2026-01-03.csv"
    path.write_text(";".join(COLUMNS) + "\nview;2026-01-03T10:00:00Z;Ann;S1;2.5;2;;DE\nAnna Muster;Hauptstr. 5\n")
    (_, (ragged, _)) = parsed(mapped(tmp_path, STALL), path)
    (refusal,) = ragged.quarantined
    assert refusal.reason == QuarantineReason.UNREADABLE
    assert refusal.detail == "CSV line 3 has 2 fields, the header has 8"
    assert len(refusal.detail) <= 80
