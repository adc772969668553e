"""From a component to a served one: published, waited for, and taken back where the service will not have it."""

from collections.abc import Collection, Mapping

from dagster_project.resources.service import IntentService, ReleaseRefusedError, ReleaseSupersededError, ServedRelease
from intent_tracking.release import Component, Release, publish, read_release, releases, withdraw
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
        ReleaseSupersededError: it was rolled back before it was seen to be served.
        ServiceError: the service did not switch in time; the release stands.
    """
    # Held from a release to its verdict: of two at once a service sees the later alone, and refuses it for both.
    with locked(settings.release_file.parent / "releases" / ".switching"):
        live = read_release(settings.release_file)
        served = {each.manifest_sha256 for each in live.components.values()} if live else set()
        new = {kind: each for kind, each in components.items() if each.manifest_sha256 not in served}
        release = live if live is not None and not new else publish(settings.release_file, new, reason)
        try:
            return release, wait_until_served(settings, service, release, components, timeout_seconds)
        except ReleaseRefusedError as refused:
            # Left in the file, a refused release would be tried and refused at every start of the service.
            if new:
                withdraw(settings.release_file, release.number, str(refused))
            raise


def wait_until_served(
    settings: Settings, service: IntentService, release: Release, kinds: Collection[str], timeout_seconds: float
) -> ServedRelease | None:
    """Wait until the components `kinds` of `release` are served, by it or by a later one that names the same.

    None when no service runs.

    Raises:
        ReleaseRefusedError, ServiceError: as `IntentService.wait_for`.
        ReleaseSupersededError: what is served by now names others.
    """
    served = service.wait_for(release.number, timeout_seconds)
    if served is None or served.number == release.number:
        return served
    later = next((each for each in releases(settings.release_file) if each.number == served.number), None)
    named = {kind: each.manifest_sha256 for kind, each in later.components.items()} if later else {}
    others = [kind for kind in kinds if named.get(kind) != release.components[kind].manifest_sha256]
    if others:
        why = f" ({later.reason})" if later else f", which is not of {settings.release_file}"
        raise ReleaseSupersededError(
            f"{service.address} serves release {served.number}{why}, with another {', '.join(sorted(others))} than "
            f"release {release.number}: deploy it again if it is to be live"
        )
    return served
