"""How fast the intent service is, beside what it can be compared with: `make bench-service`; `ARGS=--smoke`: 2 minutes.

Everything runs in one go on this machine, in turns, so that a ratio compares like with like: the service as `make
serve` starts it, a plain FastAPI service around a transformers pipeline on the same encoder, and the bare int8 network.
The load comes from `wrk` (apt-get install wrk), whose own cost is microseconds a request; texts are distinct, the
service's result cache and rate limit are off. Each figure is the median of the rounds. `--model` reuses the folder that
`--keep` left; without it a model is trained first, in a minute. `--memory-seconds 3600` watches the memory of the
workers for an hour, under texts, events and explanations at once and with the cache on.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from benchmarks.service.bare import BareForward
from benchmarks.service.bodies import session_texts, write_events, write_explanations, write_texts
from benchmarks.service.features import read_seconds, write_store
from benchmarks.service.model import TRAINING_SECONDS, make_models, texts
from benchmarks.service.processes import Server, intent_service, plain_service, require_wrk, resident_bytes, wrk
from benchmarks.service.switching import SwitchLoad
from intent_tracking.modeling.loading import load_config
from intent_tracking.release import Component, publish
from intent_tracking.sessions.render import render_utterance

MODELS = ("bench-a", "bench-b")
CALLERS, TEXTS_A_CALL, TRACKERS, EVENTS_A_CALL = 32, 32, 16, 100
_WARM_SECONDS = 60.0  # of load below which memory is still that of a start
_NO_LIMITS = {"INTENT_REQUESTS_PER_SECOND": "1000000", "INTENT_LOG_LEVEL": "warning", "INTENT_CACHED_PREDICTIONS": "0"}


@dataclass(frozen=True)
class Size:
    """How long everything is measured, in seconds, and how often."""

    rounds: int
    seconds: float
    latency_seconds: float
    training: float
    reads: int
    switches: int
    memory: float


FULL = Size(rounds=5, seconds=6, latency_seconds=20, training=TRAINING_SECONDS, reads=20_000, switches=10, memory=180)
SMOKE = Size(rounds=1, seconds=2, latency_seconds=3, training=15, reads=3_000, switches=2, memory=6)


@dataclass
class Report:
    """The table, printed line by line as the figures come."""

    failed: list[str] = field(default_factory=list)

    def line(self, what: str, figure: str, target: str = "", holds: bool | None = None) -> None:
        """One row; `holds` says whether the target is reached."""
        verdict = "" if holds is None else "yes" if holds else "NO"
        print(f"{what:58} {figure:>34}  {target:34} {verdict}", flush=True)
        if holds is False:
            self.failed.append(what)


@dataclass(frozen=True)
class Bench:
    """What all measurements share."""

    folder: Path
    models: tuple[Path, Path]
    texts: list[str]
    size: Size
    cores: int
    settings: dict[str, str]
    report: Report

    def home(self, name: str) -> Path:
        """A new home whose release is the first model."""
        home = self.folder / name
        home.mkdir()
        publish(home / "release.json", {"intent_model": Component.of(self.models[0])}, "benchmark")
        return home


def intents(bench: Bench) -> None:
    """`/v1/intent` against the bare network and the plain service, in turns."""
    many, one = bench.folder / "many.jsonl", bench.folder / "one.jsonl"
    parts = write_texts(many, bench.texts, TEXTS_A_CALL)
    write_texts(one, bench.texts, 1)
    bare = BareForward(bench.models[0], bench.cores)
    rendered = [[render_utterance(text).text for text in part] for part in parts[:100]]
    calls, sorted_calls = bare.batches(rendered), bare.batches(rendered, by_length=True)
    alone = bare.batches([[render_utterance(text).text] for text in bench.texts[:1000]])
    found: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    def rate(taken: list[float], each: int) -> float:
        return each * len(taken) / sum(taken)

    with (
        intent_service(bench.home("intents"), bench.settings) as service,
        plain_service(bench.models[0], bench.folder) as plain,
    ):
        bench.report.line("start to ready", f"{service.ready_seconds:.1f} s", "<= 10 s", service.ready_seconds <= 10)
        urls = service.url("/v1/intent"), plain.url("/v1/intent")
        for url in urls:
            wrk(url, one, CALLERS, 2)
        for _ in range(bench.size.rounds):
            add("bare", rate(bare.seconds(calls, bench.size.seconds), TEXTS_A_CALL))
            add("bare sorted", rate(bare.seconds(sorted_calls, bench.size.seconds), TEXTS_A_CALL))
            for name, url, bodies, callers, each in (
                ("many", urls[0], many, 4, TEXTS_A_CALL),
                ("many alone", urls[0], many, 1, TEXTS_A_CALL),
                ("one", urls[0], one, CALLERS, 1),
                ("plain", urls[1], one, CALLERS, 1),
            ):
                load = wrk(url, bodies, callers, bench.size.seconds)
                add(name, each * load.rate)
                add(f"{name} failed", load.failed)
                add(f"{name} p99", load.p99)
        single = bare.seconds(alone, bench.size.latency_seconds / 2)
        lone = wrk(urls[0], one, 1, bench.size.latency_seconds)
    middle = {name: median(values) for name, values in found.items()}
    failed = sum(sum(values) for name, values in found.items() if name.endswith("failed"))
    line = bench.report.line
    line("bare int8 forward, 32 texts a run", f"{middle['bare']:.0f} texts/s")
    line("the same in the runs that the service makes", f"{middle['bare sorted']:.0f} texts/s")
    for name, callers in (("many", 4), ("many alone", 1)):
        share = middle[name] / middle["bare"]
        figure = f"{middle[name]:.0f} texts/s = {share:.2f} of bare"
        line(f"/v1/intent, 32 texts a call, callers: {callers}", figure, ">= 0.9 of bare", share >= 0.9)
    line("plain FastAPI + transformers, 1 text, 32 callers", f"{middle['plain']:.0f} requests/s")
    line("/v1/intent, 1 text, 32 callers", f"{middle['one']:.0f}/s, p99 {1000 * middle['one p99']:.0f} ms")
    line(
        "  against the plain service",
        f"{middle['one'] / middle['plain']:.1f}x",
        ">= 8x",
        middle["one"] >= 8 * middle["plain"],
    )
    line(
        "  against bare forward",
        f"{middle['one'] / middle['bare']:.2f}",
        ">= 0.5",
        middle["one"] >= 0.5 * middle["bare"],
    )
    base, base_99 = median(single), quantiles(single, n=100)[98]
    line("bare forward, one text, p50 / p99", f"{1000 * base:.2f} / {1000 * base_99:.2f} ms")
    holds = lone.p50 <= base + 0.0015 and lone.p99 <= base_99 + 0.006
    figure = f"{1000 * lone.p50:.2f} / {1000 * lone.p99:.2f} / {1000 * lone.p99_9:.2f} ms"
    line("/v1/intent, 1 text, 1 caller, p50 / p99 / p99.9", figure, "bare + 1.5 ms / + 6 ms", holds)
    line("  longest", f"{1000 * lone.longest:.1f} ms of {lone.requests} requests")
    line("requests that failed", f"{failed + lone.failed:.0f}", "0", failed + lone.failed == 0)


def tracking(bench: Bench) -> None:
    """`/v1/track`, every event on disk before its answer."""
    seconds, line = bench.size.latency_seconds, bench.report.line
    home = bench.home("tracking")
    single, batches = bench.folder / "single.jsonl", bench.folder / "batches.jsonl"
    write_events(single, bench.texts, int(3000 * seconds), 1)
    write_events(batches, bench.texts, int(150 * seconds), EVENTS_A_CALL)
    # The model reads a whole visit again after each event: that alone bounds the rate.
    bare = BareForward(bench.models[0], bench.cores)
    visits = session_texts(bench.texts, 100)
    after_each = [text for visit in visits for text in visit]
    runs = {
        1: [after_each[start : start + TRACKERS] for start in range(0, len(after_each), TRACKERS)],
        EVENTS_A_CALL: [[visit[-1] for visit in visits[start : start + 10]] for start in range(0, len(visits), 10)],
    }
    with intent_service(home, bench.settings) as service:
        for bodies, callers, each, least in ((single, TRACKERS, 1, 500), (batches, 4, EVENTS_A_CALL, 5000)):
            taken = bare.seconds(bare.batches(runs[each]), bench.size.latency_seconds / 4)
            bound = len(taken) / sum(taken) * (TRACKERS if each == 1 else EVENTS_A_CALL)
            before = _accepted(service)
            load = wrk(service.url("/v1/track"), bodies, callers, seconds)
            rate = (_accepted(service) - before) / load.seconds
            holds = rate >= least and not load.failed and (each > 1 or load.p99 <= 0.05)
            line(
                f"/v1/track, durable, events a call: {each}, callers: {callers}",
                f"{rate:.0f} events/s, p99 {1000 * load.p99:.0f} ms",
                f">= {least} events/s" + (", p99 <= 50 ms" if each == 1 else ""),
                holds,
            )
            line("  bare forward of the same visits, nothing else", f"{bound:.0f} events/s: {rate / bound:.2f} of it")
            if load.failed:
                line("  requests that failed", f"{load.failed}", "0", False)


def online_features(bench: Bench) -> None:
    """One user's 50 features from the online store."""
    path = bench.folder / "online.db"
    write_store(path)
    read_seconds(path, 500)
    taken = read_seconds(path, bench.size.reads)
    p50, p99 = median(taken), quantiles(taken, n=100)[98]
    figure = f"{1000 * p50:.3f} / {1000 * p99:.3f} ms"
    bench.report.line("online features, 1 user x 50, p50 / p99", figure, "<= 0.5 / 1 ms", p50 <= 5e-4 and p99 <= 1e-3)


def memory(bench: Bench) -> None:
    """Resident memory of the workers, read from /proc every second while all that a shop asks for goes on at once."""
    texts_one, events, asked = (bench.folder / f"memory-{what}.jsonl" for what in ("texts", "events", "explain"))
    write_texts(texts_one, bench.texts, 1)
    write_events(events, bench.texts, 20_000, 1, again=True)
    write_explanations(asked, bench.texts)
    loads = (("/v1/intent", texts_one, 16), ("/v1/track", events, 4), ("/v1/explain", asked, 1))
    samples: list[list[int]] = []
    # Full after seconds, so that from then on the cache forgets as much as it learns.
    settings = {**bench.settings, "INTENT_CACHED_PREDICTIONS": "1000"}
    with intent_service(bench.home("memory"), settings) as service, ThreadPoolExecutor(len(loads)) as pool:
        wrk(service.url("/v1/intent"), texts_one, CALLERS, 2)
        workers = service.workers()
        running = [
            pool.submit(wrk, service.url(path), bodies, callers, bench.size.memory) for path, bodies, callers in loads
        ]
        while not all(load.done() for load in running):
            samples.append([resident_bytes(worker) for worker in workers])
            time.sleep(1.0)
        done = [load.result() for load in running]
    for number, of_worker in enumerate(zip(*samples, strict=True), start=1):
        quarter = max(1, len(of_worker) // 4)
        # The first quarter fills buffers and allocator pools once.
        early, late = median(of_worker[quarter : 2 * quarter] or of_worker), median(of_worker[-quarter:])
        growth = (late - early) / early
        bench.report.line(
            f"memory of worker {number} over {bench.size.memory:.0f} s of load, 2nd and last quarter",
            f"{early / 1e6:.0f} -> {late / 1e6:.0f} MB ({100 * growth:+.1f}%)",
            "flat (within 2%)",
            growth <= 0.02 if bench.size.memory >= _WARM_SECONDS else None,
        )
    for (path, _, _), load in zip(loads, done, strict=True):
        figure = f"{load.requests}, of which {load.failed} failed"
        bench.report.line(f"  {path} meanwhile", figure, "0 failed", load.requests > 0 and not load.failed)


def switching(bench: Bench) -> None:
    """Releases back and forth under load, with as many workers as there are cores, up to two."""
    workers = min(2, bench.cores)
    home = bench.home("switching")
    components = {model.name: Component.of(model) for model in bench.models}
    with intent_service(home, {**bench.settings, "INTENT_WORKERS": str(workers)}) as service:
        load = SwitchLoad(service, bench.models, bench.texts)
        load.run(home / "release.json", components, bench.size.switches, pause=2.0)
    served = {name: load.answers[name] for name in MODELS}
    bad = load.answers["failed"], load.answers["mixed"]
    figure = f"{bad[0]} failed, {bad[1]} mixed of {sum(load.answers.values())}"
    holds = bad == (0, 0) and all(served.values())
    bench.report.line(
        f"{bench.size.switches} switches under load, workers: {workers}", figure, "0 failed, 0 mixed", holds
    )


def _accepted(server: Server) -> float:
    with urllib.request.urlopen(server.url("/metrics"), timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith('intent_events_total{result="accepted"'))


def _models(folder: Path, reuse: Path | None, seconds: float) -> tuple[Path, Path]:
    if reuse is not None:
        return reuse / MODELS[0], reuse / MODELS[1]
    print(f"training the models for {seconds:.0f} s ...", flush=True)
    return make_models(folder, seconds)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _measurements(only: list[str]) -> Iterator[Callable[[Bench], None]]:
    known = {each.__name__: each for each in (intents, tracking, online_features, memory, switching)}
    yield from (known[name] for name in only) if only else known.values()


def main() -> int:
    """Print the table; 1 where a target is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="short: whether everything works, not how fast")
    parser.add_argument("--model", type=Path, help="folder with bench-a and bench-b")
    parser.add_argument("--keep", type=Path, help="folder that takes the trained models")
    parser.add_argument("--workers", type=int, default=1, help="INTENT_WORKERS, but for the switches")
    parser.add_argument("--memory-seconds", type=float, help="time of load over which memory is watched")
    parser.add_argument(
        "--only", nargs="*", default=[], choices=["intents", "tracking", "online_features", "memory", "switching"]
    )
    given = parser.parse_args()
    require_wrk()
    size = SMOKE if given.smoke else FULL
    if given.memory_seconds:
        size = Size(**{**vars(size), "memory": given.memory_seconds})
    cores = len(os.sched_getaffinity(0))
    print(f"{platform.node()}: {_processor()}, {cores} cores, {platform.system()}, Python {platform.python_version()}")
    print(
        f"workers: {given.workers}; load by wrk; {size.rounds} rounds of {size.seconds:g} s; result cache: memory alone"
    )
    report = Report()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        models = _models(folder / "models", given.model, size.training)
        if given.keep is not None:
            for model in models:
                shutil.copytree(model, given.keep / model.name)
        settings = {**_NO_LIMITS, "INTENT_WORKERS": str(given.workers)}
        # Sessions are cut to it: what /v1/track costs depends on it.
        print(f"the model reads at most {load_config(models[0]).max_tokens} tokens of a text or session")
        bench = Bench(folder, models, texts(), size, cores, settings, report)
        for measure in _measurements(given.only):
            measure(bench)
    print("every target is reached" if not report.failed else f"not reached: {', '.join(report.failed)}")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
