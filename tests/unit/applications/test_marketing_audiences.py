"""Who is written to, and who is not: rules on a small shop, consent, caps, priority, the control group, the files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.applications.marketing.audiences import (
    CONTROL,
    TREATED,
    contacts_of,
    control_key,
    draw,
    group,
    sizes,
    write_files,
)
from intent_tracking.applications.marketing.consent import Consents, Contacts
from intent_tracking.applications.marketing.history import end_of, history
from intent_tracking.applications.marketing.membership import MOST_NEWS, gather, members
from intent_tracking.applications.marketing.propensity import PropensityModel, Weights
from intent_tracking.applications.marketing.rules import Cap, MarketingRules, shipped_rules
from intent_tracking.applications.marketing.words import read_words
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.prediction_log import PREDICTION_SCHEMA
from intent_tracking.sessions.sessionise import SESSION_SCHEMA
from intent_tracking.tables import DayTable
from tests.fakes.shop_events import event_row, table

pytestmark = pytest.mark.unit

DAY = date(2026, 3, 31)
NOON = datetime(2026, 3, 31, 12, tzinfo=UTC)
MUG = {"item_id": "mug", "item_name": "Red Mug", "item_brand": "Acme", "price": 9.0}
POT = {"item_id": "pot", "item_name": "Tea Pot", "item_brand": "Acme", "price": 30.0}
HAT = {"item_id": "hat", "item_name": "Hat", "item_brand": "Orbit", "price": 20.0}
NO_PRICES = pa.table({"shopper_id": pa.array([], pa.string()), "price": pa.array([], pa.float64())})
# Who ordered often is likely to order again: 0.5 at e - 1 orders.
MODEL = PropensityModel(Weights(features=("orders",), mean=(1.0,), spread=(1.0,), weight=(4.0,), bias=0.0), "test")


def act(name: str, shopper: str, days_ago: float = 0, **given: Any) -> dict[str, Any]:
    act.number += 1  # type: ignore[attr-defined]
    return event_row(name, NOON - timedelta(days=days_ago), shopper=shopper, number=act.number, **given)  # type: ignore[attr-defined]


act.number = 0  # type: ignore[attr-defined]


def consented(*pairs: tuple[str, str]) -> Consents:
    return Consents({pair: (NOON - timedelta(days=300),) for pair in pairs}, {})


class EverybodyConsents(Consents):
    def holds(self, shopper_id: str, channel: str, moment: datetime) -> bool:
        return True


EVERYBODY = EverybodyConsents({}, {})


def audiences(
    root: Path,
    rows: Iterable[Mapping[str, Any]],
    *,
    rules: MarketingRules | None = None,
    consents: Consents = EVERYBODY,
    contacts: Contacts | None = None,
    model: PropensityModel | None = None,
    sessions: Iterable[Mapping[str, Any]] = (),
    served: Iterable[Mapping[str, Any]] = (),
    prices: pa.Table = NO_PRICES,
) -> pa.Table:
    """The audiences of DAY, through real partitions."""
    stored = {
        name: DayTable(root, name, schema)
        for name, schema in (
            ("validated_events", EVENT_SCHEMA), ("sessions", SESSION_SCHEMA), ("served_predictions", PREDICTION_SCHEMA),
        )
    }  # fmt: skip
    stored["validated_events"].write(DAY, table(list(rows)))
    for name, given_rows in (("sessions", sessions), ("served_predictions", served)):
        stored[name].write(DAY, pa.Table.from_pylist(list(given_rows), schema=stored[name].schema))
    with history(stored["validated_events"].paths([DAY]), end_of(DAY), lines=True) as database:
        evidence = gather(
            database,
            DAY,
            sessions=stored["sessions"].paths([DAY]),
            predictions=stored["served_predictions"].paths([DAY]),
            prices=prices,
            model=model,
        )
        rules = rules or shipped_rules().model_copy(update={"control_share": 0.0})
        return draw(evidence, rules, read_words(root), consents, contacts or Contacts([]), b"key")


def of(drawn: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["shopper_id"]: row for row in drawn.to_pylist()}


def test_who_looked_and_did_not_buy_is_reminded_of_the_item_in_the_own_language(tmp_path: Path) -> None:
    rows = [
        *(act("view_item", "ann", ago, items=[MUG]) for ago in (3, 1)),
        *(act("view_item", "bob", ago, items=[MUG]) for ago in (3, 2)),
        act("purchase", "bob", 1, items=[HAT], value=20.0),
        *(act("view_item", "cat", ago, items=[MUG]) for ago in (30, 20)),
        act("add_to_cart", "dan", 1, items=[HAT]),
        act("view_item", "eve", 1, items=[MUG]),
    ]
    visit = {"session_id": "s", "shopper_id": "dan", "started_at": NOON, "language": "zh", "events": []}
    found = of(audiences(tmp_path, rows, sessions=[visit]))
    assert found.keys() == {"ann", "dan"}
    assert found["ann"]["message"] == "Still thinking about Red Mug? It is here when you want it."
    assert found["ann"]["reasons_en"] == ["looked at Red Mug and has bought nothing since (2 views in 7 days)"]
    assert found["ann"]["items"] == ["mug"]
    assert found["dan"]["message"] == "还在考虑Hat吗？它还在等你。"
    assert found["dan"]["reasons_zh"] == ["将Hat加入购物车后未下单"]


@pytest.mark.parametrize(
    ("moves", "reminded"),
    [
        ("+1", True),
        ("+1 -1", False),
        ("+2 -1", True),
        ("+1 +1 -2", False),
        ("+1 -1 +1", True),
        ("-3 +1", True),  # it had gone in before anything was looked at
    ],
)
def test_who_took_an_item_out_of_the_cart_again_is_not_told_that_it_is_there(
    tmp_path: Path, moves: str, reminded: bool
) -> None:
    # Cause: what was taken out of the cart was not read at all.
    acts = [
        act("add_to_cart" if move[0] == "+" else "remove_from_cart", "ann", 1 - n / 10, items=[{**MUG, "quantity": q}])
        for n, move in enumerate(moves.split())
        if (q := int(move[1:]))
    ]
    found = of(audiences(tmp_path, [*acts, act("view_item", "ann", 2, items=[MUG])]))
    assert found.keys() == ({"ann"} if reminded else set())


def test_a_coupon_is_for_who_would_not_come_back_alone_and_none_for_who_will_buy(tmp_path: Path) -> None:
    rows = [
        *(act("purchase", "sure", ago, items=[HAT], value=20.0) for ago in (5, 4, 3, 2)),
        *(act("view_item", shopper, 0, items=[MUG]) for shopper in ("sure", "sure", "new", "new")),
    ]
    found = of(audiences(tmp_path, rows, model=MODEL))
    assert (found["sure"]["audience"], found["sure"]["offer"]) == ("ready_to_buy", "none")
    assert found["sure"]["also_in"] == ["looked_not_bought"]
    assert found["sure"]["reasons_en"][1] == "4 orders so far"
    assert (found["new"]["audience"], found["new"]["offer"]) == ("looked_not_bought", "coupon")
    assert found["new"]["propensity"] == pytest.approx(1 / (1 + pow(2.718281828, 4)), abs=1e-6)


def test_a_follower_of_a_brand_hears_of_new_items_that_several_have_seen(tmp_path: Path) -> None:
    spoofed = {**POT, "item_id": "x", "item_name": "Win at http://evil.example"}
    alone = {**POT, "item_id": "y", "item_name": "Seen by one"}
    rows = [
        act("view_item", "old", 60, items=[MUG]),
        *(act("view_item", "ann", ago, items=[MUG]) for ago in (12, 11, 10)),
        *(act("view_item", shopper, 0, items=[POT, spoofed]) for shopper in ("b", "c", "d")),
        act("view_item", "b", 0, items=[alone]),
        # One visitor gives a known item another name, and another brand.
        *(act("view_item", "b", 0, items=[{**POT, "item_name": "Scam"}]) for _ in range(9)),
        *(act("view_item", "dan", ago, items=[HAT]) for ago in (12, 11, 10)),
        act("view_item", "b", 0, items=[{**POT, "item_brand": "Orbit"}]),
    ]
    found = of(audiences(tmp_path, rows))
    assert found["ann"]["audience"] == "follows_brand"
    assert found["ann"]["items"] == ["pot"]
    assert found["ann"]["message"] == "New from Acme: Tea Pot."
    assert "dan" not in found
    assert not {"b", "c", "d"} & {s for s, row in found.items() if row["audience"] == "follows_brand"}


def test_of_a_brand_with_many_new_items_those_are_joined_that_most_have_seen(tmp_path: Path) -> None:
    # Cause: each follower was joined with every new item, to keep three of them.
    def new(number: int, name: str = "New") -> dict[str, Any]:
        return {**POT, "item_id": f"n{number:02}", "item_name": f"{name} {number}"}

    links = [new(number, "evil.com") for number in range(60, 90)]
    rows = [
        act("view_item", "old", 60, items=[MUG]),
        *(act("view_item", shopper, ago, items=[MUG]) for shopper in ("ann", "bob") for ago in (12, 11, 10)),
        act("view_item", "bob", 9, items=[new(number) for number in range(1, MOST_NEWS + 1)]),
        *(act("view_item", f"s{n}", 0, items=[*links, *map(new, range(50))]) for n in range(3)),
        *(act("view_item", shopper, 0, items=[*links, new(40)]) for shopper in ("t", "u")),
    ]
    found = of(audiences(tmp_path, rows))
    assert found["ann"]["items"] == ["n40", "n01", "n02"]  # bob has seen some of them too
    with history(DayTable(tmp_path, "validated_events", EVENT_SCHEMA).paths([DAY]), end_of(DAY), lines=True) as data:
        evidence = gather(data, DAY, sessions=[], predictions=[], prices=NO_PRICES, model=None)
        assert members(evidence, shipped_rules())
        assert data.execute("SELECT count(*) FROM news").fetchone() == (MOST_NEWS,)


def test_a_follower_hears_of_new_items_by_the_names_of_the_own_language(tmp_path: Path) -> None:
    in_chinese = {"item_id": "pot", "item_name": "茶壶", "item_brand": "山野"}
    rows = [
        *(act("view_item", "old", 60, items=[line]) for line in (MUG, {**MUG, "item_brand": "山野"})),
        *(act("view_item", "ann", ago, items=[MUG]) for ago in (12, 11, 10)),
        *(act("view_item", "bin", ago, items=[{**MUG, "item_brand": "山野"}]) for ago in (12, 11, 10)),
        *(act("view_item", shopper, 0, items=[POT]) for shopper in ("b", "c", "d")),
        *(act("view_item", shopper, 0, items=[in_chinese]) for shopper in ("e", "f", "g")),
    ]
    found = of(audiences(tmp_path, rows))
    assert found["ann"]["message"] == "New from Acme: Tea Pot."
    assert found["bin"]["message"] == "New from 山野: 茶壶."


def test_nothing_is_new_where_the_logs_have_just_begun(tmp_path: Path) -> None:
    rows = [
        *(act("view_item", "ann", ago, items=[MUG]) for ago in (3, 2, 1)),
        *(act("view_item", shopper, 0, items=[POT]) for shopper in ("b", "c", "d")),
    ]
    assert "follows_brand" not in audiences(tmp_path, rows)["audience"].to_pylist()


def test_lapsing_is_measured_by_the_own_cadence(tmp_path: Path) -> None:
    rows = [
        *(act("purchase", "weekly", ago, items=[MUG], value=9.0) for ago in (44, 37, 30)),
        *(act("purchase", "monthly", ago, items=[MUG], value=9.0) for ago in (90, 60, 30)),
        *(act("purchase", "twice", ago, items=[MUG], value=9.0) for ago in (90, 83)),
    ]
    found = of(audiences(tmp_path, rows))
    assert found.keys() == {"weekly"}
    assert found["weekly"]["reasons_en"] == ["usually buys every 7 days, and last did 30 days ago"]


def test_a_bargain_hunter_shows_two_of_three_signals(tmp_path: Path) -> None:
    coupon = {**HAT, "coupon": "SAVE5"}
    rows = [act("purchase", shopper, 1, items=[coupon], value=15.0) for shopper in ("ann", "bob")]
    served = [
        {
            "prediction_id": f"p{n}", "event_time": NOON, "served_at": NOON, "kind": "track", "session_id": f"s{n}",
            "shopper_id": "ann", "intent": intent, "out_of_scope": False,
        }
        for n, intent in enumerate(["bargain", "bargain", "explore"])
    ]  # fmt: skip
    prices = pa.table({"shopper_id": ["bob", "x", "y", "z", "w"], "price": [90.0, 1.0, 50.0, 60.0, 70.0]})
    found = of(audiences(tmp_path, rows, served=served, prices=prices))
    assert found.keys() == {"ann"}
    assert found["ann"]["reason_names"] == ["bargain_intent", "coupons"]
    assert found["ann"]["reasons_en"][0] == "67% of 3 tracked sessions were after a bargain"


def test_what_had_not_arrived_by_the_end_of_the_day_is_not_known(tmp_path: Path) -> None:
    late = NOON + timedelta(days=1)
    rows = [act("view_item", "ann", ago, items=[MUG], received=late) for ago in (2, 1)]
    assert audiences(tmp_path, rows).num_rows == 0


def carts(*shoppers: str) -> list[dict[str, Any]]:
    return [act("add_to_cart", shopper, 1, items=[MUG]) for shopper in shoppers]


def test_nobody_is_written_to_without_a_consent_for_the_channel(tmp_path: Path) -> None:
    consents = consented(("ann", "push"), ("bob", "email"), ("cat", "sms"))
    drawn = audiences(tmp_path, carts("ann", "bob", "cat", "dan"), consents=consents)
    found = of(drawn)
    assert {shopper: row["channel"] for shopper, row in found.items()} == {
        "ann": "push", "bob": "email", "cat": None, "dan": None,
    }  # fmt: skip
    assert [found[shopper]["held_back"] for shopper in ("ann", "cat", "dan")] == [None, "no_consent", "no_consent"]
    assert contacts_of(drawn)["shopper_id"].to_pylist() == ["ann", "bob"]
    (size,) = [each for each in sizes(drawn, shipped_rules()) if each.audience == "looked_not_bought"]
    assert (size.members, size.treated, size.no_consent, size.frequency_cap) == (4, 2, 2, 0)


def test_the_cap_counts_the_days_before_and_another_channel_takes_its_place(tmp_path: Path) -> None:
    used = {("ann", "push"): 3, ("bob", "push"): 3, ("bob", "email"): 2, ("cat", "push"): 2}

    def contacts(first: date) -> Contacts:
        """Each on as many days from `first` on; one that is stored twice counts once."""
        days = [
            [
                {"shopper_id": shopper, "channel": channel, "campaign": "x", "audience": "x", "group": TREATED}
                for (shopper, channel), count in used.items()
                if n < count
            ]
            for n in range(3)
        ]
        return Contacts([(first + timedelta(days=n), pa.Table.from_pylist(rows * 2)) for n, rows in enumerate(days)])

    found = of(audiences(tmp_path, carts("ann", "bob", "cat"), contacts=contacts(DAY - timedelta(days=6))))
    assert {shopper: row["channel"] for shopper, row in found.items()} == {"ann": "email", "bob": None, "cat": "push"}
    assert found["bob"]["held_back"] == "frequency_cap"
    again = of(audiences(tmp_path, carts("bob"), contacts=contacts(DAY - timedelta(days=9))))
    assert again["bob"]["channel"] == "push"


@given(st.permutations(range(12)), st.integers(0, 4), st.integers(1, 6))
def test_no_order_in_which_days_are_drawn_passes_a_cap_and_drawn_again_they_stay(
    order: list[int], most: int, days: int
) -> None:
    # Cause: a day that was drawn after later ones looked only at what lies before it.
    cap, row = Cap(contacts=most, days=days), {"shopper_id": "ann", "channel": "email"}
    rows = pa.Table.from_pylist([row])
    written: dict[date, pa.Table] = {}
    for number in order:
        day = DAY + timedelta(days=number)
        if Contacts(written.items()).room("ann", "email", day, cap):
            written[day] = rows
    for number in range(12):
        first = DAY + timedelta(days=number)
        assert sum(first <= day < first + timedelta(days=days) for day in written) <= most
        assert Contacts(written.items()).room("ann", "email", first, cap) == (first in written)


@settings(max_examples=40)
@given(st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=6), st.floats(0, 0.4), st.floats(0.4, 1))
def test_a_group_depends_on_shopper_and_campaign_alone_and_a_larger_share_keeps_who_is_in_it(
    shoppers: list[str], small: float, large: float
) -> None:
    for shopper in shoppers:
        drawn = group(b"key", "spring", shopper, small)
        assert drawn == group(b"key", "spring", shopper, small)
        if drawn == CONTROL:
            assert group(b"key", "spring", shopper, large) == CONTROL


def test_the_control_group_has_its_share_and_other_campaigns_and_keys_draw_others() -> None:
    names = [f"u{n}" for n in range(4000)]

    def control(key: bytes, campaign: str) -> set[str]:
        return {name for name in names if group(key, campaign, name, 0.1) == CONTROL}

    first = control(b"key", "spring")
    assert 330 < len(first) < 470  # five standard deviations are 95
    for other in (control(b"key", "summer"), control(b"other", "spring")):
        assert len(first & other) < 100


def test_control_members_get_no_file_and_count_as_contacts(tmp_path: Path) -> None:
    rules = shipped_rules().model_copy(update={"control_share": 0.5})
    names = [f"u{n}" for n in range(40)]
    drawn = audiences(tmp_path, carts(*names), rules=rules)
    groups = {row["shopper_id"]: row["group"] for row in drawn.to_pylist()}
    assert contacts_of(drawn)["shopper_id"].to_pylist() == sorted(names)
    written = write_files(tmp_path / "files", drawn, rules)
    with (tmp_path / "files" / "looked_not_bought.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    treated = sorted(name for name, drawn_as in groups.items() if drawn_as == TREATED)
    assert [row["shopper_id"] for row in rows] == treated
    assert written["looked_not_bought"] == len(treated) < 40
    assert written["lapsing"] == 0


def test_no_cell_of_the_file_is_a_formula_and_ids_stay_those_of_the_shop(tmp_path: Path) -> None:
    evil = {"item_id": "=1+1", "item_name": '=HYPERLINK("x","y")', "item_brand": "@Acme"}
    words = read_words(tmp_path).model_dump()
    words["messages"]["looked_not_bought"]["reminder"] = {"en": "{item}", "zh": "{item}"}
    (tmp_path / "messages.yaml").write_text(yaml.safe_dump(words))
    drawn = audiences(tmp_path, [act("add_to_cart", "+4915112345678", items=[evil])])
    write_files(tmp_path / "files", drawn, shipped_rules())
    with (tmp_path / "files" / "looked_not_bought.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["message"] == '\'=HYPERLINK("x","y")'
    assert row["items"] == "'=1+1"
    assert row.pop("shopper_id") == "+4915112345678"
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values())


def test_the_key_is_made_once(tmp_path: Path) -> None:
    key = control_key(tmp_path)
    assert len(key) == 32
    assert control_key(tmp_path) == key
    assert (tmp_path / "control.key").stat().st_mode & 0o077 == 0


def test_a_home_without_anything_has_empty_audiences(tmp_path: Path) -> None:
    with history([], end_of(DAY), lines=True) as database:
        evidence = gather(database, DAY, sessions=[], predictions=[], prices=NO_PRICES, model=MODEL)
        drawn = draw(evidence, shipped_rules(), read_words(tmp_path), EVERYBODY, Contacts([]), b"key")
    assert (drawn.num_rows, contacts_of(drawn).num_rows) == (0, 0)
    assert set(write_files(tmp_path / "files", drawn, shipped_rules()).values()) == {0}
    assert all(size.members == 0 for size in sizes(drawn, shipped_rules()))
