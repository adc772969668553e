"""A model version goes live."""

from dagster_project.defs.applications.publishing import waiting_applications
from dagster_project.defs.serving.releasing import make_live
from dagster_project.resources.service import IntentService, ServedRelease
from intent_tracking.artifact import INTENT_MODEL, verify
from intent_tracking.release import Component, Release, read_release
from intent_tracking.settings import Settings


def deploy(
    settings: Settings, service: IntentService, version: str, reason: str, timeout_seconds: float
) -> tuple[Release, ServedRelease | None]:
    """Make `version` live: publish it, and wait for the service where one runs. What is live already stays as it is.

    Raises:
        ArtifactError: the artifact is incomplete or damaged; nothing was published.
        ReleaseRefusedError: the service would not serve it; what this call published is withdrawn, what was published
            meanwhile stays.
        ReleaseSupersededError: it was rolled back before it was seen to be served.
        ServiceError: the service did not switch in time; the release stands, and rollback_job takes it back.
    """
    directory = settings.models / version
    verify(directory, kind=INTENT_MODEL)
    model = Component.of(directory)
    live = read_release(settings.release_file)
    current = live.components.get(INTENT_MODEL) if live else None
    # The first model takes along what the applications have learned until then.
    waiting = waiting_applications(settings) if current is None or current.version != version else {}
    return make_live(settings, service, {INTENT_MODEL: model, **waiting}, reason, timeout_seconds)
