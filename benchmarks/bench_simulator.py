"""How fast the log simulator writes, on one core: `python -m benchmarks.bench_simulator [--events 1000000]`.

Claim: 1,000,000 events in under 60 s on one core, files, labels and truth included.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

from intent_tracking.events.simulator import SimulationConfig, simulate

EVENTS_PER_SESSION = 8.8
TARGET_SECONDS = 60.0


def machine() -> str:
    """Processor, cores and Python of this machine in one line."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
    ]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    """Simulate 30 days that hold about the asked number of events, and print the rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    events = parser.parse_args().events
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    config = SimulationConfig(shoppers=20_000, sessions_per_day=max(1, round(events / 30 / EVENTS_PER_SESSION)))
    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.perf_counter(), time.process_time()
        report = simulate(config, Path(folder))
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"machine: {machine()}; pinned to one core")
    print(f"{report.lines:,} log lines, {size / 1e6:,.0f} MB: {wall:.1f} s wall, {cpu:.1f} s CPU, {rss:,.0f} MB peak")
    for clock, seconds in (("wall", wall), ("CPU", cpu)):
        rate = report.lines / seconds
        print(f"{clock}: {rate:,.0f} events/s, 1M events in {1e6 / rate:.1f} s (target {TARGET_SECONDS:.0f} s)")


if __name__ == "__main__":
    main()
