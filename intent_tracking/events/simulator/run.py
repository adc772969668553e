"""Writes simulated days as a shop would deliver them: log files by arrival day, labels, and the truth apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from intent_tracking.events.simulator.config import SimulationConfig
from intent_tracking.events.simulator.day import SimulatedDay, simulate_day
from intent_tracking.events.simulator.faults import ACCEPTED, DUPLICATE, LATEST_ARRIVAL_DAYS, Line, partition_of
from intent_tracking.events.simulator.plan import DAY_MS, Shop
from intent_tracking.tables import atomic_file, atomic_write_text

SOURCE_NAME: Final = "simulator"
SOURCE_YAML: Final = "adapter: native\nreceived: field\n"
_STRETCH: Final = frozenset({"days", "first_day", "drift_from", "later_from"})
_SORTED: Final = orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE

Progress = Callable[[date, int], None]
"""Called after each written day with its date and the number of lines that arrived on it."""


@dataclass(frozen=True)
class SimulationReport:
    """What was written: the figures that a correct pipeline must find again.

    Attributes:
        lines: log lines written.
        accepted, duplicates: lines with this outcome.
        quarantined: lines by quarantine reason.
        faults: lines by kind of injected fault.
        partitions: by ISO date of the daily partition: `records`, `accepted`, `duplicates`, `quarantined`.
        sessions, messages, annotations: of the days of this stretch.
    """

    out: Path
    first_day: date
    last_day: date
    lines: int
    accepted: int
    duplicates: int
    quarantined: dict[str, int]
    faults: dict[str, int]
    partitions: dict[str, dict[str, Any]]
    sessions: int
    messages: int
    annotations: int

    def as_json(self) -> dict[str, Any]:
        """Plain values, without the place it was written to."""
        names = ("lines", "accepted", "duplicates", "quarantined", "faults", "sessions", "messages", "annotations")
        return {
            "first_day": self.first_day.isoformat(),
            "last_day": self.last_day.isoformat(),
            **{name: getattr(self, name) for name in names},
            "partitions": self.partitions,
        }


class _Counts:
    """Outcomes of the lines written, in all and by partition."""

    def __init__(self) -> None:
        self.by_outcome: dict[str, int] = defaultdict(int)
        self.by_fault: dict[str, int] = defaultdict(int)
        self._by_partition: dict[date, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, lines: Iterable[Line]) -> None:
        groups: dict[tuple[int, int, str], list[Line]] = defaultdict(list)
        for line in lines:
            groups[line.event_ms // DAY_MS, line.received_ms // DAY_MS, line.outcome].append(line)
            if line.fault is not None:
                self.by_fault[line.fault] += 1
        for (_, _, outcome), members in groups.items():
            self.by_outcome[outcome] += len(members)
            self._by_partition[partition_of(members[0])][outcome] += len(members)

    def quarantined(self, counts: dict[str, int]) -> dict[str, int]:
        return {reason: counts[reason] for reason in sorted(counts) if reason not in (ACCEPTED, DUPLICATE)}

    def partitions(self) -> dict[str, dict[str, Any]]:
        return {
            day.isoformat(): {
                "records": sum(counts.values()),
                "accepted": counts.get(ACCEPTED, 0),
                "duplicates": counts.get(DUPLICATE, 0),
                "quarantined": self.quarantined(counts),
            }
            for day, counts in sorted(self._by_partition.items())
        }


def _write_lines(path: Path, lines: Iterable[bytes]) -> None:
    with atomic_file(path) as temporary, temporary.open("wb") as handle:
        handle.writelines(lines)


def simulate(
    config: SimulationConfig, out: Path, progress: Progress | None = None, *, force: bool = False
) -> SimulationReport:
    """Write the days of `config` under `out`: landing/simulator, annotations, truth, catalogue.jsonl, simulation.json.

    A log file holds what ARRIVES on its day, so it depends on the seed and the day alone: days 30 to 36 generated
    later are the files that a longer first run would have written. Late lines of the last days have not arrived yet at
    the end of the stretch, and stand in the files of a stretch that continues it. The report of a stretch that does
    not begin at the opening is `simulation-<its first date>.json`.

    Args:
        out: the home directory (or any folder) to write into; files of the same days are replaced.
        force: remove what another shop's run wrote there, instead of refusing.

    Raises:
        ValueError: `out` holds the run of another shop: another seed, opening, size or rate.
    """
    _make_room(config, out, force)
    shop = Shop(config)
    waiting: dict[int, list[Line]] = defaultdict(list)
    labels: dict[int, list[dict[str, Any]]] = defaultdict(list)
    counts = _Counts()
    sessions = messages = annotations = lines = 0
    epoch_day = (config.start - date(1970, 1, 1)).days
    atomic_write_text(out / "landing" / SOURCE_NAME / "source.yaml", SOURCE_YAML)
    _write_catalogue(shop, out)
    # Days before the stretch are acted out again for what of them arrives within it.
    for day in range(max(0, config.first_day - LATEST_ARRIVAL_DAYS), config.last_day + 1):
        simulated = simulate_day(config, day, shop)
        for line in simulated.lines:
            waiting[line.received_ms // DAY_MS - epoch_day].append(line)
        for label in simulated.annotations:
            labels[label.day].append(label.record)
        arrived, labelled = waiting.pop(day, []), labels.pop(day, [])
        if day < config.first_day:
            continue
        arrived.sort()
        counts.add(arrived)
        lines += len(arrived)
        annotations += len(labelled)
        sessions += sum(row["kind"] == "session" for row in simulated.truth)
        messages += sum(row["kind"] == "message" for row in simulated.truth)
        _write_day(config.date_of(day), arrived, labelled, simulated, out)
        if progress is not None:
            progress(config.date_of(day), len(arrived))
    report = SimulationReport(
        out=out,
        first_day=config.date_of(config.first_day),
        last_day=config.date_of(config.last_day),
        lines=lines,
        accepted=counts.by_outcome.get(ACCEPTED, 0),
        duplicates=counts.by_outcome.get(DUPLICATE, 0),
        quarantined=counts.quarantined(counts.by_outcome),
        faults=dict(sorted(counts.by_fault.items())),
        partitions=counts.partitions(),
        sessions=sessions,
        messages=messages,
        annotations=annotations,
    )
    name = "simulation.json" if config.first_day == 0 else f"simulation-{report.first_day}.json"
    document = orjson.dumps({"config": config.as_json(), **report.as_json()}, option=orjson.OPT_INDENT_2)
    atomic_write_text(out / name, document.decode() + "\n")
    return report


def _make_room(config: SimulationConfig, out: Path, force: bool) -> None:
    """Two shops in one folder would be read as one, with days of the one and days of the other."""
    ours = _shop_of(config.as_json())
    for report in sorted(out.glob("simulation*.json")):
        theirs = orjson.loads(report.read_bytes())
        differing = sorted(name for name, value in ours.items() if _shop_of(theirs["config"]).get(name) != value)
        if not differing:
            continue
        if not force:
            said = ", ".join(f"{name} {theirs['config'].get(name)}, now {ours[name]}" for name in differing)
            raise ValueError(
                f"{report} is of another shop ({said}): write into another folder, or replace it with --force"
            )
        day, last = date.fromisoformat(theirs["first_day"]), date.fromisoformat(theirs["last_day"])
        while day <= last:
            for folder in (out / "landing" / SOURCE_NAME, out / "annotations", out / "truth"):
                (folder / f"{day}.jsonl").unlink(missing_ok=True)
            day += timedelta(days=1)
        report.unlink()


def _shop_of(config: dict[str, Any]) -> dict[str, Any]:
    """What stays the same over all stretches of one shop."""
    return {name: value for name, value in config.items() if name not in _STRETCH}


def _write_catalogue(shop: Shop, out: Path) -> None:
    drifts = shop.config.drift_day is not None
    items = (item for item in shop.catalogue.items if drifts or not item.is_new)
    _write_lines(
        out / "catalogue.jsonl", [orjson.dumps(item.as_json(), option=orjson.OPT_APPEND_NEWLINE) for item in items]
    )


def _write_day(
    day: date, arrived: list[Line], labelled: list[dict[str, Any]], simulated: SimulatedDay, out: Path
) -> None:
    _write_lines(out / "landing" / SOURCE_NAME / f"{day}.jsonl", (line.raw + b"\n" for line in arrived))
    labelled.sort(key=lambda record: (record["annotated_at"], record.get("event_id") or record["session_id"]))
    _write_lines(out / "annotations" / f"{day}.jsonl", [orjson.dumps(record, option=_SORTED) for record in labelled])
    _write_lines(out / "truth" / f"{day}.jsonl", [orjson.dumps(row, option=_SORTED) for row in simulated.truth])
