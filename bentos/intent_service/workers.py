"""The figures of several worker processes as those of one service: what prometheus_client's own merge leaves to us.

BentoML's parent process puts prometheus_client into its multi-process mode: each worker keeps its figures in files of
its own, in one folder, and whichever worker is asked reads them all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client import values as prometheus_values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.samples import Sample

_PROC: Final = Path("/proc")


def is_multiprocess() -> bool:
    """Whether this process keeps its figures where other workers of the service see them."""
    return bool(getattr(prometheus_values.ValueClass, "_multiprocess", False))


def forget_former_process() -> None:
    """Drop the gauges of a dead process that had this one's id; its counters go on."""
    if is_multiprocess():
        mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


class WorkerFigures:
    """A registry to render: the figures of `own` alone, or in multi-process mode those of all live workers.

    A worker that was killed cannot take its gauges away: they are removed here, so that it neither serves a model nor
    holds a queue any more. Memory and start of each worker are read from the operating system at this moment (Linux).
    """

    READ_AT_RENDER: ClassVar[Mapping[str, str]] = {
        "intent_process_resident_bytes": "Memory of a worker that is in use (resident set)",
        "intent_process_start_seconds": "When a worker started, in seconds since 1970",
    }

    def __init__(self, own: CollectorRegistry, drop_zero: Sequence[str]) -> None:
        """Render `own`; of the metrics named in `drop_zero`, samples of value 0 are left out."""
        self._own = own
        self._drop_zero = frozenset(drop_zero)

    def collect(self) -> Iterator[Metric]:
        """The metrics, as prometheus_client asks a registry for them."""
        if is_multiprocess():
            folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])  # prometheus_client's own setting, from BentoML
            _remove_dead(folder)
            metrics = MultiProcessCollector(None, str(folder)).collect()  # type: ignore[no-untyped-call]
        else:
            metrics = self._own.collect()
        for metric in metrics:
            if metric.name in self._drop_zero:
                metric.samples = [sample for sample in metric.samples if sample.value]
            elif metric.name in self.READ_AT_RENDER:
                metric.samples = list(_of_processes(metric))
            yield metric


def _remove_dead(folder: Path) -> None:
    for pid in {int(file.stem.rpartition("_")[2]) for file in folder.glob("gauge_live*.db")}:
        if not _is_worker(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def _is_worker(pid: int) -> bool:
    """Whether `pid` lives and has our parent: the number of a dead worker may have gone to a process of others."""
    if pid == os.getpid():
        return True
    if not _PROC.is_dir():
        return _lives(pid)
    try:
        state, parent = _stat(pid)[:2]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX" and int(parent) == os.getppid()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _of_processes(metric: Metric) -> Iterator[Sample]:
    read = _resident_bytes if metric.name.endswith("_bytes") else _start_seconds
    for sample in metric.samples:
        pid = int(sample.labels.get("pid", os.getpid()))
        try:
            value = read(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
        yield Sample(sample.name, {"worker": sample.labels["worker"]}, value)


def _stat(pid: int) -> list[str]:
    # The second field is the program's name in brackets, which may hold blanks and brackets of its own.
    return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _resident_bytes(pid: int) -> float:
    return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _start_seconds(pid: int) -> float:
    ticks = int(_stat(pid)[19])
    booted = next(
        int(line.split()[1]) for line in (_PROC / "stat").read_text().splitlines() if line.startswith("btime ")
    )
    return booted + ticks / os.sysconf("SC_CLK_TCK")
