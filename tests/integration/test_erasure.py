"""One person out of the service and out of every stored place, by the same code that the Dagster job runs."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from bentos.intent_service.runtime import Runtime
from intent_tracking.applications.customer_service.handover import Handover, HandoverLog, read_handovers
from intent_tracking.erasure.live import erase_live
from intent_tracking.erasure.proof import prove
from intent_tracking.erasure.stored import erase_stored
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.events.ingest import collect
from intent_tracking.events.landing import land
from intent_tracking.events.quarantine import QUARANTINE_SCHEMA, RAW_SCHEMA
from intent_tracking.events.segment_log import read_log
from intent_tracking.events.validate import accepted_ids, validate
from intent_tracking.features.declaration import Entity
from intent_tracking.features.derived import DERIVED_VIEWS
from intent_tracking.features.online import entity_key, remove_online, table_name
from intent_tracking.features.schema import views
from intent_tracking.prediction_log import prediction_days, read_predictions
from intent_tracking.release import publish
from intent_tracking.sessions.sessionise import SESSION_SCHEMA, sessionise
from intent_tracking.sessions.state import open_session_store
from intent_tracking.settings import Settings
from intent_tracking.tables import DayTable
from intent_tracking.tombstones import Erasures
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.service_client import NOW, client_of, error

pytestmark = pytest.mark.integration

TODAY = NOW.date()
DAYS = [TODAY - timedelta(days=back) for back in (1, 0)]
ANN, BOB = "u-1842", "u-18423"  # the one begins as the other
PHONE, TABLET = "d-phone-of-ann", "d-tablet-of-both"
USER_VIEWS = [name for name, features in views().items() if features[0].entity is Entity.USER]
USER_VIEWS += [view.name for view in DERIVED_VIEWS if view.entity is Entity.USER]


def event(number: int | str, user: str | None = None, device: str | None = None, text: str = "hi") -> dict[str, Any]:
    ids = {"user_id": user, "anonymous_id": device}
    return {
        "event_id": f"e-{number}",
        "event_name": "message",
        "event_time": (NOW - timedelta(seconds=90)).isoformat(),
        **{name: value for name, value in ids.items() if value is not None},
        "source": "web",
        "params": {"text": text},
    }


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    publish(tmp_path / "release.json", {"intent_model": fake_artifact(tmp_path, "m1")}, "first")
    return Settings(home=tmp_path)


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    runtime = Runtime(settings, FakePredictor.load)
    runtime.start()
    yield client_of(runtime)
    runtime.close()


def track(client: TestClient, *events: dict[str, Any]) -> dict[str, Any]:
    answer = client.post("/v1/track", json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def erase(client: TestClient, user_id: str) -> dict[str, Any]:
    answer = client.post("/v1/erase", json={"user_id": user_id})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def put_online(settings: Settings, *shoppers: str) -> None:
    settings.feast.mkdir(parents=True)
    with closing(sqlite3.connect(settings.feast / "online.db")) as database, database:
        for view in USER_VIEWS:
            database.execute(  # Feast's own columns that matter here
                f'CREATE TABLE "{table_name(view)}" (entity_key BLOB, feature_name TEXT, value BLOB, event_ts INTEGER)'
            )
            for shopper in shoppers:
                database.execute(
                    f'INSERT INTO "{table_name(view)}" VALUES (?, ?, ?, ?)',  # noqa: S608
                    (entity_key(Entity.USER, shopper), "f", b"\x20\x01", int(NOW.timestamp())),
                )


def land_files(settings: Settings, folder: Path) -> None:
    """The same people in the formats that shops have: a grouped CSV, gzipped Segment calls, Parquet rows."""
    folder.mkdir()
    at = (NOW - timedelta(minutes=5)).strftime("%Y-%m-%d %H:%M:%S")
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    lines = [f'5001,22{n},"RED\nMUG {n}",1,{at},2.5,{user},UK\n' for n, user in enumerate(["17850.0", "17850.0"])]
    (folder / "orders.csv").write_text(header + "".join(lines) + f"5002,17850,TEA SET,1,{at},3.5,13047,UK\n")
    segment = [
        {"type": "track", "event": "Product Viewed", "messageId": f"m-{n}", "timestamp": NOW.isoformat(),
         "userId": user, "anonymousId": device, "properties": {"product_id": "p1", "name": "Mug"}}
        for n, (user, device) in enumerate([(ANN, PHONE), (BOB, TABLET), (ANN, TABLET), (None, PHONE), (None, TABLET)])
    ]  # fmt: skip
    broken = f'{{"event": "Product Viewed", "userId": "{ANN}", "properties": {{'
    text = "\n".join([*map(json.dumps, segment), broken]) + "\n"
    (folder / f"{TODAY}.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    rows = [event(f"p{n}", user) for n, user in enumerate([ANN, BOB])]
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{TODAY}.parquet")
    land([folder / "orders.csv"], "orders", "columns:online_retail", home=settings.home, received="event_time")
    land([folder / f"{TODAY}.jsonl.gz"], "web", "segment", home=settings.home)
    land([folder / f"{TODAY}.parquet"], "app", "native", home=settings.home)


def ingest(settings: Settings) -> Counter[date]:
    """Raw, validated and quarantined events and sessions, as the assets write them; records kept out by day."""
    erased: Counter[date] = Counter()
    raw, valid, quarantined, sessions = (
        DayTable(settings.tables, name, schema)
        for name, schema in [
            ("raw_events", RAW_SCHEMA), ("validated_events", EVENT_SCHEMA), ("quarantined_events", QUARANTINE_SCHEMA),
            ("sessions", SESSION_SCHEMA),
        ]
    )  # fmt: skip
    for day, table in collect(settings.home, DAYS, erased=erased):
        raw.write(day, table)
        result = validate(table, day, known_ids=accepted_ids(valid, day))
        assert result.is_conserved
        valid.write(day, result.accepted)
        quarantined.write(day, result.quarantined)
    for day in DAYS:
        sessions.write(day, sessionise(valid.read(DAYS), day))
    return erased


def run_job(settings: Settings) -> tuple[dict[str, int], list[Any]]:
    sessions = open_session_store(settings)
    try:
        removed = erase_stored(settings, sessions)
    finally:
        sessions.close()
    return removed, prove(settings)


def shoppers(settings: Settings, table: str) -> Counter[str]:
    parts = sorted((settings.tables / table).glob("day=*/part.parquet"))
    return Counter(
        s for part in parts for s in pq.ParquetFile(part).read(columns=["shopper_id"])["shopper_id"].to_pylist()
    )


def hand_over(settings: Settings, *shoppers: str) -> None:
    """One conversation of each, handed over to a person."""
    log = HandoverLog(settings.handovers)
    for shopper in shoppers:
        log.append(Handover("h", NOW, shopper, "s", "en", "help", None, (), (), "wait", (), ()))


def test_the_service_removes_at_once_what_it_holds_and_says_so(client: TestClient, settings: Settings) -> None:
    put_online(settings, ANN, BOB)
    track(client, event(1, ANN, PHONE, "where is my parcel"), event(2, BOB), event(3, None, PHONE))
    hand_over(settings, ANN, BOB)
    answer = erase(client, ANN)
    removed = {each["place"]: each["records"] for each in answer["removed"]}
    assert removed["session_state"] == 2  # the visit of the phone before its login too
    assert removed["online_features"] == len(USER_VIEWS)
    assert (removed["event_log"], removed["prediction_log"], removed["handovers"]) == (1, 1, 1)
    assert [each["shopper_id"] for each in read_handovers(settings.handovers)] == [BOB]
    assert all(each["complete"] for each in answer["removed"])
    assert answer["left_to_job"] == ["landing", "annotations", "tables", "training"]
    assert [json.loads(line.data)["event_id"] for line in read_log(settings.event_log)] == ["e-2", "e-3"]
    found = read_predictions(settings.prediction_log, prediction_days(settings.prediction_log))
    assert sorted(found["shopper_id"].to_pylist()) == sorted([BOB, f"anonymous:{PHONE}"])
    (pending,) = Erasures(settings.home).pending()
    assert pending.pending is not None
    assert (pending.pending.devices, pending.pending.event_ids) == ((PHONE,), ("e-1",))
    again = erase(client, ANN)
    assert again["request"] == answer["request"]
    # The console's thread may have brought its moments only now; whatever is late, the job finds.
    assert {each["records"] for each in again["removed"] if each["place"] != "console_feed"} == {0}


def test_a_request_whose_time_is_over_has_removed_what_shows_the_person_and_names_what_is_left(
    client: TestClient, settings: Settings
) -> None:
    # Cause: the limit held for the rewriting alone, after a search through every segment that came before all else.
    put_online(settings, ANN, BOB)
    track(client, event(1, ANN, PHONE), event(2, BOB))
    sessions = open_session_store(settings)
    try:
        _, removed = erase_live(settings, sessions, ANN, datetime.now(UTC), seconds=-1)
    finally:
        sessions.close()
    found = {each.place: (each.records, each.complete) for each in removed}
    del found["console_feed"], found["prediction_log"]  # their threads may have written nothing yet
    assert found == {
        "session_state": (1, True),
        "online_features": (len(USER_VIEWS), True),
        "event_log": (0, False),
        "handovers": (0, True),  # there is none to search
    }
    (pending,) = Erasures(settings.home).pending()
    assert pending.pending is not None
    assert pending.pending.devices == ()  # nothing was searched
    assert [json.loads(line.data)["event_id"] for line in read_log(settings.event_log)] == ["e-1", "e-2"]
    run_job(settings)
    assert [json.loads(line.data)["event_id"] for line in read_log(settings.event_log)] == ["e-2"]
    (done,) = Erasures(settings.home).all()
    assert len(done.devices) == 1


def test_what_comes_late_is_refused_and_what_comes_later_is_taken(client: TestClient) -> None:
    track(client, event(1, ANN))
    erase(client, ANN)
    late = track(client, event(2, ANN), event(3, BOB))
    assert (late["accepted"], [each["index"] for each in late["rejected"]]) == (1, [0])
    assert late["rejected"][0]["reason"].startswith("erased: ")
    assert ANN not in late["rejected"][0]["reason"]
    after = event(4, ANN) | {"event_time": datetime.now(UTC).isoformat()}
    assert track(client, after)["accepted"] == 1


def test_a_request_without_a_name_is_refused(client: TestClient) -> None:
    error(client.post("/v1/erase", json={"user_id": " "}), 422, "invalid_request")
    error(client.post("/v1/erase", json={}), 422, "invalid_request")


def test_nothing_of_a_person_is_left_anywhere_and_all_of_the_others_is(
    client: TestClient, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    land_files(settings, tmp_path_factory.mktemp("shop") / "files")
    put_online(settings, ANN, BOB)
    track(client, event(1, ANN, PHONE), event(2, BOB), event(3, None, PHONE), event(4, None, "d-other"))
    assert not ingest(settings)
    before = shoppers(settings, "validated_events")
    settings.annotations.mkdir()
    labels = [{"event_id": "e-1"}, {"event_id": "e-2"}, {"text": "hello"}, {"session_id": "x", "labelled_for": ANN}]
    given = [{**label, "intent": "greet", "annotated_at": NOW.isoformat()} for label in labels]
    (settings.annotations / "a.jsonl").write_text("".join(json.dumps(each) + "\n" for each in given))
    (settings.annotations / "risk").mkdir()
    reviewed = [{"case_id": f"order:e-{n}", "event_id": f"e-{n}", "session_id": f"s-{n}"} for n in (1, 2)]
    (settings.annotations / "risk" / "a.jsonl").write_text("".join(json.dumps(each) + "\n" for each in reviewed))

    erase(client, ANN)
    removed, (proved,) = run_job(settings)

    assert (proved.proof.hits, proved.finished) == (0, True), proved.proof
    assert removed["landing"] == 5  # two calls as a user, one on the own phone, the broken line, the Parquet row
    assert removed["annotations"] == 3
    assert (settings.annotations / "risk" / "a.jsonl").read_text() == f"\n{json.dumps(reviewed[1])}\n"
    gone = {ANN: 4, f"anonymous:{PHONE}": 2}
    assert removed["tables/validated_events"] == sum(gone.values())
    after = shoppers(settings, "validated_events")
    assert before - after == gone
    # Another user's events on a shared device stay, and those without a user, which may be either's.
    assert after[BOB] == before[BOB] == 3
    assert after[f"anonymous:{TABLET}"] == 1
    assert shoppers(settings, "sessions").keys() == after.keys()
    (done,) = Erasures(settings.home).all()
    assert (done.pending, done.shared_devices) == (None, 1)
    assert done.removed["event_log"] == 2  # by the request, and by the job what only the phone tells
    for path in settings.home.rglob("*"):
        assert path.is_dir() or ANN.encode() not in path.read_bytes().replace(BOB.encode(), b"")
    # The files that are left give the tables that are left: nothing comes back, and every line is where it was.
    kept = {path: path.read_bytes() for path in settings.tables.rglob("validated_events/*/part.parquet")}
    assert not ingest(settings)
    moved = {"app/"}  # rows of a Parquet file move up
    for path, content in kept.items():
        if path.read_bytes() != content:
            now, then = pq.ParquetFile(path).read(), pq.read_table(pa.BufferReader(content))
            rows = zip(now.to_pylist(), then.to_pylist(), strict=True)
            assert all(a == b or a["source_file"][:4] in moved for a, b in rows)


def test_labels_go_with_sessions_that_no_table_has_yet_whatever_their_ids_were_made_of(
    client: TestClient, settings: Settings
) -> None:
    # Cause: only ids were known that the service makes of the user's own events, not of those before a login.
    sessions: dict[str, str] = {}
    logins = [
        ("bob", TABLET, BOB, 0),
        ("stranger", "d-x", "u-7", 0),
        ("own", PHONE, ANN, 0),
        ("shared", TABLET, ANN, 3),
    ]
    for name, device, user, hours in logins:
        at = (NOW - timedelta(hours=hours, seconds=90)).isoformat()
        visit = [event(f"{name}-{each}", each, device) | {"event_time": at} for each in (None, user)]
        ((sessions[name],),) = [{each["session_id"] for each in track(client, *visit)["sessions"]}]
        if name == "bob":
            ingest(settings)
    given = track(client, event("given", ANN) | {"session_id": "tab-5"})["sessions"][0]["session_id"]
    labels = [*sessions.values(), given]
    settings.annotations.mkdir()
    (settings.annotations / "a.jsonl").write_text("".join(json.dumps({"session_id": each}) + "\n" for each in labels))

    erase(client, ANN)
    run_job(settings)

    left = [
        json.loads(line)["session_id"] for line in (settings.annotations / "a.jsonl").read_text().splitlines() if line
    ]
    assert left == [sessions["bob"], sessions["stranger"]]


def test_a_grouped_order_goes_with_all_its_lines_and_the_number_elsewhere_is_told(
    client: TestClient, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    land_files(settings, tmp_path_factory.mktemp("shop") / "files")
    ingest(settings)
    erase(client, "17850")
    removed, (proved,) = run_job(settings)
    assert removed["landing"] == 2
    text = (settings.landing / "orders" / "orders.csv").read_text()
    assert [line[:4] for line in text.splitlines()] == ["Invo", "", "", "", "", "5002"]
    # 17850 is also a product of somebody else's order: a person has to look, and says so.
    assert not proved.finished
    assert {(place.path, place.where) for place in proved.proof.remaining} >= {("landing/orders/orders.csv", "bytes")}
    (accepted,) = prove(settings, accept_remaining=True)
    assert accepted.finished
    assert not Erasures(settings.home).pending()


def test_what_is_landed_again_does_not_bring_anybody_back(
    client: TestClient, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = tmp_path_factory.mktemp("shop") / "files"
    land_files(settings, files)
    erase(client, ANN)
    run_job(settings)
    again = settings.landing / "web" / f"{TODAY}-again.jsonl.gz"
    again.write_bytes((files / f"{TODAY}.jsonl.gz").read_bytes())
    assert sum(ingest(settings).values()) == 4
    assert ANN not in shoppers(settings, "validated_events")
    assert ANN.encode() in gzip.decompress(again.read_bytes())
    removed, proved = run_job(settings)
    assert (removed, proved) == ({"landing": 4}, [])
    assert ANN.encode() not in gzip.decompress(again.read_bytes()).replace(BOB.encode(), b"")


def test_a_job_that_was_interrupted_anywhere_is_ended_by_the_next(
    client: TestClient, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    land_files(settings, tmp_path_factory.mktemp("shop") / "files")
    track(client, event(1, ANN, PHONE), event(3, None, PHONE))
    ingest(settings)
    erase(client, ANN)

    def interrupt(place: str, records: int) -> None:
        raise InterruptedError(f"{place} {records}")

    interruptions = 0
    while True:  # each run gets one place further
        sessions = open_session_store(settings)
        try:
            erase_stored(settings, sessions, interrupt)
            break
        except InterruptedError:
            interruptions += 1
        finally:
            sessions.close()
    assert interruptions > 5
    (proved,) = prove(settings)
    assert (proved.proof.hits, proved.finished) == (0, True)
    assert proved.removed["landing"] == 5
    assert proved.removed["tables/validated_events"] == 6


def test_two_people_who_share_a_device_and_both_go_take_it_with_them(client: TestClient, settings: Settings) -> None:
    track(client, event(1, ANN, TABLET), event(2, BOB, TABLET), event(3, None, TABLET))
    ingest(settings)
    erase(client, ANN)
    erase(client, BOB)
    _, proved = run_job(settings)
    assert [each.finished for each in proved] == [True, True]
    assert not shoppers(settings, "validated_events")


def test_what_a_database_keeps_behind_its_rows_goes_too(settings: Settings) -> None:
    put_online(settings, ANN, "bob")
    path = settings.feast / "online.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA secure_delete = OFF")  # as Feast writes, where SQLite is built so
        for view in USER_VIEWS:
            database.execute(
                f'DELETE FROM "{table_name(view)}" WHERE entity_key <> ?',  # noqa: S608
                (entity_key(Entity.USER, "bob"),),
            )
    assert ANN.encode() in path.read_bytes()
    assert remove_online(path, Entity.USER, [ANN]) == 0
    Erasures(settings.home).request(ANN, datetime.now(UTC))
    assert [each.finished for each in prove(settings)] == [True]
    assert ANN.encode() not in path.read_bytes()
    assert remove_online(path, Entity.USER, ["bob"]) == len(USER_VIEWS)
    assert remove_online(settings.feast / "no.db", Entity.USER, ["bob"]) == 0
