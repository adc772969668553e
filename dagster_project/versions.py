"""Which model version a stage works on: the one that the stage before it reported, or the one that is live."""

from datetime import datetime
from pathlib import Path

import dagster as dg

from intent_tracking.artifact import INTENT_MODEL
from intent_tracking.release import Component, component_directory, read_release, releases

MODEL_VERSION = "model_version"


class NoVersionError(Exception):
    """No model version is known; the message names the asset to materialize first."""


def model_version(instance: dg.DagsterInstance, asset: str) -> str:
    """The version in the newest materialization of `asset`.

    Raises:
        NoVersionError: `asset` was never materialized on this instance.
    """
    event = instance.get_latest_materialization_event(dg.AssetKey(asset))
    materialization = event.asset_materialization if event else None
    if materialization is None or MODEL_VERSION not in materialization.metadata:
        raise NoVersionError(f"{asset} has no {MODEL_VERSION} yet: materialize it, or name a version in the config")
    return str(materialization.metadata[MODEL_VERSION].value)


def _live(release_file: Path) -> Component | None:
    release = read_release(release_file)
    return release.components.get(INTENT_MODEL) if release else None


def live_model_version(release_file: Path) -> str | None:
    """Version of the live intent model; None when none was released yet."""
    component = _live(release_file)
    return component.version if component else None


def live_model_since(release_file: Path) -> datetime | None:
    """When the live intent model was released; later releases of other components leave it as it is."""
    live = _live(release_file)
    since = None
    for release in reversed(releases(release_file) if live else []):
        component = release.components.get(INTENT_MODEL)
        if live is None or component is None or component.version != live.version:
            break
        since = release.created_at
    return since


def champion_directory(release_file: Path) -> Path | None:
    """The artifact of the live intent model; None when none was released yet."""
    component = _live(release_file)
    return component_directory(release_file, component) if component else None
