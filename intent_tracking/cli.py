"""The command line: `intent-tracking simulate | ingest | evaluate | predict`.

Each command imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from intent_tracking.events.simulator.commands import simulate_command

app = typer.Typer(
    name="intent-tracking",
    help="Know what each shopper wants while the shopper is still there.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.command("simulate")(simulate_command)


@app.command("ingest")
def ingest(
    files: Annotated[list[Path], typer.Argument(help="Log files: JSON lines, CSV or Parquet.", exists=True)],
    source: Annotated[str, typer.Option(help="Name of the log source: its folder under landing/.")],
    adapter: Annotated[
        Literal["native", "segment", "ga4", "snowplow", "columns"], typer.Option(help="Format of the files.")
    ] = "native",
    mapping: Annotated[
        str | None, typer.Option(help="With `columns`: a mapping YAML, or the name of a shipped one.")
    ] = None,
    received: Annotated[
        Literal["file_date", "event_time", "field"],
        typer.Option(help="When records arrived: the date in the file name, their event time (archives), their field."),
    ] = "file_date",
    home: Annotated[Path | None, typer.Option(help="Home directory [default: INTENT_HOME, else .intent].")] = None,
) -> None:
    """Land log files and write `raw_events` of the days that they touch."""
    from intent_tracking.events.commands import ingest_command
    from intent_tracking.settings import load_settings

    try:
        ingest_command(
            files,
            home=(home or load_settings().home).resolve(),
            source=source,
            adapter=adapter,
            mapping=mapping,
            received=received,
        )
    except ValueError as error:
        typer.secho(f"ingest: {error}", err=True, fg="red")
        raise typer.Exit(2) from error


def main() -> None:
    """Entry point of the console script."""
    app()
