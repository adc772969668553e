"""The commands `datasets list | fetch | export`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

datasets_app = typer.Typer(
    help="Public data sets: what there is, download, export for `evaluate`.", no_args_is_help=True
)


@contextmanager
def _errors_in_words() -> Iterator[None]:
    from intent_tracking.datasets.catalogue import DatasetError
    from intent_tracking.settings import SettingsError

    try:
        yield
    except (DatasetError, SettingsError, OSError) as error:
        typer.secho(f"datasets: {error}", err=True, fg="red")
        raise typer.Exit(2) from error


@datasets_app.command("list")
def list_datasets() -> None:
    """Name each set: licence, where it lies here, its public address, and the tasks that `export` makes of it."""
    from intent_tracking.datasets.catalogue import DatasetError, catalogue
    from intent_tracking.datasets.folders import DataFolders
    from intent_tracking.datasets.tasks import TASKS
    from intent_tracking.settings import load_settings

    with _errors_in_words():
        folders = DataFolders.of(load_settings())
        for name, entry in catalogue().items():
            typer.echo(f"{name}: {entry.title}")
            try:
                place = str(folders.find(name) or "not here")
            except DatasetError as error:
                # A changed file of one set must not hide the others.
                place = str(error)
            typer.echo(f"    licence {entry.licence}; {len(entry.files)} files; {place}")
            for address in dict.fromkeys(source.address for source in entry.sources):
                typer.echo(f"    {address}")
            tasks = [task.name for task in TASKS.values() if task.dataset == name]
            if tasks:
                typer.echo(f"    export: {', '.join(tasks)}")


@datasets_app.command("fetch")
def fetch(name: Annotated[str, typer.Argument(help="Name of the set, as `list` shows it.")]) -> None:
    """Download a set into INTENT_HOME/public_data and compare checksums; one that is here already is left alone."""
    from rich.console import Console
    from rich.progress import Progress

    from intent_tracking.datasets.folders import DataFolders
    from intent_tracking.settings import load_settings

    with _errors_in_words(), Progress(console=Console(stderr=True)) as bar:
        line = bar.add_task(name, total=None)
        folder = DataFolders.of(load_settings()).fetch(
            name, progress=lambda done, files: bar.update(line, completed=done, total=files)
        )
    typer.echo(str(folder))


@datasets_app.command("export")
def export_task(
    name: Annotated[str, typer.Argument(help="Name of the task, as `list` shows it after `export`.")],
    to: Annotated[Path, typer.Option(help="Folder for train.csv, dev.csv and test.csv.")],
) -> None:
    """Write a task in the form that `evaluate` reads: columns text,intent,scene,language,slots."""
    from intent_tracking.datasets.folders import DataFolders
    from intent_tracking.datasets.tasks import export, task
    from intent_tracking.settings import load_settings

    with _errors_in_words():
        wanted = task(name)
        rows = wanted.read(DataFolders.of(load_settings()).require(wanted.dataset))
        for path, count in export(rows, to).items():
            typer.echo(f"{path}  {count:,} rows")
        for reason, count in rows.left_out.items():
            typer.echo(f"left out: {reason}: {count:,}")
