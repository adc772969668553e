"""The command line of the simulator: options in, log files and a table of what was written out."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from intent_tracking.events.simulator.config import SimulationConfig

_DEFAULTS = SimulationConfig()


def _date(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes a date like 2026-01-05, not {text!r}") from error


def _drift_day(text: str | None, option: str) -> int | date | None:
    if text is None:
        return None
    try:
        return int(text) if text.isdigit() else date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} takes a day number or a date like 2026-02-04, not {text!r}") from error


def _later_day_of_first_run(out: Path) -> int:
    report = out / "simulation.json"
    if not report.exists():
        raise typer.BadParameter(f"--first-day continues a run, but {report} is missing; give --later-from as well")
    return int(json.loads(report.read_text(encoding="utf-8"))["config"]["later_from"])


def simulate_command(
    out: Annotated[Path, typer.Option(help="Home directory to write landing/, annotations/ and truth/ into.")],
    days: Annotated[int, typer.Option(min=1, help="How many days to write.")] = _DEFAULTS.days,
    first_day: Annotated[int, typer.Option(min=0, help="First day, counted from the opening: continues a run.")] = 0,
    start: Annotated[str, typer.Option(help="Date of the opening (day 0).")] = _DEFAULTS.start.isoformat(),
    sessions_per_day: Annotated[int, typer.Option(min=1, help="Sessions on an average day.")] = (
        _DEFAULTS.sessions_per_day
    ),
    shoppers: Annotated[int, typer.Option(min=1, help="Shoppers of the shop.")] = _DEFAULTS.shoppers,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = _DEFAULTS.seed,
    drift: Annotated[
        str | None,
        typer.Option(help="Day number or date from which products, wording, mix and one new intent change."),
    ] = None,
    later_from: Annotated[
        int | None, typer.Option(help="Day of the later wording (default: after 70% of the first run's days).")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Remove the days of another shop's run from the folder first.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Write the logs of a simulated shop, with labels by its support desk and the truth kept apart."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Table

    from intent_tracking.events.simulator.run import simulate

    if first_day and later_from is None:
        later_from = _later_day_of_first_run(out)
    try:
        config = SimulationConfig(
            days=days,
            first_day=first_day,
            start=_date(start, "--start"),
            sessions_per_day=sessions_per_day,
            shoppers=shoppers,
            seed=seed,
            drift_from=_drift_day(drift, "--drift"),
            later_from=later_from,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    console = Console(stderr=True)
    columns = (TextColumn("Simulating {task.fields[day]}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=quiet) as bar:
        task = bar.add_task("days", total=days, day=config.date_of(first_day))

        def written(day: date, _lines: int) -> None:
            bar.update(task, advance=1, day=day)

        try:
            report = simulate(config, out, written, force=force)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
    table = Table(title=f"{report.first_day} to {report.last_day}, seed {seed}")
    table.add_column("what")
    table.add_column("count", justify="right")
    for name, count in (
        ("sessions", report.sessions),
        ("messages", report.messages),
        ("annotations", report.annotations),
        ("log lines", report.lines),
        ("to accept", report.accepted),
        ("duplicates", report.duplicates),
        *((f"to quarantine: {reason}", count) for reason, count in report.quarantined.items()),
    ):
        table.add_row(name, f"{count:,}")
    Console().print(table)
