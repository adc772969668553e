"""Sequences of valid events of few shoppers, for tests of sessions: close in time, so that gaps and ties occur."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from intent_tracking.events.contract import REQUIRED_PARAM, SCENE_OF_EVENT, Event, EventName, Item, Params

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TEXTS = ("red dress", "红色连衣裙", "call 13812345678", "  size\u200b 42 ", "<purchase> now", "<phone>", "hi")
ITEMS = (
    Item(
        item_id="d1", item_name="Red Dress", item_brand="Mango", item_category="Women/Dresses", price=49.9, quantity=1
    ),
    Item(item_id="d2", item_name="Blue Dress", item_brand="Mango", item_category="Women/Dresses", price=250.0),
    Item(item_id="s1", item_name="跑鞋", item_category="Shoes", price=9.0),
    Item(item_id="x9"),
)


def event(
    name: EventName | str,
    at: datetime = NOON,
    *,
    event_id: str | None = None,
    user: str | None = "ann",
    device: str | None = None,
    session_id: str | None = None,
    text: str | None = None,
    items: tuple[Item, ...] | None = None,
    language: str | None = None,
) -> Event:
    """One event; what the contract asks of `name` is filled in."""
    name = EventName(name)
    wants_text = REQUIRED_PARAM.get(name)
    speaks = wants_text in ("text", "search_term")
    params: dict[str, Any] = {"items": items or (() if speaks else ITEMS[:1])}
    if wants_text is not None:
        params[wants_text] = (text or "red dress") if speaks else "T-1"
    return Event(
        event_id=event_id or f"{user or device}-{name}-{at.isoformat()}",
        event_name=name,
        event_time=at,
        received_time=at,
        user_id=user,
        anonymous_id=device,
        session_id=session_id,
        source="test",
        scene=SCENE_OF_EVENT[name],
        params=Params(**params, language=language),
    )


@st.composite
def event_lists(draw: st.DrawFn, *, most: int = 14, span: timedelta = timedelta(hours=3)) -> list[Event]:
    """Up to `most` events with unique ids within `span` of noon, in any order."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from(list(EventName)),
                st.one_of(
                    st.sampled_from([0, 9, 10, 60, 61, 300, 1799, 1800, 1801, 3600]),
                    st.integers(0, int(span.total_seconds())),
                ),
                st.sampled_from(["ann", "bob", None]),
                st.sampled_from(["phone-1", "phone-2", None]),
                st.sampled_from([None, None, "web-1", "web-2"]),
                st.sampled_from(TEXTS),
                st.lists(st.sampled_from(ITEMS), min_size=1, max_size=4),
                st.sampled_from([None, "en", "zh-CN"]),
            ),
            max_size=most,
        )
    )
    return [
        event(
            name,
            NOON + timedelta(seconds=seconds),
            event_id=f"e{number}",
            user=user,
            device="phone-1" if user is None and device is None else device,
            session_id=session_id,
            text=text,
            items=tuple(items),
            language=language,
        )
        for number, (name, seconds, user, device, session_id, text, items, language) in enumerate(drawn)
    ]
