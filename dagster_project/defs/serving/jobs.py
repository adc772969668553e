"""The way back: make the release before live again."""

import dagster as dg
from pydantic import Field

from dagster_project.defs.serving.releasing import wait_until_served
from dagster_project.resources.alerts import Alerts
from dagster_project.resources.service import IntentService
from intent_tracking.artifact import INTENT_MODEL
from intent_tracking.release import Release
from intent_tracking.settings import Settings


class RollbackConfig(dg.Config):
    """What to go back to, and why."""

    reason: str = Field(description="Why the live release has to go; stands in the release file and in the alert.")
    to: int | None = Field(
        default=None,
        description="Number of the release to restore; by default the newest with another version of what goes back.",
    )
    component: str | None = Field(
        default=INTENT_MODEL,
        description="Kind of what goes back, as `GET /v1/release` names it: intent_model, item_index, answer_index, "
        "user_segments, risk_model. The others stay. null: everything that the release names.",
    )
    timeout_seconds: float = Field(default=60.0, description="How long a running service may take to switch.")


@dg.op(description="Publish an older release again and wait until the running service serves it.")
def roll_back(
    context: dg.OpExecutionContext,
    config: RollbackConfig,
    settings: dg.ResourceParam[Settings],
    intent_service: dg.ResourceParam[IntentService],
    alerts: dg.ResourceParam[Alerts],
) -> None:
    """Raises ServiceError when a running service does not switch in time, or serves another release by then."""
    from intent_tracking.release import read_release, rollback

    before = read_release(settings.release_file)
    release = rollback(settings.release_file, config.reason, config.to, config.component)
    versions = ", ".join(f"{name} {component.version}" for name, component in release.components.items())
    back = went_back(before, release)
    context.log.info("release %s: went back: %s", release.number, back)
    kinds = release.components if config.component is None else [config.component]
    served = wait_until_served(settings, intent_service, release, kinds, config.timeout_seconds)
    context.add_output_metadata(
        {
            "release": release.number,
            "restores": release.restores or 0,
            "went_back": back,
            "versions": versions,
            "live": served is not None,
        }
    )
    alerts.send("Rolled back", f"release {release.number}: {back}; {config.reason}", {"job": "rollback_job"})


def went_back(before: Release | None, after: Release) -> str:
    """What differs between two releases, as `answer_index 3f2a to 19bc`; `nothing` where they name the same."""
    was = {name: component.version for name, component in before.components.items()} if before else {}
    now = {name: component.version for name, component in after.components.items()}
    moved = [name for name in sorted({*was, *now}) if was.get(name) != now.get(name)]
    return ", ".join(f"{name} {was.get(name, 'none')} to {now.get(name, 'none')}" for name in moved) or "nothing"


@dg.job(
    description="Make an older release live again. Takes seconds: artifacts stay where they are.",
    tags={"dagster/max_runtime": "300", "intent/exclusive": "release", "dagster/priority": "10"},
)
def rollback_job() -> None:
    """One step, so that it can be started with one click."""
    roll_back()
