"""The intent service as its own process, and callers that keep talking to it while the model is switched."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

READY_SECONDS = 90
CALL_SECONDS = 30


class ServiceError(RuntimeError):
    """The service did not start, or refused a call of the demo."""


def free_port(preferred: int) -> int:
    """`preferred` if nothing listens there, else a port that the system picks."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ServiceError("no free port on 127.0.0.1")


@dataclass(frozen=True)
class Service:
    """A running service at `address`."""

    address: str

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST `body` (GET without one) and return the JSON answer.

        Raises:
            ServiceError: any answer but 200; the message carries the service's own words.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - the address is our own loopback server
            self.address + path, data=data, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=CALL_SECONDS) as answer:  # noqa: S310 - as above
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise ServiceError(f"{path} answered {error.code}: {error.read().decode()[:500]}") from error
        decoded: dict[str, Any] = json.loads(content) if content else {}
        return decoded

    def is_ready(self) -> bool:
        """Whether a model serves."""
        try:
            with urllib.request.urlopen(self.address + "/readyz", timeout=2):  # noqa: S310 - as above
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def wait_for_model(self, version: str, seconds: float = 60) -> None:
        """Return when answers come from `version`.

        Raises:
            ServiceError: they do not within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while (serving := self.call("/v1/intent", {"texts": ["hello"]})["model_version"]) != version:
            if time.monotonic() > deadline:
                raise ServiceError(f"the service still answers with {serving}, not {version}, after {seconds:g} s")
            time.sleep(0.1)

    def track(self, events: Sequence[dict[str, Any]], batch: int = 500) -> Counter[str]:
        """Send `events` in batches; counts of accepted, duplicates and rejected."""
        totals: Counter[str] = Counter()
        for start in range(0, len(events), batch):
            answer = self.call("/v1/track", {"events": list(events[start : start + batch])})
            totals["accepted"] += answer["accepted"]
            totals["duplicates"] += answer["duplicates"]
            totals["rejected"] += len(answer["rejected"])
        return totals


@contextmanager
def running_service(home: Path, log: Path, port: int) -> Iterator[Service]:
    """Start the service on loopback with the release of `home`, yield it when ready, stop it on leaving.

    Raises:
        ServiceError: it was not ready in time; names the log to read.
    """
    environment = {
        **os.environ,
        "INTENT_HOME": str(home),
        "INTENT_TRUST_RECEIVED_TIME": "true",  # the demo replays days of the simulated past
        "BENTOML_HOME": str(home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "bentoml", "serve", "bentos.intent_service.service:IntentService"]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        service = Service(f"http://127.0.0.1:{port}")
        try:
            deadline = time.monotonic() + READY_SECONDS
            while not service.is_ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ServiceError(f"the service was not ready in {READY_SECONDS} s; its log is {log}")
                time.sleep(0.2)
            yield service
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes], patience: float = 15) -> None:
    """End a process and its children: politely, then for good."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass
class Callers:
    """Threads that ask the service without pause, and what they saw: the proof that a switch loses no request."""

    service: Service
    texts: Sequence[str]
    threads: int = 2
    pause: float = 0.4
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _workers: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Callers":
        self._workers = [threading.Thread(target=self._ask, daemon=True) for _ in range(self.threads)]
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for worker in self._workers:
            worker.join()

    def _ask(self) -> None:
        while not self._stop.is_set():
            try:
                answer = self.service.call("/v1/intent", {"texts": list(self.texts), "scene": "customer_service"})
            except (ServiceError, OSError) as error:
                self.failures.append(str(error))
            else:
                self.answers[answer["model_version"]] += 1
            self._stop.wait(self.pause)
