"""The tracker beside others and after crashes: an event is in the log once, whoever sends it again and to whom."""

from __future__ import annotations

import json
import random
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bentos.intent_service.metrics import Metrics
from bentos.intent_service.runtime import Runtime
from bentos.intent_service.tracking import CLAIM_SECONDS, Call, StillHeldError, Tracker
from intent_tracking.events.contract import Event, Item, Params
from intent_tracking.events.scrubbing import FREE_TEXT_FIELDS, scrub_record, scrubbed_line
from intent_tracking.events.segment_log import SegmentLog, read_log
from intent_tracking.sessions.sqlite_state import SqliteSessionStore
from intent_tracking.settings import Settings
from tests.fakes.service_client import client_of, error, message
from tests.fakes.session_events import event

pytestmark = pytest.mark.unit


def logged(home: Path) -> list[str]:
    return [json.loads(line.data)["event_id"] for line in read_log(home / "event_log") if b"event_id" in line.data]


def track(tracker: Tracker, *numbers: int) -> tuple[int, int]:
    tracked = tracker.track([message(number) for number in numbers], datetime.now(UTC))
    assert len(tracked.touched) == 1
    return tracked.accepted, tracked.duplicates


@pytest.mark.parametrize("in_log", [True, False])
@pytest.mark.parametrize("died", [True, False])
def test_a_repeat_of_what_a_crash_interrupted_enters_the_log_once(tmp_path: Path, in_log: bool, died: bool) -> None:
    # Cause: between the log and the session state a crash left an event in the log that no session knew, and its repeat
    # was logged a second time. `died` is another process; the other case is this one, after its store had failed.
    settings = Settings(home=tmp_path)
    tracker = Tracker(settings, Metrics())
    track(tracker, 1)
    log = SegmentLog(settings.event_log) if died else tracker._log
    store = SqliteSessionStore(settings.session_state)
    store.claim(["e2", "e3"], log.mark())
    if in_log:
        log.append([b"not of ours", b"[2]", *(json.dumps(message(number)).encode() for number in (2, 3))])
    if died:
        log.close()
    expected = (1, 2) if in_log else (3, 0)
    assert track(tracker, 2, 3, 4) == expected
    assert sorted(logged(tmp_path)) == ["e1", "e2", "e3", "e4"]
    assert track(tracker, 2, 3, 4) == (0, 3)
    tracker.close()
    store.close()


def test_a_repeat_waits_for_the_process_that_takes_it_in(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    tracker, log, store = (
        Tracker(settings, Metrics()),
        SegmentLog(settings.event_log),
        SqliteSessionStore(settings.session_state),
    )
    store.claim(["e1"], log.mark())
    answers: list[tuple[int, int]] = []
    waited: list[float] = []

    def send() -> None:
        # Where the machine is busy, it is held for longer than a call waits: it is sent again.
        while not answers:
            begin = time.monotonic()
            try:
                answers.append(track(tracker, 1))
            except StillHeldError:
                waited.append(time.monotonic() - begin)

    waiting = threading.Thread(target=send, daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert waiting.is_alive()
    log.append([json.dumps(message(1)).encode()])
    store.append([Event.model_validate(message(1) | {"scene": "customer_service", "received_time": datetime.now(UTC)})])
    waiting.join(60)
    assert answers == [(0, 1)]
    assert all(seconds >= CLAIM_SECONDS for seconds in waited)
    assert logged(tmp_path) == ["e1"]
    for each in (tracker, log, store):
        each.close()


def test_a_repeat_of_what_another_process_holds_is_soon_sent_away_and_others_are_not(
    home: Path, runtime: Runtime
) -> None:
    # Cause: it waited for five seconds, longer than what sheds load, and the answer was that the disk refuses.
    settings = Settings(home=home)
    log, store = SegmentLog(settings.event_log), SqliteSessionStore(settings.session_state)
    store.claim(["e1"], log.mark())
    client = client_of(runtime)
    took = []
    for _ in range(3):  # the soonest of three: a busy machine adds to each
        begin = time.monotonic()
        held = client.post("/v1/track", json={"events": [message(1)]})
        took.append(time.monotonic() - begin)
    assert min(took) < 4.5
    assert settings.max_wait_seconds > CLAIM_SECONDS
    assert "another process" in error(held, 503, "storage")["message"]
    assert held.headers["retry-after"] == "5"
    assert client.post("/v1/track", json={"events": [message(2)]}).json()["accepted"] == 1
    log.close()
    assert client.post("/v1/track", json={"events": [message(1)]}).json()["accepted"] == 1
    assert logged(home) == ["e2", "e1"]
    store.close()


def test_trackers_that_get_the_same_events_at_once_log_each_once(tmp_path: Path) -> None:
    # Cause: each process looked for itself whether an event was known, and both logged it.
    trackers = [Tracker(Settings(home=tmp_path), Metrics()) for _ in range(3)]
    accepted: list[int] = []

    def send(tracker: Tracker, begin: int) -> None:
        for number in range(begin, begin + 40):
            sent = False
            while not sent:
                # Where the machine is busy, another holds an event for longer than a call waits: it is sent again.
                with suppress(StillHeldError):
                    accepted.append(track(tracker, number % 40, (number + 1) % 40)[0])
                    sent = True

    senders = [
        threading.Thread(target=send, args=(tracker, begin)) for begin, tracker in enumerate(trackers) for _ in range(2)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    for tracker in trackers:
        tracker.close()
    assert sum(accepted) == 40
    assert sorted(logged(tmp_path)) == sorted(f"e{number}" for number in range(40))


def test_batches_of_many_sessions_in_any_order_with_repeats_make_the_sessions_of_the_order_of_events(
    tmp_path: Path,
) -> None:
    draw = random.Random(3)
    shoppers = [f"shopper-{number}" for number in range(6)]
    documents = [
        message(60 * number + minute, minutes=minute) | {"user_id": shopper}
        for number, shopper in enumerate(shoppers)
        for minute in range(0, 60, 5)
    ]
    arriving = documents + draw.choices(documents, k=40)
    # Not further out of order than a session is long: an event far from all of its session would begin another.
    draw.shuffle(arriving)
    arriving.sort(key=lambda document: draw.gauss(int(document["event_id"][1:]) % 60, 6))
    tracker = Tracker(Settings(home=tmp_path), Metrics())
    accepted = duplicates = 0
    for begin in range(0, len(arriving), 9):
        tracked = tracker.track(arriving[begin : begin + 9], datetime.now(UTC))
        accepted, duplicates = accepted + tracked.accepted, duplicates + tracked.duplicates
    tracker.close()
    assert (accepted, duplicates) == (len(documents), 40)
    assert sorted(logged(tmp_path)) == sorted(document["event_id"] for document in documents)
    store = SqliteSessionStore(tmp_path / "session_state.sqlite")
    for number, shopper in enumerate(shoppers):
        session = store.latest(shopper)
        assert session is not None
        assert [each.event_id for each in session.events] == [f"e{60 * number + minute}" for minute in range(0, 60, 5)]
    assert store.size() == len(shoppers)
    store.close()


def test_of_the_contract_s_own_fields_two_are_free_text() -> None:
    # `scrubbed_line` stands on it: a third one would reach the log as it was typed.
    fields = {*Event.model_fields, *Params.model_fields, *Item.model_fields}
    assert fields & FREE_TEXT_FIELDS == {"text", "search_term"}


@pytest.mark.parametrize(
    "params",
    [
        {"text": "call 13812345678"},
        {"text": "hello", "custom": {"phone": "13812345678", "size": 4}},
        {"text": "nothing", "search_term": "me@example.com"},
        {"text": "红色连衣裙"},
    ],
)
def test_a_line_of_the_log_is_what_ingestion_would_keep_of_the_event(params: dict[str, Any]) -> None:
    one = event("message").model_copy(update={"params": Params(**params)})
    raw, _ = scrub_record(one.model_dump_json(exclude_none=True))
    assert json.loads(scrubbed_line(one)) == json.loads(raw)
    assert b"13812345678" not in scrubbed_line(one)
    assert b"me@example" not in scrubbed_line(one)


def test_calls_taken_in_together_are_answered_as_if_alone(tmp_path: Path) -> None:
    together, alone = (Tracker(Settings(home=tmp_path / name), Metrics()) for name in ("together", "alone"))
    now = datetime.now(UTC)
    calls = [
        Call([message(1), message(2, shopper="v2"), message(2, shopper="v2")], now),
        Call([message(2, shopper="v2"), message(3), {"event_name": "message"}], now),
        Call([], now),
    ]
    answers = together.track_all(calls)
    one_by_one = [alone.track(call.documents, now) for call in calls]
    counts = [(each.accepted, each.duplicates, each.rejected) for each in answers]
    assert counts == [(each.accepted, each.duplicates, each.rejected) for each in one_by_one]
    assert [(each.accepted, each.duplicates) for each in answers] == [(2, 1), (1, 1), (0, 0)]
    sessions = [[session.session_id for session in each.touched] for each in answers]
    assert sessions == [[session.session_id for session in each.touched] for each in one_by_one]
    # All of them see the session with the events of all.
    assert [session.event_count for session in answers[0].touched] == [2, 1]
    assert logged(tmp_path / "together") == ["e1", "e2", "e3"]
    for tracker in (together, alone):
        tracker.close()
