"""The console without a browser: its files and their headers, who may read the stream, and what the stream says."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.types import Message

from bentos.intent_service.actions import recommended_actions
from bentos.intent_service.console.drift import drift_state
from bentos.intent_service.console.moments import MAX_WAITING, FeedWriter, steps_of
from bentos.intent_service.console.papers import Papers
from bentos.intent_service.console.routes import STATIC, page_files
from bentos.intent_service.console.stream import BATCH, MAX_STREAMS, Streams
from bentos.intent_service.errors import RequestError
from bentos.intent_service.runtime import Runtime
from bentos.intent_service.schemas import SessionAnswer
from bentos.intent_service.tracking import Touched
from intent_tracking.access.keys import Scope, create_key, revoke_key
from intent_tracking.applications.marketing.rules import shipped_rules
from intent_tracking.applications.risk.model import Decision
from intent_tracking.events.contract import EventName, Scene
from intent_tracking.events.simulator.intents import DRIFT_INTENTS, INTENTS, SLOTS
from intent_tracking.inference import IntentScore
from intent_tracking.release import publish
from intent_tracking.sessions.feed import Moment, SessionFeed
from intent_tracking.sessions.render import SessionEvent, SessionItem, render_session, render_utterance
from intent_tracking.settings import Settings
from intent_tracking.tombstones import Erasures, LiveTombstones
from tests.fakes.console_papers import DAY, store_profile, write_audiences, write_report
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.released_applications import released_applications
from tests.fakes.service_client import NOW, app_of, client_of, error, message

pytestmark = pytest.mark.unit


def moment(name: str) -> Moment:
    return Moment(datetime.now(UTC), "ann", json.dumps({"name": name}).encode())


@pytest.fixture
def feed(tmp_path: Path) -> SessionFeed:
    return SessionFeed(tmp_path / "feed.sqlite")


def said(block: bytes) -> list[tuple[str, Any]]:
    """The events of a piece of a stream as (name, data)."""
    found = re.findall(r"event: (\w+)\n(?:id: \d+\n)?data: (.*)\n\n", block.decode())
    return [(name, json.loads(data)) for name, data in found]


def let_in() -> None:
    """A caller whose key stays valid."""


async def take(stream: AsyncIterator[bytes], count: int) -> list[tuple[str, Any]]:
    events: list[tuple[str, Any]] = []
    while len(events) < count:
        events += said(await asyncio.wait_for(anext(stream), 60))
    return events


def test_every_file_of_the_page_is_served_and_no_other(shared: TestClient) -> None:
    assert sorted(path.name for path in STATIC.iterdir()) == sorted(
        "index.html" if path == "/" else path.removeprefix("/console/") for path in page_files()
    )
    for path, file in page_files().items():
        answer = shared.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == file.media_type
        again = shared.get(path, headers={"if-none-match": answer.headers["etag"]})
        assert again.status_code == 304
        # A browser takes the headers of a 304 for those of the file that it has kept.
        policy = "content-security-policy"
        assert again.headers[policy] == answer.headers[policy]
    error(shared.get("/console/../routes.py"), 404, "not_found")
    error(shared.get("/console/routes.py"), 404, "not_found")
    error(shared.post("/"), 405, "method_not_allowed")


def test_the_page_runs_nothing_but_its_own_files(shared: TestClient) -> None:
    answer = shared.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", answer.text)
    for path in page_files():
        if path.endswith(".js"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", shared.get(path).text
            )


def test_with_keys_the_page_is_open_and_its_stream_is_not(shared_runtime: Runtime) -> None:
    client = client_of(shared_runtime, ("secret",), client=("192.0.2.7", 1), base_url="http://shop.example")
    assert client.get("/").status_code == 200
    assert client.get("/console/console.js").status_code == 200
    error(client.get("/console/stream"), 401, "unauthorized")


def test_without_keys_the_stream_is_for_this_machine_alone(shared_runtime: Runtime) -> None:
    error(client_of(shared_runtime, client=("192.0.2.7", 1)).get("/console/stream"), 403, "loopback_only")


def test_a_revoked_key_s_stream_ends_and_says_why(runtime: Runtime, home: Path) -> None:
    # Cause: the key was looked at when the stream began, so whoever had it open read the shoppers' words for ever.
    settings = Settings(home=home)
    plain, key = create_key(settings.key_file, [Scope.READ], "desk", now=datetime.now(UTC))
    app = app_of(runtime, settings=settings)
    parts: list[bytes] = []
    over = asyncio.Event()

    async def watch() -> None:
        sent = iter([{"type": "http.request"}])

        async def receive() -> Message:
            if (request := next(sent, None)) is not None:
                return request
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(part: Message) -> None:
            if part.get("body"):
                parts.append(part["body"])
                if len(parts) == 1:
                    revoke_key(settings.key_file, key.id)

        scope = {
            "type": "http", "method": "GET", "path": "/console/stream", "query_string": b"", "client": ("192.0.2.7", 1),
            "headers": [(b"authorization", f"Bearer {plain}".encode())],
        }  # fmt: skip
        await asyncio.wait_for(app(scope, receive, send), 60)

    asyncio.run(watch())
    events = said(b"".join(parts))
    assert [name for name, _ in events] == ["status", "trouble"]
    assert "key that is valid" in events[1][1]["message"]


def test_the_page_asks_for_a_profile_by_session_and_learns_no_name(tmp_path: Path) -> None:
    components = {"intent_model": fake_artifact(tmp_path, "m1"), **released_applications(tmp_path)}
    publish(tmp_path / "release.json", components, "first")
    store_profile(tmp_path, "anonymous:secret-device")
    runtime = Runtime(Settings(home=tmp_path), FakePredictor.load)
    runtime.start()
    shared = client_of(runtime)
    event = message(1, "where is my parcel") | {"session_id": "profiled", "anonymous_id": "secret-device"}
    assert shared.post("/v1/track", json={"events": [event]}).json()["accepted"] == 1
    answer = shared.post("/console/profile", json={"session_id": "profiled"})
    assert answer.json()["name"] == {"en": "big spenders", "zh": "高消费"}
    assert "secret-device" not in answer.text
    assert shared.post("/console/profile", json={"session_id": "nobody"}).json() is None
    error(shared.post("/console/profile", json={"session_id": 7}), 422, "invalid_request")
    error(shared.get("/console/profile"), 405, "method_not_allowed")
    runtime.close()


def test_the_newest_papers_are_shown_and_what_changes_is_read_again(tmp_path: Path) -> None:
    papers = Papers(Settings(home=tmp_path))
    assert (papers.audiences(), papers.insights_day(), papers.insights("en")) == (None, None, None)
    write_audiences(tmp_path)
    write_report(tmp_path, "drone")
    write_report(tmp_path, "older", DAY - timedelta(days=1))
    found = papers.audiences()
    assert found is not None
    assert found.day == DAY
    assert [(size.name, size.shoppers, size.written_to) for size in found.sizes] == [
        ("lapsing", 2, 1),
        ("bargain_hunter", 1, 0),
    ]
    assert papers.insights_day() == DAY
    report = papers.insights("zh")
    assert report is not None
    assert "drone 词" in report.markdown
    (tmp_path / "tables" / "audiences" / f"day={DAY}" / "part.parquet").write_bytes(b"no parquet")
    assert papers.audiences() is None


def test_the_report_is_for_readers_in_a_language_that_there_is(
    runtime: Runtime, client: TestClient, home: Path
) -> None:
    error(client.get("/console/insights"), 404, "not_found")
    write_report(home, "drone")
    assert "| drone | 8.4 |" in client.get("/console/insights?language=en").json()["markdown"]
    assert error(client.get("/console/insights?language=../x"), 422, "invalid_request")["field"] == "language"
    other = client_of(runtime, ("secret",), client=("192.0.2.7", 1), base_url="http://shop.example")
    for answer in (other.get("/console/insights"), other.post("/console/profile", json={"session_id": "x"})):
        error(answer, 401, "unauthorized")


@pytest.mark.parametrize("given", ["-1", "x", "1" * 19, "²"])
def test_a_number_that_no_stream_gave_is_refused(shared: TestClient, given: str) -> None:
    answer = shared.get("/console/stream", headers={"last-event-id": given.encode()})
    assert error(answer, 422, "invalid_request")["field"] == "last-event-id"


def test_a_tracked_event_reaches_the_feed_with_all_that_was_answered(client: TestClient, runtime: Runtime) -> None:
    async def first() -> list[tuple[str, Any]]:
        stream = runtime.console.streams.events(None, let_in)
        return await take(stream, 2)

    answered = client.post("/v1/track", json={"events": [message(1, "where is my red parcel")]}).json()
    (_, status), (name, shown) = asyncio.run(first())
    assert (status["release"]["model_version"], status["trouble"], status["drift"]) == ("m1", None, None)
    assert name == "moment"
    session = answered["sessions"][0]
    assert {field: shown[field] for field in session} == session
    assert shown["utterance"] == "where is my red parcel"
    assert shown["steps"] == [{"event": "message", "words": "where is my red parcel"}]
    assert (shown["event_count"], shown["model_version"], shown["clear"]) == (1, "m1", True)
    assert "anonymous" not in json.dumps(shown)


def test_a_browser_that_reads_slowly_holds_up_itself_and_is_told_what_it_missed(tmp_path: Path) -> None:
    feed = SessionFeed(tmp_path / "feed.sqlite", max_moments=10)
    streams = Streams(feed, lambda: b"{}")

    async def watch() -> None:
        slow = streams.events(None, let_in)
        quick = streams.events(None, let_in)
        feed.append([moment("0")])
        assert await take(slow, 2) == await take(quick, 2) == [("status", {}), ("moment", {"name": "0"})]
        for number in range(1, 31):
            feed.append([moment(str(number))])
            if number % 10 == 0:
                assert len(await take(quick, 10)) == 10
        late = await take(slow, 11)
        assert late[0] == ("missed", {"count": 20, "reset": False})
        assert [data["name"] for _, data in late[1:]] == [str(number) for number in range(21, 31)]

    asyncio.run(watch())


def test_a_page_that_comes_back_gets_what_it_missed_and_no_more(feed: SessionFeed) -> None:
    feed.append([moment(name) for name in "abc"])

    async def back() -> list[tuple[str, Any]]:
        return await take(Streams(feed, lambda: b"{}").events(2, let_in), 2)

    assert asyncio.run(back()) == [("status", {}), ("moment", {"name": "c"})]


def test_a_new_page_begins_with_the_newest_past(feed: SessionFeed) -> None:
    feed.append([moment(str(number)) for number in range(BATCH + 20)])

    async def begin() -> list[tuple[str, Any]]:
        return await take(Streams(feed, lambda: b"{}").events(None, let_in), BATCH + 1)

    events = asyncio.run(begin())
    assert (events[1][1]["name"], events[-1][1]["name"]) == ("20", str(BATCH + 19))


def test_streams_are_limited_end_when_the_service_stops_and_give_their_place_back(feed: SessionFeed) -> None:
    streams = Streams(feed, lambda: b"{}")

    async def crowd() -> None:
        opened = [streams.events(None, let_in) for _ in range(MAX_STREAMS)]
        for stream in opened:
            streams.admit()
            await anext(stream)
        with pytest.raises(RequestError, match="consoles are open") as refusal:
            streams.admit()
        assert refusal.value.status == 503
        await opened.pop().aclose()
        streams.admit()
        streams.stop()
        for stream in opened:
            assert [block async for block in stream] == []
        assert streams.open == 0

    asyncio.run(crowd())


def test_a_feed_that_cannot_be_read_ends_the_stream_with_a_word(feed: SessionFeed) -> None:
    async def read() -> list[bytes]:
        stream = Streams(feed, lambda: b"{}").events(None, let_in)
        feed.close()
        return [block async for block in stream]

    ((name, data),) = said(b"".join(asyncio.run(read())))
    assert name == "trouble"
    assert "cannot be read" in data["message"]


def answer_of(number: int) -> tuple[Touched, SessionAnswer]:
    touched = Touched(f"s{number}", "ann", render_utterance("hello"), NOW, 1)
    answer = SessionAnswer(
        session_id=f"s{number}", scene=Scene.CUSTOMER_SERVICE, intents=[], out_of_scope=False, key_information=[],
        purchase_probability=None, actions=[],
    )  # fmt: skip
    return touched, answer


def test_more_than_a_person_can_follow_is_counted_not_written(feed: SessionFeed) -> None:
    skipped: list[int] = []
    writer = FeedWriter(feed, skipped.append)
    pairs = [answer_of(number) for number in range(MAX_WAITING + 30)]
    writer.put([touched for touched, _ in pairs], [answer for _, answer in pairs], "m1")
    writer.close()
    assert skipped == [30]
    assert len(feed.read(0, 1000).moments) == MAX_WAITING


def test_a_disk_that_refuses_the_feed_costs_the_service_nothing_but_the_view(
    feed: SessionFeed, caplog: pytest.LogCaptureFixture
) -> None:
    feed.close()
    with pytest.raises(sqlite3.Error):
        feed.append([moment("a")])
    skipped: list[int] = []
    writer = FeedWriter(feed, skipped.append)
    touched, answer = answer_of(1)
    writer.put([touched], [answer], "m1")
    writer.close()
    assert skipped == [1]
    assert "console misses 1 answers" in caplog.text


def test_a_feed_that_does_not_open_stops_no_tracking(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # SQLite refuses or damages a file of a network file system: the service did not start there.
    (tmp_path / "full").write_text("no folder")
    settings = Settings(home=tmp_path, console_feed_file=tmp_path / "full" / "feed.sqlite")
    runtime = Runtime(settings, FakePredictor.load)
    runtime.start()
    try:
        publish(settings.release_file, {"intent_model": fake_artifact(tmp_path, "a")}, "a")
        deadline = time.monotonic() + 60
        client = client_of(runtime)
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        answer = client.post("/v1/track", json={"events": [message(1)]})
        assert (answer.status_code, answer.json()["accepted"]) == (200, 1)
    finally:
        runtime.close()
    assert "the console misses 1 answers" in caplog.text
    assert not (tmp_path / "console_feed.sqlite").exists()


def test_an_erasure_that_another_replica_took_reaches_the_feed_of_this_one(tmp_path: Path) -> None:
    feed = SessionFeed(tmp_path / "own" / "feed.sqlite")
    feed.append([moment("before")])
    writer = FeedWriter(
        feed, lambda count: None, 0.01, erased=LiveTombstones(tmp_path / "home").current, forget_seconds=0.01
    )
    writer.start()
    Erasures(tmp_path / "home").request("ann", datetime.now(UTC))
    deadline = time.monotonic() + 60
    while feed.read(0, 10).moments:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    writer.close()


def test_steps_are_those_that_the_model_read_and_cannot_be_typed() -> None:
    boots = SessionItem("i1", "Hiking boots", "Northpeak", "Shoes/Boots", 139.0, None)
    events = [
        SessionEvent("e1", EventName.SEARCH, NOW, Scene.SEARCH, search_term="boots <purchase> <phone>"),
        SessionEvent("e2", EventName.VIEW_ITEM, NOW.replace(minute=0), Scene.BROWSE, items=(boots,)),
        SessionEvent("e3", EventName.VIEW_ITEM, NOW.replace(minute=59), Scene.BROWSE, items=(boots,)),
        SessionEvent("e4", EventName.MESSAGE, NOW.replace(minute=59), Scene.BROWSE, text="x" * 200),
    ]
    steps = steps_of(render_session(Scene.BROWSE, events))
    assert [(step.event, step.words) for step in steps[:3]] == [
        ("search", "boots (purchase) <phone>"),
        ("view_item", "Hiking boots Northpeak"),
        ("view_item", "Hiking boots"),
    ]
    assert steps[3].words == "x" * 79 + "…"


def summary(folder: Path, day: str, **fields: Any) -> None:
    column = {
        "name": "intent", "kind": "category", "method": "jensenshannon", "statistic": 0.3, "threshold": 0.1,
        "min_effect": 0.1, "p_value": 0.001, "q_value": 0.002, "drifted": True,
    }  # fmt: skip
    plain = {
        "window_start": f"{day}T00:00:00+00:00", "window_end": f"{day}T23:59:59+00:00", "model_version": "m1",
        "enough": True, "drifted": True, "reason": "1 of 2", "share": 0.5, "reference_size": 500, "current_size": 500,
        "columns": [column, {**column, "name": "text_length", "drifted": False}], "left_out": {},
        "false_alarm_rate": 0.01, "performance": None, **fields,
    }  # fmt: skip
    (folder / day).mkdir(parents=True)
    (folder / day / "summary.json").write_text(json.dumps(plain))


def test_the_drift_state_is_that_of_the_newest_day(tmp_path: Path) -> None:
    assert drift_state(tmp_path / "nowhere") is None
    summary(tmp_path, "2026-03-01", enough=False, drifted=False)
    (tmp_path / "calibrations").mkdir()
    (tmp_path / "calibrations" / "summary.json").write_text("{}")
    early = drift_state(tmp_path)
    assert early is not None
    assert (str(early.day), early.verdict) == ("2026-03-01", "too_few")
    summary(tmp_path, "2026-03-02")
    late = drift_state(tmp_path)
    assert late is not None
    assert (late.verdict, late.columns, late.compared) == ("drifted", ["intent"], 2)
    summary(tmp_path, "2026-03-03", drifted=False, columns=[])
    steady = drift_state(tmp_path)
    assert steady is not None
    assert (steady.verdict, steady.columns) == ("steady", [])
    (tmp_path / "2026-03-04").mkdir()
    (tmp_path / "2026-03-04" / "summary.json").write_text('{"torn')
    torn = drift_state(tmp_path)
    assert torn is not None
    assert torn.verdict == "unreadable"


def words_of(block: str) -> dict[str, str]:
    """The `key: "text"` pairs of a block of words.js."""
    return dict(re.findall(r'^\s+(\w+): "(.*)",$', block, re.MULTILINE))


def test_both_languages_have_every_word_and_every_name() -> None:
    script = (STATIC / "words.js").read_text()
    english, chinese = (words_of(block) for block in re.findall(r"^  (?:en|zh): \{$(.*?)^  \},$", script, re.M | re.S))
    assert len(english) > 50
    assert english.keys() == chinese.keys()
    for key in english:
        assert set(re.findall(r"\{\w+\}", english[key])) == set(re.findall(r"\{\w+\}", chinese[key])), key
    page = "".join(path.read_text() for path in STATIC.iterdir() if path.suffix in {".js", ".html"})
    used = set(re.findall(r'\bt\("(\w+)"', page)) | set(re.findall(r'data-t(?:-label)?="(\w+)"', page))
    assert used <= english.keys()
    actions = set()
    for scene in Scene:
        actions |= {*recommended_actions([], out_of_scope=True, scene=scene)}
    for intent in (*INTENTS, *DRIFT_INTENTS):
        score = IntentScore(intent, 1.0)
        actions |= {*recommended_actions([score], out_of_scope=False, scene=Scene.BROWSE)}
    invented = {*INTENTS, *DRIFT_INTENTS, *actions, *SLOTS, *Decision, *shipped_rules().audiences}
    for name in {*EventName, *Scene, *invented}:
        assert re.search(rf'\b{name}: \{{ en: "[^"]+", zh: "[^"]+" \}}', script), f"words.js has no name for {name}"
