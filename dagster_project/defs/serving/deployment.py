"""Publishing a version, and taking it back where the running service will not have it."""

from dagster_project.defs.applications.publishing import switching, waiting_applications
from dagster_project.resources.service import IntentService, ReleaseRefusedError, ServedRelease
from intent_tracking.artifact import INTENT_MODEL, verify
from intent_tracking.release import Component, Release, publish, read_release, withdraw
from intent_tracking.settings import Settings


def deploy(
    settings: Settings, service: IntentService, version: str, reason: str, timeout_seconds: float
) -> tuple[Release, ServedRelease | None]:
    """Make `version` live: publish it, and wait for the service where one runs. What is live already stays as it is.

    Raises:
        ArtifactError: the artifact is incomplete or damaged; nothing was published.
        ReleaseRefusedError: the service would not serve it; what this call published is withdrawn, what was published
            meanwhile stays.
        ServiceError: the service did not switch in time; the release stands, and rollback_job takes it back.
    """
    directory = settings.models / version
    verify(directory, kind=INTENT_MODEL)
    with switching(settings):
        before = read_release(settings.release_file)
        live = before.components.get(INTENT_MODEL) if before else None
        if before is not None and live is not None and live.version == version:
            release = before
        else:
            components = {INTENT_MODEL: Component.of(directory), **waiting_applications(settings)}
            release = publish(settings.release_file, components, reason)
        try:
            return release, service.wait_for(release.number, timeout_seconds)
        except ReleaseRefusedError as refused:
            # Left in the file, a refused release would be tried and refused at every start of the service.
            if before is None or release.number != before.number:
                withdraw(settings.release_file, release.number, str(refused))
            raise
