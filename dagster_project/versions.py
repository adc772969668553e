"""Which model version a stage works on: the one that the stage before it reported."""

import dagster as dg

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
