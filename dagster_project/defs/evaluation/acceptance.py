"""What the gate said of a version, for everybody who would package or publish it."""

import json
from typing import Any

from dagster_project.versions import live_model_version
from intent_tracking.settings import Settings

DECISION_FILE = "decision.json"


class RefusedModelError(Exception):
    """The gate has not accepted this version against what is live; the message carries its reasons and the remedy."""


def accepted(settings: Settings, version: str) -> dict[str, Any]:
    """The gate's decision on `version`, which is to go live in place of what is live now.

    Raises:
        RefusedModelError: it was never evaluated, was refused, or was held against a model that is no longer live.
    """
    path = settings.evaluations / version / DECISION_FILE
    remedy = f"materialize intent_model_evaluation with version {version!r} in its config"
    if not path.exists():
        raise RefusedModelError(f"{version} was never evaluated ({path} is missing): {remedy}")
    decision: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if not decision["promote"]:
        raise RefusedModelError(f"{version} was refused by the gate: {'; '.join(decision['reasons'])}")
    live = live_model_version(settings.release_file)
    if live not in (decision["champion"], version):
        raise RefusedModelError(
            f"{version} was held against {decision['champion'] or 'no champion'}, but {live or 'nothing'} is live now: "
            f"{remedy}"
        )
    return decision
