"""Calls that come at once are taken in together, and none pays for another."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import CancelledError
from datetime import UTC, datetime

import pytest

from bentos.intent_service.intake import MAX_EVENTS_AT_ONCE, Intake
from bentos.intent_service.tracking import Call, StillHeldError

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Door:
    """Takes in what it is given once it is open; answers each call with its documents, and remembers the groups."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.groups: list[list[object]] = []

    def __call__(self, calls: Sequence[Call]) -> list[list[object]]:
        self.groups.append([document for call in calls for document in call.documents])
        self.entered.release()
        assert self.open.wait(60)
        for call in calls:
            for document in call.documents:
                if isinstance(document, Exception):
                    raise document
        return [list(call.documents) for call in calls]


def behind(door: Door, *calls: Sequence[object]) -> list[object]:
    """What comes back for `calls` that all came while the first, of one event, was taken in."""
    intake = Intake(door, threads=1)
    first = intake.submit(Call(["first"], NOW))
    assert door.entered.acquire(timeout=60)
    futures = [intake.submit(Call(list(documents), NOW)) for documents in calls]
    door.open.set()
    intake.close()
    assert first.result() == ["first"]
    return [future.exception() or future.result() for future in futures]


def test_what_comes_while_a_write_is_under_way_shares_the_next() -> None:
    door = Door()
    assert behind(door, ["a", "b"], ["c"], ["d"]) == [["a", "b"], ["c"], ["d"]]
    assert door.groups == [["first"], ["a", "b", "c", "d"]]


def test_a_group_is_bounded_and_a_large_call_goes_alone() -> None:
    door = Door()
    large = ["x"] * MAX_EVENTS_AT_ONCE
    assert behind(door, ["a"], large, ["b"]) == [["a"], large, ["b"]]
    assert door.groups == [["first"], ["a"], large, ["b"]]


@pytest.mark.parametrize("error", [KeyError("a bug"), StillHeldError("held elsewhere")])
def test_an_error_of_one_call_is_its_own(error: Exception) -> None:
    assert behind(Door(), ["a"], [error], ["b"]) == [["a"], error, ["b"]]


def test_storage_that_refuses_is_asked_once() -> None:
    door, refused = Door(), OSError("no space left on device")
    assert behind(door, ["a"], [refused], ["b"]) == [refused] * 3
    assert len(door.groups) == 2


def test_a_call_that_is_given_up_before_its_turn_is_not_taken_in() -> None:
    door = Door()
    intake = Intake(door, threads=1)
    intake.submit(Call(["first"], NOW))
    assert door.entered.acquire(timeout=60)
    given_up = intake.submit(Call(["late"], NOW))
    assert given_up.cancel()
    door.open.set()
    intake.close()
    assert door.groups == [["first"]]
    with pytest.raises(CancelledError):
        given_up.result()
    with pytest.raises(RuntimeError, match="closed"):
        intake.submit(Call(["later"], NOW))
