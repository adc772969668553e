"""What the benchmark starts and asks: servers as processes, and `wrk`, whose own cost is microseconds a request."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("bodies.lua")
SERVICE = "bentos.intent_service.service:IntentService"
_READY_SECONDS = 300.0


@dataclass(frozen=True)
class Server:
    """A server that answers; `ready_seconds` went from its command to its first good answer."""

    port: int
    process: subprocess.Popen[bytes]
    ready_seconds: float

    def url(self, path: str) -> str:
        """The address of `path`."""
        return f"http://127.0.0.1:{self.port}{path}"

    def workers(self) -> list[int]:
        """Process ids of its workers: the processes below the one that was started, or that one alone."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        resident = {int(child): resident_bytes(int(child)) for child in children}
        # BentoML's supervisor has a helper of its own that loads nothing.
        return [child for child, size in resident.items() if size > 150e6] or [self.process.pid]


@dataclass(frozen=True)
class Load:
    """What came of a time of load; times in seconds, from the first byte sent to the last one received."""

    requests: int
    seconds: float
    failed: int
    p50: float
    p99: float
    p99_9: float
    longest: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def require_wrk() -> str:
    """The path of `wrk`; ends the program with the way to install it where there is none."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("the load generator is missing: apt-get install wrk (Debian), brew install wrk (macOS)")
    return found


def wrk(url: str, bodies: Path, callers: int, seconds: float) -> Load:
    """Post the lines of `bodies` to `url` from `callers` connections, each with one request at a time."""
    command = [require_wrk(), "-t1", f"-c{callers}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
    done = subprocess.run(
        [*command, "-s", str(SCRIPT), url, "--", str(bodies)], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return Load(**found)


@contextmanager
def intent_service(home: Path, settings: Mapping[str, str]) -> Iterator[Server]:
    """The intent service as `make serve` starts it, with these settings beside INTENT_HOME."""
    port = _free_port()
    command = [sys.executable, "-m", "bentoml", "serve", SERVICE, "--host", "127.0.0.1", "--port", str(port)]
    variables = {
        "INTENT_HOME": str(home),
        "BENTOML_HOME": str(home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        **settings,
    }
    with _started(command, port, "/readyz", home / "service.log", variables) as server:
        yield server


@contextmanager
def plain_service(model: Path, folder: Path) -> Iterator[Server]:
    """FastAPI around a transformers pipeline (`benchmarks.service.plain`)."""
    port = _free_port()
    command = [sys.executable, "-m", "benchmarks.service.plain", str(model), str(port)]
    with _started(command, port, "/ready", folder / "plain.log", {}) as server:
        yield server


def resident_bytes(process: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _started(command: list[str], port: int, ready: str, log: Path, variables: Mapping[str, str]) -> Iterator[Server]:
    begin = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        )
    try:
        while not _answers(port, ready):
            if process.poll() is not None or time.monotonic() > begin + _READY_SECONDS:
                sys.exit(f"{command[2]} does not get ready:\n{log.read_text()}")
            time.sleep(0.02)
        yield Server(port, process, time.monotonic() - begin)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
