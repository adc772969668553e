"""Does anything that a caller sends end in a failure of the service? `python -m benchmarks.bench_hostile`.

Claim: of 10,000 hostile requests that hypothesis draws, and of those that schemathesis makes from the OpenAPI document,
none is answered by 5xx or not at all, and the process that took the first one takes the last. The service runs as
`make serve` starts it, in BentoML's processes with a real model and an artifact of each application, without keys;
callers are one process on this machine.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from intent_tracking.release import publish
from tests.artifacts import tiny_component
from tests.fakes.hostile_requests import HostileRequest, hostile_requests
from tests.fakes.released_applications import released_applications
from tests.fakes.service_process import running_service

CHUNK_BYTES = 65_536
ANSWER_SECONDS = 60.0
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


class Caller:
    """One connection that is opened anew when the service ended it. `slowest` is the longest answer in seconds."""

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc
        self._connection = http.client.HTTPConnection(self._host, timeout=ANSWER_SECONDS)
        self.slowest = (0.0, "")

    def status(self, request: HostileRequest) -> int:
        """The status of the answer to `request`.

        Raises:
            OSError, http.client.HTTPException: there is none.
        """
        begin = time.monotonic()
        try:
            status = self._ask(request)
        except (ConnectionError, http.client.HTTPException):
            # A connection may have ended after the answer before; that on a new one has no such excuse.
            self._connection.close()
            status = self._ask(request)
        self.slowest = max(self.slowest, (time.monotonic() - begin, f"{request.kind} {request.target[:40]}"))
        return status

    def _ask(self, request: HostileRequest) -> int:
        connection = self._connection
        names = {name for name, _ in request.headers}
        connection.putrequest(request.method, request.target, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in request.headers:
            connection.putheader(name, value.encode("latin-1"))
        if request.chunked:
            connection.putheader("transfer-encoding", "chunked")
        elif request.body:
            connection.putheader("content-length", str(len(request.body)))
        connection.endheaders()
        if request.chunked:
            for part in _parts(request.body):
                connection.send(b"%x\r\n%b\r\n" % (len(part), part))
            connection.send(b"0\r\n\r\n")
        else:
            connection.send(request.body)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def _parts(body: bytes) -> Iterator[bytes]:
    yield from (body[at : at + CHUNK_BYTES] for at in range(0, len(body), CHUNK_BYTES))


def hostile(address: str, count: int, seeded: int) -> Counter[tuple[str, str]]:
    """Send `count` hostile requests: how often each kind had each status, "none" where no answer came."""
    found: Counter[tuple[str, str]] = Counter()
    caller = Caller(address)

    @seed(seeded)
    @_drawn(count)
    @given(request=hostile_requests())
    def send(request: HostileRequest) -> None:
        try:
            status = str(caller.status(request))
        except (OSError, http.client.HTTPException) as error:
            status = "none"
            print(
                f"no answer ({error!r}) to {request.method} {request.target!r} {request.headers} {request.body[:200]!r}"
            )
        if status.startswith("5"):
            print(f"{status} to {request.method} {request.target!r} {request.headers} {request.body[:500]!r}")
        found[request.kind, status] += 1

    send()
    print(f"  slowest answer {caller.slowest[0]:.2f} s ({caller.slowest[1]})")
    return found


def documented(address: str, count: int, seeded: int) -> Counter[tuple[str, str]]:
    """Send what schemathesis makes of the document, `count` requests an operation and mode, and check every answer."""
    found: Counter[tuple[str, str]] = Counter()
    schema = schemathesis.openapi.from_url(f"{address}/docs.json")
    for result in schema.get_all_operations():
        operation = result.ok()
        if any("text/event-stream" in str(answer) for answer in operation.definition.raw["responses"].values()):
            continue
        for mode in GenerationMode:
            if mode is GenerationMode.NEGATIVE and "requestBody" not in operation.definition.raw:
                continue

            _made(operation, mode, address, count, seeded, found)
    return found


def _made(
    operation: schemathesis.APIOperation,
    mode: GenerationMode,
    address: str,
    count: int,
    seeded: int,
    found: Counter[tuple[str, str]],
) -> None:
    @seed(seeded)
    @_drawn(count)
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case) -> None:
        answer = case.call_and_validate(base_url=address, checks=CHECKS)
        found[f"{operation.label} {mode}", str(answer.status_code)] += 1

    send()


def _drawn(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


def _print(title: str, found: Counter[tuple[str, str]]) -> None:
    statuses = sorted({status for _, status in found})
    width = max(len(kind) for kind, _ in found)
    print(f"{title}: {found.total()} requests")
    print(f"  {'':{width}}" + "".join(f"{status:>7}" for status in statuses))
    for kind in sorted({kind for kind, _ in found}):
        print(f"  {kind:{width}}" + "".join(f"{found[kind, status] or '':>7}" for status in statuses))
    print(
        f"  {'all':{width}}"
        + "".join(f"{sum(found[k, status] for k, s in found if s == status):>7}" for status in statuses)
    )


def main() -> None:
    """Start the service, send, print counts by status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, help="hostile requests that hypothesis draws")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        components = {"intent_model": tiny_component(home, "m-a"), **released_applications(home)}
        publish(home / "release.json", components, "bench")
        with running_service(home) as service:
            service.wait_for_release(1)
            before = _children(service.process.pid)
            begin = time.monotonic()
            sent = hostile(service.address, options.requests, options.seed)
            _print(f"hypothesis, {time.monotonic() - begin:.0f} s", sent)
            begin = time.monotonic()
            made = documented(service.address, max(1, options.requests // 50), options.seed)
            _print(f"schemathesis, {time.monotonic() - begin:.0f} s", made)
            died = before - _children(service.process.pid)
            failures = [line for line in service.log.read_text().splitlines() if "Traceback" in line]
    bad = sum(count for (_, status), count in (sent + made).items() if status == "none" or status.startswith("5"))
    print(f"answers of 5xx or none: {bad}; processes that died: {len(died)}; tracebacks in the log: {len(failures)}")
    sys.exit(1 if bad or died or failures else 0)


def _children(pid: int) -> set[int]:
    """The processes below `pid` and itself."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            # It ended between the two looks.
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


if __name__ == "__main__":
    main()
