"""The home of the Dagster instance: where it lies and how it is configured."""

from importlib.resources import files
from pathlib import Path

from intent_tracking.settings import Settings
from intent_tracking.tables import atomic_write_text


def prepare_dagster_home(settings: Settings) -> Path:
    """Write `dagster.yaml` into `INTENT_HOME/dagster` and return that folder, to be used as DAGSTER_HOME.

    A `dagster.yaml` that is already there stays as it is: it may have been adapted to the machine.
    """
    home = settings.home / "dagster"
    config = home / "dagster.yaml"
    if not config.exists():
        atomic_write_text(config, files("dagster_project").joinpath("dagster.yaml").read_text(encoding="utf-8"))
    return home


if __name__ == "__main__":
    from intent_tracking.settings import load_settings

    prepare_dagster_home(load_settings())
