"""How the artifact of an application goes live beside the intent model."""

from pathlib import Path

from dagster_project.defs.serving.releasing import make_live
from dagster_project.resources.service import IntentService
from intent_tracking.applications.artifacts import (
    APPLICATION_KINDS,
    newest_artifact,
    remove_old_artifacts,
    verified,
)
from intent_tracking.artifact import INTENT_MODEL
from intent_tracking.release import Component, Release, component_directory, read_release
from intent_tracking.settings import Settings

SWITCH_SECONDS = 60.0
# So far back an application can be rolled back.
ARTIFACTS_KEPT = 10


def publish_application(settings: Settings, service: IntentService, kind: str, folder: Path) -> Release | None:
    """Make the artifact in `folder` live as `kind`, and wait for the service where one runs.

    Then the oldest artifacts of `kind` are removed.

    None while no intent model is released: the service answers nothing without one, and its first release takes the
    newest artifact of each application along.

    Raises:
        ArtifactError: the artifact is incomplete or damaged; nothing was published.
        ReleaseRefusedError: the service would not serve it; what this call published is withdrawn.
        ReleaseSupersededError: it was rolled back before it was seen to be served.
        ServiceError: the service did not switch in time; the release stands.
    """
    verified(folder, kind)
    live = read_release(settings.release_file)
    if live is None or INTENT_MODEL not in live.components:
        return None
    component = Component.of(folder)
    release, _ = make_live(settings, service, {kind: component}, f"{kind} {component.version}", SWITCH_SECONDS)
    live_folders = [component_directory(settings.release_file, each) for each in release.components.values()]
    remove_old_artifacts(settings.applications, kind, ARTIFACTS_KEPT, live_folders)
    return release


def waiting_applications(settings: Settings) -> dict[str, Component]:
    """The newest artifact of each application that the live release does not name at all, of those that may go live."""
    live = read_release(settings.release_file)
    named = live.components if live else {}
    found = {kind: newest_artifact(settings.applications, kind) for kind in APPLICATION_KINDS if kind not in named}
    return {kind: Component.of(folder) for kind, folder in found.items() if folder is not None}
