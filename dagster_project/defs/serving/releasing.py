"""From a component to a served one: published, waited for, and taken back where the service will not have it."""

from collections.abc import Mapping

from dagster_project.resources.service import IntentService, ReleaseRefusedError, ServedRelease
from intent_tracking.release import Component, Release, publish, read_release, withdraw
from intent_tracking.settings import Settings
from intent_tracking.tables import locked


def make_live(
    settings: Settings,
    service: IntentService,
    components: Mapping[str, Component],
    reason: str,
    timeout_seconds: float,
) -> tuple[Release, ServedRelease | None]:
    """Publish `components`, and wait for the service where one runs. What is live already is waited for alone.

    Raises:
        ReleaseRefusedError: the service would not serve it; what this call published is withdrawn, what was published
            meanwhile stays.
        ServiceError: the service did not switch in time; the release stands.
    """
    # Held from a release to its verdict: of two at once a service sees the later alone, and refuses it for both.
    with locked(settings.release_file.parent / "releases" / ".switching"):
        live = read_release(settings.release_file)
        served = {each.manifest_sha256 for each in live.components.values()} if live else set()
        new = {kind: each for kind, each in components.items() if each.manifest_sha256 not in served}
        release = live if live is not None and not new else publish(settings.release_file, new, reason)
        try:
            return release, service.wait_for(release.number, timeout_seconds)
        except ReleaseRefusedError as refused:
            # Left in the file, a refused release would be tried and refused at every start of the service.
            if new:
                withdraw(settings.release_file, release.number, str(refused))
            raise
