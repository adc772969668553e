"""The texts that the model is trained on: cut, labelled, without personal data, robots counted once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from intent_tracking.events.contract import Event, SourcePosition, events_to_table
from intent_tracking.sessions.cutoff import observation_cutoff
from intent_tracking.sessions.sessionise import sessionise
from intent_tracking.sessions.texts import SESSION_TEXT_SCHEMA, session_texts
from intent_tracking.tables import DayTable
from tests.fakes.session_events import NOON, event
from tests.fakes.word_splitter import WordSplitter

pytestmark = pytest.mark.unit
ANALYSERS = {"en": WordSplitter(), "zh": WordSplitter()}


def stored(events: Sequence[Event]) -> pa.Table:
    return sessionise(events_to_table((each, SourcePosition()) for each in events), NOON.date())


def shop(shoppers: int = 30) -> pa.Table:
    events = []
    for number in range(shoppers):
        user = f"u{number}"
        for step, name in enumerate(["search", "view_item", "add_to_cart", "purchase", "message", "message"]):
            at = NOON + timedelta(minutes=2 * step, seconds=number)
            events.append(event(name, at, user=user, text=f"{user} asks {name} {step}, call 13812345678"))
    return stored(events)


def test_nothing_after_the_cut_is_in_the_text_and_its_label_is() -> None:
    sessions = shop()
    rows = [row for row in session_texts(sessions, ANALYSERS).to_pylist() if row["kind"] == "session"]
    assert len(rows) == 30
    for row, session in zip(rows, sessions.to_pylist(), strict=True):
        cut = observation_cutoff(session)
        assert row["visible_events"] == cut
        assert row["cutoff_time"] == session["events"][cut - 1]["event_time"]
        assert "<purchase>" not in row["text"]
        assert row["outcome"] is True
        assert ("<add_to_cart>" in row["text"]) == (cut == 3) == (row["behaviour_intent"] == "purchase")
        assert row["scene"] == session["events"][cut - 1]["scene"]


def test_before_a_login_the_visitor_is_the_shopper() -> None:
    """The service knows no user at the cut: with a user's features an example would tell of the login to come."""
    events = []
    for number in range(30):
        names = ["message", "add_to_cart", "view_cart", "begin_checkout", "purchase"]
        for step, (name, user) in enumerate(zip(names, [None, None, None, "u", "u"], strict=True)):
            at = NOON + timedelta(minutes=step)
            whose = f"{user}{number}" if user else None
            events.append(event(name, at, user=whose, device=f"phone-{number}", session_id=f"web-{number}"))
    rows = session_texts(stored(events), ANALYSERS).to_pylist()
    assert len(rows) == 60
    for row in rows:
        number = row["session_id"].removeprefix("web-")
        before = row["kind"] == "message" or row["visible_events"] < 4
        assert row["shopper_id"] == (f"anonymous:phone-{number}" if before else f"u{number}")
        assert row["outcome"] is (True if row["kind"] == "session" else None)
    assert {row["visible_events"] for row in rows if row["kind"] == "session"} == {1, 2, 3, 4}


def test_each_message_stands_alone_with_its_event() -> None:
    rows = [row for row in session_texts(shop(2), ANALYSERS).to_pylist() if row["kind"] == "message"]
    assert len(rows) == 4
    for row in rows:
        assert row["event_id"].split("-")[0] in row["text"]
        assert row["text"].startswith("<scene:customer_service> <message> u")
        assert (row["behaviour_intent"], row["outcome"]) == (None, None)


def test_personal_data_is_gone_and_counted() -> None:
    rows = session_texts(shop(3), ANALYSERS).to_pylist()
    assert not any("13812345678" in row["text"] for row in rows)
    for row in rows:
        assert json.loads(row["personal_data"]) == {"phone": row["text"].count("<phone>")}


def test_a_robot_that_repeats_itself_is_kept_once_and_counted() -> None:
    events = [event("search", NOON + timedelta(minutes=40 * n), text="cheap") for n in range(5)]
    events.append(event("search", NOON, user="bob", text="cheap"))
    rows = session_texts(stored(events), ANALYSERS).to_pylist()
    assert {row["shopper_id"]: row["copies"] for row in rows} == {"ann": 5, "bob": 1}


def test_a_session_that_begins_with_its_outcome_shows_nothing() -> None:
    assert (
        session_texts(stored([event("purchase"), event("view_item", NOON + timedelta(minutes=1))]), ANALYSERS).num_rows
        == 0
    )


def test_the_same_sessions_give_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("once", "again"):
        store = DayTable(tmp_path, name, SESSION_TEXT_SCHEMA)
        store.write(NOON.date(), session_texts(shop(), ANALYSERS))
        written.append(store.path(NOON.date()).read_bytes())
    assert written[0] == written[1]


def test_each_row_carries_the_words_and_tree_of_its_utterance() -> None:
    rows = session_texts(shop(2), ANALYSERS).to_pylist()
    assert rows
    for row in rows:
        utterance = row["text"][row["utterance_start"] : row["utterance_end"]]
        assert row["tokens"] == utterance.split()
        assert row["heads"] == list(range(-1, len(row["tokens"]) - 1))
        assert len(row["tags"]) == len(row["relations"]) == len(row["tokens"])


def test_a_session_without_words_has_no_tokens() -> None:
    rows = session_texts(stored([event("view_item"), event("view_item", NOON + timedelta(minutes=1))]), ANALYSERS)
    assert [(row["tokens"], row["heads"]) for row in rows.to_pylist()] == [([], [])]


def test_an_utterance_is_analysed_once() -> None:
    splitter = WordSplitter()
    events = [event("message", NOON + timedelta(minutes=n), user=f"u{n}", text="where is it") for n in range(4)]
    rows = session_texts(stored(events), {"en": splitter, "zh": WordSplitter()}).to_pylist()
    assert len(rows) == 8
    assert splitter.seen == ["where is it"]
