"""Measure quality on the public sets: `make bench-quality [ARGS="--list | --only PATTERN --seeds 0 1 --older"]`.

Units run one after the other; each writes its result into `benchmarks/quality/results` when it is done, and one whose
result is there is skipped, so a run that was stopped goes on where it was. A result of other code stays, and the page
counts it, until `--older` measures it again. The tables of docs/model.md follow.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from fnmatch import fnmatch

from benchmarks.quality.plan import SEEDS, units
from benchmarks.quality.render import write_section
from benchmarks.quality.unit import RESULTS, ROOT, Unit, Workplace, measure, public_data, read_results, state_of
from intent_tracking.settings import load_settings

PAGE = ROOT / "docs" / "model.md"


def chosen(only: list[str], seeds: list[int]) -> list[Unit]:
    """The units that match a pattern such as `banking77*`, `*.svm.*` or a whole name; without one, all."""
    return [unit for unit in units(seeds) if not only or any(fnmatch(unit.name, pattern) for pattern in only)]


def workplace(max_seconds: float | None) -> Workplace:
    """What the settings name, and how long a training may take."""
    settings = load_settings()
    return Workplace(
        data=public_data(),
        models=settings.home / "bench_quality",
        device=settings.device,
        base_encoder=settings.base_encoder,
        say=lambda words: print(f"\r\033[K    {words}", end="", file=sys.stderr, flush=True),
        max_seconds=max_seconds,
    )


def run(todo: list[Unit], max_seconds: float | None) -> list[str]:
    """Run the units in order, each in a process of its own, so that one that fails leaves the others alone.

    Returns the names of those that failed.
    """
    failed = []
    for number, unit in enumerate(todo, start=1):
        left = sum(later.seconds for later in todo[number - 1 :])
        print(f"[{number}/{len(todo)}] {unit.name}, about {unit.seconds:.0f} s; {left / 3600:.1f} h left", flush=True)
        command = [sys.executable, "-m", "benchmarks.quality", "--unit", unit.name]
        command += [] if max_seconds is None else ["--max-seconds", str(max_seconds)]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(unit.name)
        else:
            write_section(PAGE, read_results(RESULTS))
    return failed


def run_here(unit: Unit, max_seconds: float | None) -> None:
    """Measure one unit in this process and show its figures."""
    content = measure(unit, workplace(max_seconds), RESULTS)
    figures = "  ".join(f"{name} {value:.4f}" for name, value in content["figures"].items())
    print(f"\r\033[K    {figures}  ({content['seconds']:.0f} s)", flush=True)


def main() -> int:
    """Run what is asked for, then write the tables."""
    parser = argparse.ArgumentParser(prog="bench-quality", description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="names of units or patterns")
    parser.add_argument("--seeds", nargs="*", type=int, default=list(SEEDS))
    parser.add_argument("--force", action="store_true", help="measure again what has a result")
    parser.add_argument("--older", action="store_true", help="measure again what older code has measured")
    parser.add_argument("--list", action="store_true", help="name the units, their length and what is done, and stop")
    parser.add_argument("--render", action="store_true", help="write the tables from the results, and stop")
    parser.add_argument(
        "--max-seconds",
        type=float,
        help="training time of one model, for a machine that does other work too; without it what evaluate takes",
    )
    parser.add_argument("--unit", help="measure this one unit in this process, and stop")
    asked = parser.parse_args()
    wanted = chosen([asked.unit] if asked.unit else asked.only, asked.seeds)
    if not wanted:
        parser.error(f"no unit matches {asked.unit or asked.only}; --list names them")
    if asked.unit:
        run_here(wanted[0], asked.max_seconds)
        return 0
    states = {unit.name: state_of(unit, RESULTS) for unit in wanted}
    again = {"to do", *(["older code"] if asked.older else []), *(["older code", "done"] if asked.force else [])}
    todo = [unit for unit in wanted if states[unit.name] in again]
    if asked.list:
        for unit in wanted:
            print(f"{states[unit.name]:10}  {unit.seconds:6.0f} s  {unit.name}")
        whole, left = (sum(unit.seconds for unit in some) / 3600 for some in (wanted, todo))
        print(f"{len(wanted)} units, {whole:.1f} h in all, {left:.1f} h left")
        return 0
    failed: list[str] = []
    if not asked.render:
        print(f"{len(wanted) - len(todo)} units are done, {len(todo)} to do")
        failed = run(todo, asked.max_seconds)
    write_section(PAGE, read_results(RESULTS))
    if failed:
        print(f"failed, see above: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
