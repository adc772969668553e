"""`python -m dagster_project.demo [--data FOLDER]`: run the loop once in INTENT_HOME, which is emptied first."""

import os
import shutil
import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

MARKER = ".made-by-the-demo"


def _empty_home(home: Path) -> None:
    """Remove what an earlier demo left.

    Raises:
        typer.BadParameter: the folder holds something else.
    """
    if home.exists() and any(home.iterdir()):
        if not (home / MARKER).exists():
            raise typer.BadParameter(
                f"{home} was not made by the demo: move it away, or set INTENT_HOME to another folder"
            )
        shutil.rmtree(home)
    home.mkdir(parents=True, exist_ok=True)
    (home / MARKER).write_text("The demo made this folder, and empties it when it runs again.\n", encoding="utf-8")


def demo(
    data: Annotated[
        Path | None, typer.Option(help="Folder of public data sets: run on real logs.", exists=True, file_okay=False)
    ] = None,
) -> None:
    """Run the whole loop once and say what happened."""
    from dagster_project.demo.display import Display
    from dagster_project.demo.platform import DemoError
    from dagster_project.demo.service import ServiceError, free_port
    from intent_tracking.settings import load_settings

    # Progress belongs to the screen here; libraries speak to the log of the run.
    warnings.simplefilter("ignore")
    base = load_settings()
    _empty_home(base.home)
    port = free_port(3000)
    settings = base.model_copy(update={"service_url": f"http://127.0.0.1:{port}"})
    display = Display()
    try:
        if data is None:
            from dagster_project.demo.simulated import run_simulated

            run_simulated(settings, display, port)
        else:
            from dagster_project.demo.real import run_real

            run_real(settings, display, port, data.resolve())
    except (DemoError, ServiceError) as error:
        display.close()
        display.console.print(f"[red]The demo stopped:[/] {error}")
        raise typer.Exit(1) from error
    display.close()
    display.console.print("\nLook at it:  make dev    Dagster UI on http://127.0.0.1:3070")
    display.console.print("             make serve  the service on http://127.0.0.1:3000, docs at /docs.json")
    display.console.print(f"Files lie in {os.path.relpath(settings.home)}: evaluations/, drift/, models/, tables/")


if __name__ == "__main__":
    sys.exit(typer.run(demo))
