"""The real service as a process on a free port of this machine."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
SERVICE = "bentos.intent_service.service:IntentService"
# Below what the kernel gives to connections: until a server listens, or while a test keeps it away, nobody takes its
# port. Workers of one run have a thousand each; two runs beside each other begin at different places.
_PORTS = itertools.count(20_000 + 1_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) + os.getpid() % 900)


@dataclass(frozen=True)
class RunningService:
    """A started service; `started_in` is seconds from the command to the first answer of /livez."""

    address: str
    log: Path
    process: subprocess.Popen[bytes]
    started_in: float

    def call(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and decoded answer: POST with a body, GET without."""
        method = "GET" if body is None else "POST"
        answer = httpx.request(method, self.address + path, json=body, timeout=60)
        is_json = answer.headers["content-type"].startswith("application/json")
        return answer.status_code, answer.json() if is_json else answer.text

    def wait_for_release(self, number: int, seconds: float = 120) -> dict[str, Any]:
        """The answer of /v1/release once it serves `number`."""
        deadline = time.monotonic() + seconds
        while True:
            status, body = self.call("/v1/release")
            if status == 200 and body["number"] == number:
                found: dict[str, Any] = body
                return found
            assert time.monotonic() < deadline, (
                f"release {number} is not served: {status} {body}\n{self.log.read_text()}"
            )
            time.sleep(0.05)


@contextmanager
def running_service(
    home: Path,
    target: str = SERVICE,
    source: Path = ROOT,
    port: int | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningService]:
    """Start the documented command with `home`, wait until it lives, and stop it on leaving.

    `target` is what BentoML serves, `source` the folder that its packages come from.
    Without a `port` it takes a free one. `environment` is added to the variables of this process.
    """
    port = port or free_port()
    log = home / "service.log"
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bentoml", "serve", target]
    begin = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=source,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={
                **os.environ,
                "PYTHONPATH": str(source),
                "INTENT_HOME": str(home),
                "BENTOML_HOME": str(home / "bentoml"),
                "BENTOML_DO_NOT_TRACK": "True",
                "DO_NOT_TRACK": "1",
                **(environment or {}),
            },
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_it_answers(address + "/livez", process, log)
        yield RunningService(address, log, process, time.monotonic() - begin)
    finally:
        stop(process)


def free_port() -> int:
    """A port of this machine that nobody listens on, another one for each call."""
    return next(filter(_is_free, _PORTS))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process and its children as a supervisor does."""
    if process.poll() is None:
        # It may end by itself between the look and the signal.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_it_answers(url: str, process: subprocess.Popen[bytes], log: Path | None = None) -> None:
    """Wait until `url` of the server that `process` is answers 200, four minutes at most."""
    deadline = time.monotonic() + 240
    while not _answers(url):
        said = "" if log is None else f":\n{log.read_text()}"
        assert process.poll() is None, f"the server ended{said}"
        assert time.monotonic() < deadline, f"the server does not answer{said}"
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
