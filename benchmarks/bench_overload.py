"""What callers wait for when more is asked than can be answered: `python -m benchmarks.bench_overload [--seconds N]`.

Claim: at several times the load that the service can carry, load shedding keeps the wait of those who are answered
near its limit, refuses the others at once, and leaves as many answers as without it. Without it the wait grows until
requests time out. Both run in this command, one after the other, each in a service of its own; requests begin at fixed
moments whether or not those before are answered (open loop), each on a connection of its own, from this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from intent_tracking.release import publish
from tests.artifacts import TEXTS, tiny_component
from tests.fakes.service_process import running_service

TEXTS_A_CALL = 256
WAIT_SECONDS = 1.0
WARM_UP = 5
# The same settings with limits that nothing reaches.
WAYS = {
    "shedding": {"INTENT_MAX_WAIT_SECONDS": str(WAIT_SECONDS)},
    "no shedding": {"INTENT_MAX_WAIT_SECONDS": "1000000", "INTENT_MAX_IN_FLIGHT": "1000000"},
}
BODY = json.dumps({"texts": [TEXTS[number % len(TEXTS)] for number in range(TEXTS_A_CALL)]}).encode()


@dataclass(frozen=True)
class Call:
    """One answer: its status, the seconds until it was there, and the seconds that it told the caller to wait."""

    status: int
    seconds: float
    retry_after: int | None


async def _call(host: str, port: int, path: str, body: bytes | None) -> Call:
    begin = time.perf_counter()
    reader, writer = await asyncio.open_connection(host, port)
    try:
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n"
        sent = body or b""
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n\r\n".encode() + sent)
        answer = await reader.read(-1)
    finally:
        writer.close()
    lines = answer.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")
    waits = [int(line.partition(b":")[2]) for line in lines if line.startswith(b"retry-after:")]
    return Call(int(lines[0].split()[1]), time.perf_counter() - begin, waits[0] if waits else None)


async def _overload(address: str, times: float, seconds: float) -> tuple[float, list[Call], list[Call]]:
    """Requests a second that one caller gets, then all calls at `times` that rate, and those of a probe meanwhile."""
    host, port = urlsplit(address).hostname or "", urlsplit(address).port or 0
    alone = [(await _call(host, port, "/v1/intent", BODY)).seconds for _ in range(3 * WARM_UP)][WARM_UP:]
    rate = 1 / statistics.median(alone)
    calls: list[asyncio.Task[Call]] = []
    probes: list[asyncio.Task[Call]] = []
    begin = time.perf_counter()
    for number in range(int(rate * times * seconds)):
        await asyncio.sleep(max(0.0, begin + number / (rate * times) - time.perf_counter()))
        calls.append(asyncio.create_task(_call(host, port, "/v1/intent", BODY)))
        if number % max(1, int(rate * times / 4)) == 0:
            probes.append(asyncio.create_task(_call(host, port, "/livez", None)))
    return rate, await asyncio.gather(*calls), await asyncio.gather(*probes)


def _quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


def main() -> None:
    """Measure both ways and print them side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="for which requests keep coming")
    parser.add_argument("--times", type=float, default=4.0, help="the load, in that of one caller who never pauses")
    options = parser.parse_args()
    print(f"{TEXTS_A_CALL} texts a call, for {options.seconds:g} s; sheds above a wait of {WAIT_SECONDS:g} s")
    for way, variables in WAYS.items():
        os.environ.pop("INTENT_MAX_IN_FLIGHT", None)
        os.environ.update(variables)
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder)
            publish(home / "release.json", {"intent_model": tiny_component(home, "m-a")}, "bench")
            with running_service(home) as service:
                service.wait_for_release(1)
                rate, calls, probes = asyncio.run(_overload(service.address, options.times, options.seconds))
        answered = [call.seconds for call in calls if call.status == 200]
        refused = [call.seconds for call in calls if call.status == 503]
        told = sorted({call.retry_after for call in calls if call.retry_after is not None})
        print(
            f"{way:12} one caller {rate:.1f}/s, offered {rate * options.times:.1f}/s: "
            f"{dict(sorted(Counter(call.status for call in calls).items()))}\n"
            f"{'':12} answered p50 {_quantile(answered, 0.5):.2f} s, p99 {_quantile(answered, 0.99):.2f} s; "
            f"refused p99 {_quantile(refused, 0.99):.2f} s, Retry-After {told}; "
            f"/livez p99 {_quantile([probe.seconds for probe in probes], 0.99):.2f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
