"""The command line: `intent-tracking simulate | ingest | evaluate | predict`.

Each command imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="intent-tracking",
    help="Know what each shopper wants while the shopper is still there.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)


def main() -> None:
    """Entry point of the console script."""
    app()
