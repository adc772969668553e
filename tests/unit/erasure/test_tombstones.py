"""The records of erasures: durable, one a person, without a name when they are done."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from intent_tracking.tombstones import ErasureError, Erasures, LiveTombstones, Proof

pytestmark = pytest.mark.unit

T = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def proof() -> Proof:
    return Proof(searched_at=T, files=1, megabytes=0.1, hits=0, later=0)


def finish(erasures: Erasures) -> None:
    for erasure in erasures.pending():
        assert erasures.finish(erasure, proof(), T)


def test_whoever_only_asks_makes_nothing_on_disk(tmp_path: Path) -> None:
    assert not Erasures(tmp_path).tombstones()
    assert not LiveTombstones(tmp_path).current()
    assert list(tmp_path.iterdir()) == []


def test_an_event_is_erased_that_happened_or_arrived_before(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path)
    request = erasures.request("ann", T).request
    stones = erasures.tombstones()
    assert stones.event("ann", T - MINUTE, T + MINUTE) == request
    assert stones.event("ann", T + MINUTE, T - MINUTE) == request
    assert stones.event("ann", None, T + MINUTE) == request
    assert stones.event("ann", T + MINUTE, T + MINUTE) is None
    assert stones.event("bob", T - MINUTE, T - MINUTE) is None
    assert stones.event("anonymous:ann", T - MINUTE, None) is None


def test_what_is_derived_goes_whole_until_the_erasure_is_done_and_then_up_to_its_day(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path)
    request = erasures.request("ann", T).request
    assert erasures.tombstones().derived("ann", date(2026, 3, 9)) == request
    finish(erasures)
    assert erasures.tombstones().derived("ann", date(2026, 3, 2)) == request
    assert erasures.tombstones().derived("ann", date(2026, 3, 3)) is None
    assert erasures.tombstones().derived(None, date(2026, 3, 2)) is None


def test_the_names_are_gone_when_it_is_done_and_the_tombstones_stay(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path)
    request = erasures.request("ann-1842", T).request
    erasures.note(request, devices=["phone-77"], event_ids=["e-5"], removed={"landing": 2})
    erasures.decide(request, ["phone-77"], shared=1)
    erasures.note(request, removed={"landing": 3})
    finish(erasures)
    (done,) = erasures.all()
    assert (done.removed, done.shared_devices, done.pending) == ({"landing": 5}, 1, None)
    for path in erasures.folder.iterdir():
        for name in ("ann-1842", "phone-77", "e-5"):
            assert name not in path.read_text()
    stones = Erasures(tmp_path).tombstones()
    assert stones.event("ann-1842", T, None) == stones.event("anonymous:phone-77", T, None) == request


def test_who_asks_again_while_the_work_is_done_is_not_done(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path)
    first = erasures.request("ann", T)
    erasures.note(first.request, devices=["phone"])
    again = erasures.request("ann", T + MINUTE)
    assert again.request == first.request
    assert not erasures.finish(first, proof(), T)
    (pending,) = erasures.pending()
    assert pending.requested_at == T + MINUTE
    assert pending.pending is not None
    assert pending.pending.devices == ("phone",)


def test_the_devices_of_an_earlier_erasure_stay_erased(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path)
    request = erasures.request("ann", T).request
    erasures.decide(request, ["phone"], shared=0)
    finish(erasures)
    erasures.request("ann", T + MINUTE)
    assert erasures.tombstones().event("anonymous:phone", T, None) == request


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path)
    request = erasures.request("ann", T).request
    left = erasures.folder / f".{request}.json.x7k2"
    left.write_text("ann")
    erasures.note(request)
    assert not left.exists()


def test_requests_of_many_at_once_are_all_there(tmp_path: Path) -> None:
    def ask(number: int) -> None:
        erasures = Erasures(tmp_path)
        request = erasures.request(f"user-{number % 5}", T).request
        for _ in range(3):
            erasures.note(request, removed={"landing": 1})

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.removed["landing"] for each in Erasures(tmp_path).pending()] == [12] * 5


def test_a_running_process_sees_a_request_of_another_at_once(tmp_path: Path) -> None:
    live = LiveTombstones(tmp_path)
    assert not live.current()
    for number in range(20):
        Erasures(tmp_path).request(f"user-{number}", T)
        assert live.current().event(f"user-{number}", T, None) is not None


def test_a_lost_key_and_a_damaged_record_are_told(tmp_path: Path) -> None:
    erasures = Erasures(tmp_path)
    request = erasures.request("ann", T).request
    path = erasures.folder / f"{request}.json"
    good = path.read_text()
    path.write_text(good[:20])
    with pytest.raises(ErasureError, match=f"{request}.json"):
        erasures.tombstones()
    path.write_text(good)
    (erasures.folder / "key").unlink()
    with pytest.raises(ErasureError, match="key is missing: restore"):
        erasures.tombstones()
    with pytest.raises(ErasureError, match="key is missing: restore"):
        erasures.request("bob", T)
