"""What every `SessionStore` does; each implementation runs all of it."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from pydantic import SecretStr

from intent_tracking.events.contract import Event, SourcePosition, events_to_table
from intent_tracking.sessions.redis_state import RedisSessionStore
from intent_tracking.sessions.render import SessionEvent
from intent_tracking.sessions.sessionise import sessionise
from intent_tracking.sessions.sqlite_state import SqliteSessionStore
from intent_tracking.sessions.state import (
    Claimed,
    SessionStore,
    SessionStoreError,
    kept_event,
    new_session_id,
    open_session_store,
)
from intent_tracking.settings import Settings
from tests.fakes.redis_server import redis_server
from tests.fakes.session_events import NOON, event, event_lists
from tests.fakes.session_stores import MemorySessionStore

pytestmark = pytest.mark.contract

Make = Callable[..., SessionStore]


@pytest.fixture(scope="module")
def redis_address() -> Iterator[str]:
    with redis_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "redis", "memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Makes fresh stores of one kind, with any limits; closes them all."""
    made: list[SessionStore] = []
    address = request.getfixturevalue("redis_address") if request.param == "redis" else ""

    def new_store(**limits: int) -> SessionStore:
        if request.param == "sqlite":
            made.append(SqliteSessionStore(tmp_path / f"state-{len(made)}.sqlite", **limits))
        elif request.param == "redis":
            made.append(RedisSessionStore(address, prefix=f"{{{uuid.uuid4()}}}:", **limits))
        else:
            made.append(MemorySessionStore(**limits))
        return made[-1]

    yield new_store
    for store in made:
        store.close()


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def test_a_session_is_read_as_it_was_written(make: Make) -> None:
    store = make()
    events = [event("search", NOON, text="red dress"), event("view_item", NOON + minutes(2))]
    written = store.append(events)
    assert written.new == (True, True)
    session = store.read(written.session_ids[0])
    assert session is not None
    assert session.events == tuple(SessionEvent.from_event(each) for each in events)
    assert (session.shopper_id, session.user_id, session.event_count) == ("ann", "ann", 2)
    assert (session.started_at, session.last_event_at) == (NOON, NOON + minutes(2))
    assert store.read("unknown") is None


def test_a_repeat_changes_nothing(make: Make) -> None:
    store = make()
    events = [event("view_item", NOON + minutes(n)) for n in range(3)]
    first = store.append(events)
    before = store.read(first.session_ids[0])
    again = store.append([events[1], events[1], events[0]])
    assert again.new == (False, False, False)
    assert set(again.session_ids) == set(first.session_ids)
    assert store.read(first.session_ids[0]) == before


def test_a_repeat_within_one_call_is_known(make: Make) -> None:
    one = event("view_item")
    assert make().append([one, one]).new == (True, False)


def test_late_events_stand_where_they_belong(make: Make) -> None:
    store = make()
    times = [5, 1, 9, 3, -2]
    for n in times:
        written = store.append([event("view_item", NOON + minutes(n), event_id=f"e{n}")])
    session = store.read(written.session_ids[0])
    assert session is not None
    assert [each.event_id for each in session.events] == ["e-2", "e1", "e3", "e5", "e9"]
    assert (session.started_at, session.last_event_at) == (NOON + minutes(-2), NOON + minutes(9))


def test_after_half_an_hour_of_silence_a_new_session_begins(make: Make) -> None:
    store = make()
    written = store.append([event("view_item", NOON + minutes(n)) for n in (0, 30, 60.1)])
    first, second, third = written.session_ids
    assert first == second != third
    older = store.read(first)
    assert older is not None
    assert older.event_count == 2


def test_a_given_id_is_kept_and_a_later_use_told_apart(make: Make) -> None:
    store = make()
    first, second = store.append(
        [event("view_item", NOON + minutes(n), session_id="web-1") for n in (0, 50)]
    ).session_ids
    assert first == "web-1"
    assert second.startswith("web-1#")
    (other,) = store.append([event("view_item", user="bob", session_id="web-1")]).session_ids
    assert other not in (first, second)


def test_shoppers_do_not_share_a_session(make: Make) -> None:
    events = [
        event("view_item", user="ann"),
        event("view_item", user="bob"),
        event("view_item", user=None, device="ann", event_id="of-the-device"),
    ]
    assert len(set(make().append(events).session_ids)) == 3


@pytest.mark.parametrize("calls", [1, 3])
@pytest.mark.parametrize("session_id", ["web-1", None])
def test_a_login_goes_on_with_the_visit_before_it(make: Make, session_id: str | None, calls: int) -> None:
    # Cause: shops ask for the login at the checkout, and the service forgot the cart at that moment.
    store = make()
    events = [
        event("add_to_cart", user=None, device="phone-1", session_id=session_id),
        event("begin_checkout", NOON + minutes(20), device="phone-1", session_id=session_id),
        event("purchase", NOON + minutes(21), session_id=session_id),
    ]
    size = len(events) // calls
    written = [store.append(events[at : at + size]).session_ids for at in range(0, len(events), size)]
    (found,) = {each for ids in written for each in ids}
    session = store.latest("ann")
    assert session is not None
    assert session == store.read(found)
    assert (session.shopper_id, session.user_id, session.started_at) == ("ann", "ann", NOON)
    assert [each.event_name for each in session.events] == ["add_to_cart", "begin_checkout", "purchase"]
    assert store.append(events[:1]).session_ids == (found,)
    assert (store.size(), store.erase("ann").events, store.size()) == (1, 3, 0)


@pytest.mark.parametrize(("device", "session_id"), [("phone-2", "web-1"), (None, "web-1"), ("phone-1", "web-2")])
def test_a_visit_is_nobody_s_who_does_not_know_both_its_ids(make: Make, device: str | None, session_id: str) -> None:
    store = make()
    visit = event("view_item", user=None, device="phone-1", session_id="web-1")
    claim = event("view_item", NOON + minutes(1), user="eve", device=device, session_id=session_id)
    theirs, claimed = store.append([visit, claim]).session_ids
    assert theirs != claimed
    session, other = store.read_all([theirs, claimed])
    assert session is not None
    assert other is not None
    assert (session.user_id, session.event_count) == (None, 1)
    assert [each.event_id for each in other.events] == [claim.event_id]


def test_what_follows_a_login_without_a_user_is_another_s(make: Make) -> None:
    store = make()
    users = [None, "ann", None, "ann", "bob", None, "bob"]
    ids = [
        store.append(
            [event("view_item", NOON + minutes(n), user=user, device="phone-1", session_id="web-1", event_id=f"e{n}")]
        ).session_ids[0]
        for n, user in enumerate(users)
    ]
    assert ids[0] == ids[1] == ids[3] == "web-1"
    assert ids[2] == ids[4] == ids[6] != ids[5]
    ann, bob, nobody = store.read_all([ids[0], ids[2], ids[5]])
    assert [each and each.user_id for each in (ann, bob, nobody)] == ["ann", "bob", None]


def test_only_the_newest_events_are_kept_and_all_are_counted(make: Make) -> None:
    store = make(max_events=5)
    order = list(range(30))
    random.Random(1).shuffle(order)
    for n in order:
        written = store.append([event("view_item", NOON + timedelta(seconds=n), event_id=f"e{n}")])
    session = store.read(written.session_ids[0])
    assert session is not None
    assert [each.event_id for each in session.events] == [f"e{n}" for n in range(25, 30)]
    assert session.event_count == 30
    assert store.append([event("view_item", NOON, event_id="e0")]).new == (False,)


def test_the_sessions_idle_longest_make_room(make: Make) -> None:
    store = make(max_sessions=3)
    ids = [store.append([event("view_item", NOON + minutes(n), user=f"u{n}")]).session_ids[0] for n in range(3)]
    store.append([event("message", NOON + minutes(4), user="u0")])
    store.append([event("view_item", NOON + minutes(5), user="u9")])
    assert [store.read(each) is not None for each in ids] == [True, False, True]
    assert store.size() == 3


def test_idle_sessions_expire(make: Make) -> None:
    store = make()
    old, young = (store.append([event("view_item", NOON + minutes(n), user=f"u{n}")]).session_ids[0] for n in (0, 40))
    assert list(store.expire(NOON + minutes(20))) == [1]
    assert store.read(old) is None
    assert store.read(young) is not None
    assert list(store.expire(NOON + minutes(20))) == []


def test_the_latest_session_of_a_user(make: Make) -> None:
    store = make()
    ids = store.append([event("view_item", NOON + minutes(n)) for n in (0, 90)]).session_ids
    latest = store.latest("ann")
    assert latest is not None
    assert latest.session_id == ids[1]
    assert store.latest("nobody") is None


def test_erasing_a_user_takes_the_devices_along(make: Make) -> None:
    store = make()
    written = store.append(
        [
            event("view_item", user="ann", device="phone-1"),
            event("message", NOON + minutes(80), user="ann", text="hello"),
            event("view_item", user=None, device="phone-1"),
            event("view_item", user=None, device="phone-2"),
            event("view_item", user="bob"),
        ]
    )
    erased = store.erase("ann")
    assert (erased.sessions, erased.events) == (3, 3)
    assert [store.read(each) is not None for each in written.session_ids] == [False, False, False, True, True]
    assert store.erase("ann").sessions == 0
    assert store.append([event("view_item", user="ann")]).new == (True,)


def test_personal_data_does_not_enter_the_state(make: Make) -> None:
    store = make()
    (session_id,) = store.append([event("message", text="call me at 13812345678")]).session_ids
    session = store.read(session_id)
    assert session is not None
    assert session.events[0].text == "call me at <phone>"


def test_a_user_s_devices_are_all_remembered(make: Make) -> None:
    # Cause: a session kept the device seen last, so erasing its user left what was done on the device before.
    store = make()
    written = store.append(
        [
            event("view_item", device="phone-1"),
            event("view_item", NOON + minutes(1), device="phone-2"),
            event("view_item", user=None, device="phone-1"),
        ]
    )
    assert store.erase("ann").sessions == 2
    assert store.read_all(written.session_ids) == (None, None, None)


def test_ids_of_a_session_are_bounded_and_the_oldest_are_forgotten_first(make: Make) -> None:
    # Cause: within the hour that ids are remembered for, one session could bring any number of them.
    store = make(max_events=3, max_ids=10)
    events = [event("view_item", NOON + timedelta(seconds=n), event_id=f"e{n}") for n in range(12)]
    store.append(events)
    assert store.claim([f"e{n}" for n in range(12)], "w").known == {f"e{n}" for n in range(2, 12)}
    store.append([event("view_item", NOON + minutes(20), event_id="near")])
    store.append([event("view_item", NOON + minutes(40), event_id="far")])
    store.append([event("view_item", NOON + minutes(61), event_id="later")])
    assert store.claim([f"e{n}" for n in range(12)] + ["near", "far"], "v").held == {"e0": "w", "e1": "w"}
    store.release(["e0", "e1"], "w")
    assert store.claim(["e2", "e11", "near", "far"], "v").known == {"near", "far"}


def test_an_id_that_looks_like_one_of_ours_spoils_nothing(make: Make) -> None:
    # Cause: a source that gave the id which another shopper's session was to get made every later call fail.
    store = make()
    ours = new_session_id("ann", None, "a1", taken=False)
    later = new_session_id("bob", "web-1", "b2", taken=True)
    given_ids = (ours, later, "web-1")
    store.append([event("view_item", user="eve", session_id=given, event_id=given) for given in given_ids])
    first, second = store.append(
        [event("view_item", event_id="a1"), event("view_item", user="bob", session_id="web-1", event_id="b2")]
    ).session_ids
    assert {first, second}.isdisjoint({ours, later, "web-1"})
    assert store.read(first) is not None


def test_many_sessions_are_read_in_the_order_asked(make: Make) -> None:
    store = make()
    ids = store.append([event("view_item", user=f"u{n}") for n in range(5)]).session_ids
    found = store.read_all([ids[3], "unknown", ids[0], ids[3]])
    assert [each and each.shopper_id for each in found] == ["u3", None, "u0", "u3"]
    assert store.read_all([]) == ()


def test_a_claim_holds_what_is_new_until_it_is_appended(make: Make) -> None:
    store = make()
    store.append([event("view_item", event_id="old")])
    assert store.claim(["old", "one", "two"], "writer-1 0") == Claimed(frozenset({"old"}), {})
    assert store.claim(["one", "three"], "writer-2 0") == Claimed(frozenset(), {"one": "writer-1 0"})
    # Where one is held none is claimed: two that wait for each other would wait for ever.
    assert store.claim(["three"], "writer-3 0").held == {}
    store.append([event("view_item", event_id="one"), event("view_item", event_id="two")])
    assert store.claim(["one", "two"], "writer-2 0") == Claimed(frozenset({"one", "two"}), {})


def test_a_claim_is_released_by_its_mark_alone(make: Make) -> None:
    store = make()
    store.claim(["one", "two"], "writer-1 0")
    store.release(["one", "two"], "writer-2 0")
    assert set(store.claim(["one"], "writer-2 0").held) == {"one"}
    store.release(["one"], "writer-1 0")
    assert store.claim(["one"], "writer-2 0").held == {}
    assert store.claim(["two"], "writer-2 0").held == {"two": "writer-1 0"}


def test_forgotten_claims_expire(make: Make) -> None:
    store = make()
    store.claim(["one"], "writer-1 0")
    assert list(store.expire(datetime.now(UTC) - minutes(1))) == []
    assert store.claim(["one"], "writer-2 0").held == {"one": "writer-1 0"}
    assert list(store.expire(datetime.now(UTC) + minutes(1))) == []
    assert store.claim(["one"], "writer-2 0").held == {}


def test_no_events_change_nothing(make: Make) -> None:
    assert make().append([]).session_ids == ()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(event_lists(most=20))
def test_live_sessions_are_the_sessions_of_the_day_after(make: Make, events: list[Event]) -> None:
    """Events that come in order make the same sessions, under the same ids, as the stored table does."""
    store = make()
    ordered = sorted(events, key=lambda each: (each.event_time, each.event_id))
    ids = set(store.append(ordered).session_ids)
    stored = sessionise(events_to_table((each, SourcePosition()) for each in events), NOON.date()).to_pylist()
    assert ids == {row["session_id"] for row in stored}
    by_id = {each.event_id: each for each in events}
    for row in stored:
        live = store.read(row["session_id"])
        assert live is not None
        assert live.events == tuple(kept_event(by_id[each["event_id"]]) for each in row["events"])


def test_threads_share_a_store(make: Make) -> None:
    store = make()
    errors: list[Exception] = []

    def write(worker: int) -> None:
        try:
            for n in range(40):
                store.append([event("view_item", NOON + timedelta(seconds=n), event_id=f"{worker}-{n}")])
        except Exception as error:  # noqa: BLE001 - any error of the thread fails the test
            errors.append(error)

    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    session = store.latest("ann")
    assert errors == []
    assert session is not None
    assert session.event_count == 160


WRITER = """
import sys
from datetime import timedelta
from pathlib import Path
from pydantic import SecretStr
from intent_tracking.sessions.state import open_session_store
from intent_tracking.settings import Settings
from tests.fakes.session_events import NOON, event
store = open_session_store(Settings(home=Path(sys.argv[1]), session_store=SecretStr(sys.argv[2])))
for n in range(60):
    store.append([event("view_item", NOON + timedelta(seconds=n), event_id=f"{sys.argv[3]}-{n}"),
                  event("view_item", NOON + timedelta(seconds=n), event_id=f"shared-{n}")])
store.close()
"""


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_processes_share_a_store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    address = request.getfixturevalue("redis_address") if kind == "redis" else kind
    root = Path(__file__).resolve().parents[2]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), address, str(worker)],
            cwd=root,
            env={"PYTHONPATH": str(root)},
        )
        for worker in range(3)
    ]
    assert [writer.wait(timeout=240) for writer in writers] == [0, 0, 0]
    store = open_session_store(Settings(home=tmp_path, session_store=SecretStr(address)))
    session = store.latest("ann")
    store.close()
    assert session is not None
    assert session.event_count == 3 * 60 + 60


def test_a_redis_that_is_gone_or_full_is_told_without_its_password() -> None:
    # Nothing listens on a socket that is not there.
    with pytest.raises(SessionStoreError, match="in Redis") as gone:
        RedisSessionStore("unix://user:s3cret@/nowhere/redis.sock")
    assert "s3cret" not in str(gone.value)


def test_a_redis_that_is_full_keeps_nothing_of_a_call(redis_address: str) -> None:
    store = RedisSessionStore(redis_address, prefix="{full}:")
    store.append([event("view_item", event_id="kept")])
    with redis.Redis.from_url(redis_address) as server:
        server.config_set("maxmemory", 1)
        try:
            with pytest.raises(SessionStoreError, match="maxmemory"):
                store.append([event("view_item", NOON + minutes(1))])
        finally:
            server.config_set("maxmemory", 0)
    session = store.latest("ann")
    assert session is not None
    assert [each.event_id for each in session.events] == ["kept"]
    store.close()


def test_nothing_of_an_erased_user_is_left_in_redis(redis_address: str) -> None:
    store = RedisSessionStore(redis_address, prefix="{erase}:")
    store.append(
        [
            event("view_item", NOON - minutes(1), user=None, device="phone-1"),
            event("message", text="a zebra", device="phone-1"),
            event("view_item", user=None, device="phone-1"),
        ]
    )
    store.claim(["left"], "writer-1 0")
    store.release(["left"], "writer-1 0")
    assert store.erase("ann").sessions == 2
    with redis.Redis.from_url(redis_address) as server:
        assert server.keys("{erase}:*") == [b"{erase}:number"]
    store.close()


def test_erased_text_is_nowhere_on_disk(tmp_path: Path) -> None:
    store = SqliteSessionStore(tmp_path / "state.sqlite")
    store.append([event("message", text="a very particular zebra")])
    assert any(b"particular zebra" in path.read_bytes() for path in tmp_path.iterdir())
    store.erase("ann")
    assert not any(b"particular zebra" in path.read_bytes() for path in tmp_path.iterdir())
    store.close()


def test_others_have_their_turn_while_sessions_expire(tmp_path: Path) -> None:
    # Cause: all that expired was removed in one transaction, and every call waited until the last was gone.
    count = 10_000
    store = SqliteSessionStore(tmp_path / "state.sqlite")
    store.append([event("view_item", user=f"u{n}") for n in range(count)])
    other_process = SqliteSessionStore(tmp_path / "state.sqlite")
    with ThreadPoolExecutor(1) as pool:
        expiring = pool.submit(sum, store.expire(NOON + minutes(1)))
        seen: dict[SqliteSessionStore, set[int]] = {store: set(), other_process: set()}
        number = 0
        while not expiring.done():
            for each, sizes in seen.items():
                number += 1
                each.append([event("view_item", NOON + minutes(2), event_id=f"new-{number}")])
                sizes.add(each.size())
        assert expiring.result() == count
    assert [bool(sizes & set(range(2, count))) for sizes in seen.values()] == [True, True]
    assert store.size() == 1
    other_process.close()
    store.close()


def test_a_failed_call_leaves_nothing(tmp_path: Path) -> None:
    store = SqliteSessionStore(tmp_path / "state.sqlite")
    with pytest.raises(AttributeError):
        store.append([event("view_item"), None])  # type: ignore[list-item]
    assert store.latest("ann") is None
    assert store.append([event("view_item")]).new == (True,)
    store.close()


def test_a_state_of_an_older_form_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE session (number INTEGER PRIMARY KEY, anonymous_id TEXT)")
        database.execute("CREATE TABLE size (sessions INTEGER NOT NULL)")
        database.execute("INSERT INTO size VALUES (7)")
        database.commit()
    store = SqliteSessionStore(path, max_sessions=1)
    ids = store.append([event("view_item", user=user) for user in ("ann", "bob")]).session_ids
    assert [each is not None for each in store.read_all(ids)] == [False, True]
    store.close()
    again = SqliteSessionStore(path)
    assert again.read(ids[1]) is not None
    again.close()
