"""A shop's process and the real service, each killed while events flow: every event arrives, once, in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.bench_kill import kill
from intent_tracking.client import IntentClient, TrackBuffer
from intent_tracking.client.events import MAX_EVENTS
from intent_tracking.events.segment_log import read_log
from tests.fakes.service_process import ROOT, free_port, running_service

pytestmark = pytest.mark.integration


def event_ids(home: Path) -> list[str]:
    return [json.loads(line.data)["event_id"] for line in read_log(home / "event_log")]


def wait_for(is_true: Callable[[], bool], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def start_shop(address: str, outbox: Path, printed: Path) -> subprocess.Popen[bytes]:
    with printed.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.track_process", address, str(outbox)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=output,
        )


def taken_in(printed: Path) -> list[str]:
    # The last line may be cut short by the kill.
    return [f"shop-{number}" for number in printed.read_text().split("\n")[:-1]]


def test_kills_of_the_shop_and_of_the_service_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    home, outbox, printed = tmp_path / "home", tmp_path / "outbox", tmp_path / "printed"
    port = free_port()
    with running_service(home, port=port) as service, start_shop(service.address, outbox, printed) as shop:
        try:
            wait_for(lambda: len(event_ids(home)) > 200)
            kill(service, "service")
            so_far = len(taken_in(printed))
            wait_for(lambda: len(taken_in(printed)) > so_far + 200)  # the shop goes on while the service is away
        finally:
            shop.kill()
    expected = taken_in(printed)
    assert len(event_ids(home)) < len(expected)
    with running_service(home, port=port) as service, IntentClient(service.address) as client:
        buffer = TrackBuffer(client, outbox)
        buffer.flush(60)
        buffer.close()
        arrived = event_ids(home)
        in_order = list(dict.fromkeys(arrived))
        # The event that was taken in when the kill came may have been too late to be printed.
        assert in_order in (expected, [*expected, f"shop-{len(expected)}"])
        # A kill of the service between its log and its sessions lets the one call under way, never answered, enter the
        # log again; validation takes that out.
        assert len(arrived) - len(in_order) <= MAX_EVENTS
