"""One text for a session: the same from storage and live, blind to the future, and not to be forged."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.events.contract import Event, Scene, SourcePosition, event_to_row, events_to_table
from intent_tracking.sessions.render import (
    MAX_EVENTS,
    SessionEvent,
    free_text,
    free_text_with_offsets,
    render_session,
    render_utterance,
)
from intent_tracking.sessions.sessionise import sessionise
from intent_tracking.sessions.vocabulary import PLACEHOLDER_TOKENS, SPECIAL_TOKENS
from tests.fakes.session_events import ITEMS, NOON, event, event_lists

pytestmark = pytest.mark.unit

TOKEN = re.compile("|".join(map(re.escape, sorted(SPECIAL_TOKENS, key=len, reverse=True))), re.IGNORECASE)
HOSTILE = st.lists(
    st.one_of(
        st.sampled_from([*SPECIAL_TOKENS, "<", ">", "\u200b", "＜", "＞", "<Purchase>", " "]), st.text(max_size=4)
    ),
    max_size=8,
).map("".join)


def live(*events: Event) -> list[SessionEvent]:
    return [SessionEvent.from_event(each) for each in events]


def test_a_session_reads_oldest_to_newest() -> None:
    rendered = render_session(
        Scene.CUSTOMER_SERVICE,
        live(
            event("search", NOON, text="red dress"),
            event("view_search_results", NOON + timedelta(seconds=2), items=ITEMS[:2]),
            event("view_item", NOON + timedelta(seconds=40), items=ITEMS[:1]),
            event("message", NOON + timedelta(minutes=6), text="is it  available in 42?"),
        ),
    )
    assert rendered.text == (
        "<scene:customer_service> <search> red dress <view_search_results> Red Dress Mango Dresses <price:30-100> "
        "Blue Dress Mango Dresses <price:100-300> <gap:1m> <view_item> <again> Red Dress <gap:30m> "
        "<message> is it available in 42?"
    )
    assert rendered.text[rendered.utterance_start : rendered.utterance_end] == "is it available in 42?"
    assert (rendered.scene, rendered.language) == (Scene.CUSTOMER_SERVICE, "en")


def test_a_lone_message_is_a_session_of_one_event() -> None:
    message = event("message", text="我的订单在哪里")
    alone = render_utterance("我的订单在哪里", Scene.CUSTOMER_SERVICE)
    assert alone == render_session(Scene.CUSTOMER_SERVICE, live(message))
    assert alone.text == "<scene:customer_service> <message> 我的订单在哪里"
    assert alone.language == "zh"
    search = event("search", text="red dress")
    assert render_utterance("red dress", Scene.SEARCH) == render_session(Scene.SEARCH, live(search))


def test_nothing_to_read_is_said_plainly() -> None:
    assert render_session(Scene.BROWSE, []).text == "<scene:browse>"
    empty = render_utterance(" \u200b ", Scene.SEARCH)
    assert (empty.text, empty.utterance_start, empty.utterance_end) == ("<scene:search> <search>", 0, 0)


def test_a_results_page_does_not_repeat_the_search() -> None:
    search = SessionEvent.from_event(event("search", text="red dress"))
    results = SessionEvent("r", search.event_name, search.event_time, Scene.SEARCH, search_term="red dress")
    rendered = render_session(Scene.SEARCH, [search, results])
    assert rendered.text == "<scene:search> <search> red dress <search>"
    assert rendered.text[rendered.utterance_start : rendered.utterance_end] == "red dress"


@settings(max_examples=25)
@given(event_lists())
def test_a_stored_session_reads_as_its_live_events_do(events: list[Event]) -> None:
    by_id = {each.event_id: each for each in events}
    stored = sessionise(events_to_table((each, SourcePosition()) for each in events), NOON.date()).to_pylist()
    assert sum(row["event_count"] for row in stored) == len(events)
    for row in stored:
        rows = [SessionEvent.from_row(each) for each in row["events"]]
        scene = rows[-1].scene
        arrived = [SessionEvent.from_event(by_id[each["event_id"]]) for each in row["events"]]
        assert render_session(scene, rows) == render_session(scene, arrived)


@given(event_lists())
def test_a_row_of_events_reads_as_the_event(events: list[Event]) -> None:
    assert [SessionEvent.from_row(event_to_row(each)) for each in events] == live(*events)


@given(event_lists(), st.data())
def test_the_future_leaves_no_trace(events: list[Event], data: st.DataObject) -> None:
    ordered = live(*sorted(events, key=lambda each: each.event_time))
    cut = data.draw(st.integers(0, len(ordered)))
    seen = render_session(Scene.BROWSE, ordered[:cut])
    later = render_session(Scene.BROWSE, ordered)
    assert later.text.startswith(seen.text)
    unseen = render_session(Scene.BROWSE, ordered[:cut] + live(event("message", text="zebra"))[:0])
    assert unseen == seen
    assert 0 <= seen.utterance_start <= seen.utterance_end <= len(seen.text)


def test_only_the_newest_events_are_read() -> None:
    events = live(*(event("search", NOON + timedelta(seconds=n), text=f"term{n}") for n in range(60)))
    assert render_session(Scene.SEARCH, events) == render_session(Scene.SEARCH, events[-MAX_EVENTS:])
    assert render_session(Scene.SEARCH, events, max_events=2).text == "<scene:search> <search> term58 <search> term59"
    assert render_session(Scene.SEARCH, events, max_events=0).text == "<scene:search>"


@given(HOSTILE)
def test_nobody_can_type_an_event(text: str) -> None:
    typed = free_text(text)
    assert [token for token in TOKEN.findall(typed) if token not in PLACEHOLDER_TOKENS] == []
    assert TOKEN.findall(render_utterance(text, Scene.MARKETING).text)[:2] == ["<scene:marketing>", "<message>"]


@given(HOSTILE.filter(lambda text: text.strip()))
def test_nobody_can_name_a_product_after_an_event(name: str) -> None:
    bare = SessionEvent.from_event(event("view_item"))
    item = type(bare.items[0])(None, name, name, name, None, None)
    hostile = SessionEvent(bare.event_id, bare.event_name, bare.event_time, bare.scene, items=(item,))
    tokens = TOKEN.findall(render_session(Scene.BROWSE, [hostile]).text)
    assert [token for token in tokens if token not in PLACEHOLDER_TOKENS] == ["<scene:browse>", "<view_item>"]


@given(HOSTILE)
def test_free_text_is_prepared_once_and_for_all(text: str) -> None:
    assert free_text(free_text(text)) == free_text(text)
    assert free_text_with_offsets(text).text == free_text(text)


def test_a_text_over_the_limit_stays_stable_and_free_of_personal_data() -> None:
    # Cut in the middle, the number would be a valid card; a national insurance number is shorter than its placeholder.
    text = "退" * 981 + "4111111111111111999" + "货" * 1500
    assert "退<card> ... 货" in free_text(text)
    crowded = "AB123456C " * 300
    assert free_text(free_text(crowded)) == free_text(crowded) == free_text_with_offsets(crowded).text


def test_the_request_at_the_end_of_a_long_letter_is_read() -> None:
    # Cause: cleaning kept the first 2,000 characters, so that the reading of both ends never saw the end.
    letter = "My order SO00479 " + "and so on, call １３８１２３４５６７８ " * 150 + "please refund  order SO00881"
    read = free_text_with_offsets(letter)
    assert read.text == free_text(letter) == free_text(read.text)
    assert read.text.startswith("My order SO00479 ")
    assert read.text.endswith("please refund order SO00881")
    assert "138" not in read.text
    for number in ("SO00479", "SO00881"):
        start = letter.index(number)
        new_start, new_end = read.map_span(start, start + len(number))
        assert read.text[new_start:new_end] == number
        assert read.map_span.inverted()(new_start, new_end) == (start, start + len(number))
    entry = render_utterance(letter)
    assert entry.text[entry.utterance_start : entry.utterance_end] == read.text


def test_a_span_of_the_reading_leads_back_to_what_was_typed() -> None:
    typed = "call １３８１２３４５６７８ about  the red dress"
    prepared = free_text_with_offsets(typed)
    start = prepared.text.index("red dress")
    assert typed[slice(*prepared.map_span.inverted()(start, start + 9))] == "red dress"
    assert prepared.text[slice(*prepared.map_span(5, 16))] == "<phone>"


@pytest.mark.parametrize("place", range(900, 1100, 3))
def test_a_cut_through_a_letter_leaves_no_half_of_a_number(place: int) -> None:
    letter = "我" * place + "13812345678" + "想" * 3000 + "13812345678" + "要" * place
    read = free_text_with_offsets(letter)
    assert read.text == free_text(letter)
    assert not any(character.isdigit() for character in read.text)
