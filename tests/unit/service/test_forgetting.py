"""Old sessions are forgotten round by round, and a stop of the service waits for no whole round."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from bentos.intent_service.forgetting import Forgetting
from bentos.intent_service.runtime import Runtime
from intent_tracking.settings import Settings
from tests.fakes.predictors import FakePredictor
from tests.fakes.service_client import client_of, error

pytestmark = pytest.mark.unit


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stop_waits_for_the_sessions_that_are_being_removed_and_for_no_more() -> None:
    # Cause: a stop waited until the last of 200,000 old sessions was gone, and the platform killed the process before.
    removed = 0
    begun = threading.Event()

    def expire(_: datetime) -> Iterator[int]:
        nonlocal removed
        for _number in range(20_000):
            removed += 100
            begun.set()
            yield 100
            time.sleep(0.005)

    forgetting = Forgetting(expire)
    forgetting.start()
    assert begun.wait(60)
    forgetting.close()
    assert not forgetting.is_alive()
    assert removed < 2_000_000


def test_a_store_that_refuses_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    rounds: list[datetime] = []

    def expire(before: datetime) -> Iterator[int]:
        rounds.append(before)
        yield 1
        raise OSError("the disk is away")

    forgetting = Forgetting(expire, seconds=0.01)
    forgetting.start()
    wait_until(lambda: len(rounds) > 1)
    forgetting.close()
    assert "old sessions are not forgotten, trying again later: the disk is away" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_service_that_no_longer_forgets_is_not_alive(home: Path) -> None:
    # Cause: anything but a refusal of the storage ended the thread unseen, and sessions were kept from then on.
    running = Runtime(Settings(home=home), FakePredictor.load, expire_seconds=math.inf)  # more than a lock can wait
    running.start()
    client = client_of(running)
    wait_until(lambda: client.get("/livez").status_code != 200)
    told = error(client.get("/livez"), 503, "internal")
    assert told["message"] == "the session expiry thread ended; restart the service"
    running.close()
