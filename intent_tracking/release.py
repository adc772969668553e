"""The release file: which exact version of each component is live, replaced atomically, with its whole history.

`release.json` is what the service watches. `releases/<number>.json` beside it keeps every release that was ever
published, so that a rollback names what it goes back to and a person can read who replaced what, and why. A release
that was withdrawn is kept as `releases/<number>.withdrawn`: for people to read, and never to go back to.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from intent_tracking.artifact import MANIFEST, sha256_of, verify
from intent_tracking.tables import atomic_write_text, locked

_WITHDRAWN = ".withdrawn"


class ReleaseError(Exception):
    """A release cannot be read, published or rolled back; the message names the file and the remedy."""


class Component(BaseModel):
    """One live artifact: its version, its folder and the checksum of the manifest that lists its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str = Field(min_length=1)
    path: str = Field(min_length=1, description="Folder of the artifact; relative paths start at the release file.")
    manifest_sha256: str = Field(pattern="^[0-9a-f]{64}$")

    @classmethod
    def of(cls, directory: Path) -> Component:
        """Describe the artifact in `directory`, after a check of every file in it.

        Raises:
            ArtifactError: the artifact is incomplete or damaged.
        """
        manifest = verify(directory)
        digest = sha256_of(directory / MANIFEST)
        return cls(version=manifest.version, path=str(directory.resolve()), manifest_sha256=digest)


class Release(BaseModel):
    """What is live from `created_at` on. `restores` is the number of the release that a rollback brought back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(ge=1)
    created_at: AwareDatetime
    components: dict[str, Component] = Field(min_length=1)
    reason: str = Field(min_length=1)
    restores: int | None = Field(default=None, ge=1)


def component_directory(release_file: Path, component: Component) -> Path:
    """Folder of `component`: a relative path starts at the folder of `release_file`, so that a home can be moved."""
    return release_file.parent / component.path


def verify_component(release_file: Path, component: Component) -> Path:
    """Folder of `component`, whose manifest is the released one; its files are for `artifact.verify` to check.

    Raises:
        ReleaseError: the manifest is missing, or is not the one that was released.
    """
    directory = component_directory(release_file, component)
    try:
        found = sha256_of(directory / MANIFEST)
    except OSError as error:
        raise ReleaseError(
            f"{directory / MANIFEST}: cannot be read ({error.strerror}); restore the artifact or roll back"
        ) from error
    if found != component.manifest_sha256:
        raise ReleaseError(
            f"{directory / MANIFEST}: sha256 is {found[:12]}, the release names {component.manifest_sha256[:12]}; "
            "the artifact was changed after it was released: publish it again or roll back"
        )
    return directory


def read_release(release_file: Path) -> Release | None:
    """The live release; None when nothing was published yet.

    Raises:
        ReleaseError: the file is there and is not a release.
    """
    try:
        return Release.model_validate_json(release_file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "file"
        raise ReleaseError(
            f"{release_file}: {place}: {first['msg']}; restore it from {_history(release_file)} or publish again"
        ) from error


def releases(release_file: Path) -> list[Release]:
    """Every release that was published and not withdrawn, oldest first.

    Raises:
        ReleaseError: a file of the history is not a release.
    """
    found = [read_release(path) for path in _history(release_file).glob("*.json")]
    return sorted((release for release in found if release is not None), key=lambda release: release.number)


def publish(release_file: Path, components: Mapping[str, Component], reason: str) -> Release:
    """Make `components` live; a live component that is not named stays as it is.

    Raises:
        ReleaseError: nothing is named, no reason is given, or a component's manifest is not the one described.
    """
    if not components:
        raise ReleaseError(f"{release_file}: a release names at least one component")
    with locked(_history(release_file) / ".lock"):
        live = read_release(release_file)
        return _write(release_file, {**(live.components if live else {}), **components}, reason, restores=None)


def rollback(release_file: Path, reason: str, to: int | None = None, component: str | None = None) -> Release:
    """Publish the components of an older release under a new number; with `component` that one alone, others stay.

    Without `to` that is the newest older release with other components; the one that is restored already counts in
    place of the rollback that restored it, so a second rollback goes further back and never forth again. Of one
    component it is the newest release before the live version of it was first published.

    Raises:
        ReleaseError: there is no such release, or its artifacts are gone or changed.
    """
    with locked(_history(release_file) / ".lock"):
        live = read_release(release_file)
        if live is None:
            raise ReleaseError(f"{release_file}: nothing is published, so nothing can be rolled back")
        target = _target(release_file, live, to) if component is None else _holding(release_file, live, to, component)
        restored = target.components if component is None else {component: target.components[component]}
        return _write(
            release_file,
            {**({} if component is None else live.components), **restored},
            f"rollback{'' if component is None else f' of {component}'} to release {target.number}: {reason}",
            restores=(target.restores or target.number) if component is None else None,
        )


def withdraw(release_file: Path, number: int, reason: str) -> Release | None:
    """Take release `number` back where it is still live: the one before is published again under a new number.

    Where none was before, the release file is removed: nothing is published. A release that was published meanwhile
    stays. Returns what is live afterwards.

    Raises:
        ReleaseError: the artifacts of the release before are gone or changed.
    """
    with locked(_history(release_file) / ".lock"):
        live = read_release(release_file)
        if live is None or live.number != number:
            return live
        before = next((each for each in reversed(releases(release_file)) if each.number < number), None)
        restored = None
        if before is None:
            release_file.unlink()
        else:
            restored = _write(
                release_file,
                before.components,
                f"release {number} is withdrawn, back to {before.number}: {reason}",
                restores=before.restores or before.number,
            )
        withdrawn = _history(release_file) / f"{number}.json"
        if withdrawn.exists():
            withdrawn.rename(withdrawn.with_suffix(_WITHDRAWN))
        return restored


def _target(release_file: Path, live: Release, to: int | None) -> Release:
    history = releases(release_file)
    if to is not None:
        chosen = [release for release in history if release.number == to]
        if not chosen:
            raise ReleaseError(f"{_history(release_file)}: there is no release {to}")
        return chosen[0]
    stands_at = live.restores or live.number
    older = [release for release in history if release.number < stands_at and release.components != live.components]
    if not older:
        raise ReleaseError(f"{_history(release_file)}: no release older than {stands_at} has other components")
    return older[-1]


def _holding(release_file: Path, live: Release, to: int | None, component: str) -> Release:
    """The release whose `component` a rollback of that component alone restores."""
    if component not in live.components:
        raise ReleaseError(
            f"{release_file}: the live release names no {component}; it has {', '.join(live.components)}"
        )
    history = [release for release in releases(release_file) if component in release.components]
    if to is not None:
        chosen = [release for release in history if release.number == to]
        if not chosen:
            raise ReleaseError(f"{_history(release_file)}: there is no release {to} that names {component}")
        return chosen[0]
    version = live.components[component].version
    first = next((each.number for each in history if each.components[component].version == version), live.number)
    older = [release for release in history if release.number < first]
    if not older:
        raise ReleaseError(f"{_history(release_file)}: no release before {first} has another {component}")
    return older[-1]


def _write(release_file: Path, components: Mapping[str, Component], reason: str, restores: int | None) -> Release:
    if not reason.strip():
        raise ReleaseError(f"{release_file}: a release says why; the reason is empty")
    named = {name: _inside(release_file, component) for name, component in sorted(components.items())}
    for component in named.values():
        verify_component(release_file, component)
    # Counted from the history: a crash between the two writes below must not let a number be used twice.
    numbers = [int(path.stem) for ending in (".json", _WITHDRAWN) for path in _history(release_file).glob(f"*{ending}")]
    release = Release(
        number=max(numbers, default=0) + 1,
        created_at=datetime.now(UTC),
        components=named,
        reason=reason,
        restores=restores,
    )
    text = release.model_dump_json(indent=2, exclude_none=True) + "\n"
    atomic_write_text(_history(release_file) / f"{release.number}.json", text)
    atomic_write_text(release_file, text)
    return release


def _inside(release_file: Path, component: Component) -> Component:
    """Write the path relative to the release file where the artifact lies below it."""
    root = release_file.parent.resolve()
    directory = component_directory(release_file, component).resolve()
    if directory.is_relative_to(root):
        return component.model_copy(update={"path": str(directory.relative_to(root))})
    return component.model_copy(update={"path": str(directory)})


def _history(release_file: Path) -> Path:
    return release_file.parent / "releases"
