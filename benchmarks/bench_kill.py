"""Whether an accepted event survives: `python -m benchmarks.bench_kill [--kills 20] [--seconds 2]`.

The service runs as documented, callers send batches to `/v1/track` without a pause, and again and again the worker, the
whole service, or the parent alone is killed with SIGKILL. A caller repeats a batch until it is answered, and now and
then one that was answered. Last comes a SIGTERM. Claims: every event answered as accepted is in the log exactly once,
nothing is in it twice; on SIGTERM whatever entered the log was answered.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from benchmarks.bench_simulator import machine
from intent_tracking.events.segment_log import read_log
from tests.fakes.service_process import RunningService, running_service

CALLERS = 8
PAUSE = 0.05  # before a batch is sent again
KINDS = ("worker", "service", "parent")
GIVE_UP = 180.0  # seconds after which a batch that is not answered ends its caller


@dataclass
class Load:
    """Callers that send until they are stopped; `address` follows the service to where it runs now."""

    address: str = ""
    answered: set[str] = field(default_factory=set)
    statuses: Counter[str] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def running(self, callers: int = CALLERS, *, repeats: bool = True) -> Iterator[None]:
        """Send from `callers` threads until the context is left; with `repeats` until every batch is answered."""
        self._stop.clear()
        with ThreadPoolExecutor(callers) as pool:
            calls = [pool.submit(self._call, caller, repeats) for caller in range(callers)]
            try:
                yield
            finally:
                self._stop.set()
        for call in calls:
            call.result()  # what ended a caller before its time ends the run: its events are not checked

    def _call(self, caller: int, repeats: bool) -> None:
        draw = random.Random(caller)
        last: list[dict[str, Any]] = []
        with httpx.Client(timeout=30) as client:
            while not self._stop.is_set():
                again = repeats and bool(last) and draw.random() < 0.1
                batch = last if again else [_event(caller) for _ in range(draw.choice((1, 1, 20)))]
                deadline = time.monotonic() + GIVE_UP
                while not self._send(client, batch):
                    if not repeats:
                        return
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"no answer to a batch in {GIVE_UP:g} s: {self.statuses}")
                    time.sleep(PAUSE)
                last = batch

    def _send(self, client: httpx.Client, batch: Sequence[dict[str, Any]]) -> bool:
        try:
            answer = client.post(f"{self.address}/v1/track", json={"events": batch})
        except httpx.TransportError as error:
            with self._lock:
                self.statuses[type(error).__name__] += 1
            return False
        with self._lock:
            self.statuses[str(answer.status_code)] += 1
            if answer.status_code != 200:
                return False
            body = answer.json()
            if body["accepted"] + body["duplicates"] != len(batch):
                raise ValueError(f"a batch of {len(batch)} events is not taken as a whole: {body}")
            self.answered.update(event["event_id"] for event in batch)
        return True


def _event(caller: int) -> dict[str, Any]:
    return {
        "event_id": os.urandom(8).hex(),
        "event_name": "search",
        "event_time": datetime.now(UTC).isoformat(),
        "user_id": f"shopper-{caller}-{random.randrange(200)}",
        "source": "web",
        "params": {"search_term": "red dress"},
    }


def kill(service: RunningService, what: str) -> None:
    """End one of KINDS with SIGKILL; a parent's workers have to end by themselves, and give its port back."""
    parent = psutil.Process(service.process.pid)
    children = parent.children(recursive=True)
    if what == "worker":
        for worker in filter(_is_worker, children):
            worker.kill()
        return
    # The parent first, so that it starts nothing anew.
    for process in (parent, *children) if what == "service" else (parent,):
        process.kill()
    service.process.wait(60)
    _, orphans = psutil.wait_procs(children, timeout=120)
    for orphan in orphans:
        orphan.kill()
    assert not orphans, f"processes outlived their parent:\n{service.log.read_text()[-4000:]}"


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "_bentoml_impl.worker.service" in process.cmdline()
    except psutil.NoSuchProcess:  # it ended meanwhile
        return False


@contextmanager
def killed_under_load(home: Path, kills: Sequence[str], seconds: float, load: Load) -> Iterator[RunningService]:
    """Run the service on `home` under `load`, killed once for each of `kills` (of KINDS); give what runs."""
    with ExitStack() as started:
        service = started.enter_context(running_service(home))
        load.address = service.address
        with load.running():
            for what in kills:
                time.sleep(seconds)
                kill(service, what)
                if what != "worker":
                    port = httpx.URL(service.address).port
                    service = started.enter_context(running_service(home, port=port))
                _wait_until_answered(load, service)
            time.sleep(seconds)
        yield service


def terminated_under_load(service: RunningService, seconds: float, load: Load) -> None:
    """Stop `service` under `load` as a supervisor does; each batch is sent once."""
    load.address = service.address
    with load.running(repeats=False):
        _wait_until_answered(load, service)
        time.sleep(seconds)
        os.kill(service.process.pid, signal.SIGTERM)
        service.process.wait(60)


def _wait_until_answered(load: Load, service: RunningService) -> None:
    before, deadline = len(load.answered), time.monotonic() + GIVE_UP
    while len(load.answered) == before:
        assert time.monotonic() < deadline, (
            f"nothing is answered any more: {load.statuses}\n{service.log.read_text()[-4000:]}"
        )
        time.sleep(0.1)


@dataclass(frozen=True)
class Verdict:
    """What the log says about a load: ids accepted and not there, there more than once, and there unanswered."""

    logged: int
    lost: frozenset[str]
    doubled: frozenset[str]
    unanswered: frozenset[str]

    @property
    def holds(self) -> bool:
        """Whether the log has what was accepted, all of it once and nothing else."""
        return not (self.lost or self.doubled or self.unanswered)

    @classmethod
    def of(cls, home: Path, *loads: Load) -> Self:
        """Read the log of `home`, which got `loads` and nothing else."""
        found = Counter(json.loads(line.data)["event_id"] for line in read_log(home / "event_log"))
        there, answered = found.keys(), frozenset[str]().union(*(load.answered for load in loads))
        doubled = frozenset(event_id for event_id, count in found.items() if count > 1)
        return cls(found.total(), frozenset(answered - there), doubled, frozenset(there - answered))


def main() -> int:
    """Kill, stop, and compare what was answered with what the log holds; 1 where a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of the worker, the service, its parent, in turn")
    parser.add_argument("--seconds", type=float, default=2.0, help="of load between two kills")
    arguments = parser.parse_args()
    print(f"machine: {machine()}; {CALLERS} callers, batches of 1 and 20")
    kills = [KINDS[number % len(KINDS)] for number in range(arguments.kills)]
    killed, stopped = Load(), Load()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with killed_under_load(home, kills, arguments.seconds, killed) as service:
            terminated_under_load(service, arguments.seconds, stopped)
        verdict = Verdict.of(home, killed, stopped)
    print(f"{len(kills)} kills, then a SIGTERM: {verdict.logged:,} lines in the log")
    for name, load in (("SIGKILL", killed), ("SIGTERM", stopped)):
        print(f"{name}: {len(load.answered):,} events answered as accepted; answers {dict(load.statuses)}")
    print(
        f"lost {len(verdict.lost)}, doubled {len(verdict.doubled)}, logged without an answer {len(verdict.unanswered)}"
    )
    return 0 if verdict.holds else 1


if __name__ == "__main__":
    sys.exit(main())
