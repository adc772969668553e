"""The model directory and its manifest: what a deployable artifact must hold, and the proof that it still holds it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intent_tracking.tables import atomic_write_text, require_replaceable

MANIFEST = "manifest.json"
INTENT_MODEL = "intent_model"
INTENT_MODEL_FILES = (
    "model.safetensors",
    "config.json",
    "tokenizer.json",
    "labels.json",
    "calibration.json",
    "golden.jsonl",
)


class ArtifactError(Exception):
    """An artifact is incomplete, changed or not what was asked for; the message names the file and the remedy."""


class Manifest(BaseModel):
    """What an artifact is, what it was made from, and the sha256 of each of its files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    kind: str = Field(description="What the artifact is, for example `intent_model`.")
    version: str = Field(description="Unique name of this artifact; the folder carries it too.")
    base_encoder: str | None = Field(default=None, description="Pretrained encoder that it was fine-tuned from.")
    code_version: str = Field(description="Version of intent_tracking that wrote it.")
    dataset_fingerprint: str = Field(description="sha256 over the training examples.")
    trained_until: str | None = Field(default=None, description="ISO time: nothing later was seen in training.")
    parent: str | None = Field(default=None, description="Version that the training started from, the champion then.")
    feature_service: str | None = Field(default=None, description="Feature service whose features it takes.")
    labels: tuple[str, ...] = ()
    key_information: tuple[str, ...] = ()
    metrics: dict[str, float] = Field(default_factory=dict)
    files: dict[str, str] = Field(description="Path relative to the artifact -> sha256, hexadecimal.")


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(
    directory: Path,
    *,
    kind: str,
    version: str,
    code_version: str,
    dataset_fingerprint: str,
    base_encoder: str | None = None,
    trained_until: str | None = None,
    parent: str | None = None,
    feature_service: str | None = None,
    labels: Sequence[str] = (),
    key_information: Sequence[str] = (),
    metrics: Mapping[str, float] | None = None,
) -> Manifest:
    """Hash every file under `directory` and write `manifest.json` there, the last step of building an artifact.

    Raises:
        ArtifactError: `directory` holds a link, which a copy of the artifact would lose or follow outside.
    """
    files: dict[str, str] = {}
    for path in sorted(directory.rglob("*")):
        if path.is_symlink():
            raise ArtifactError(f"{path}: an artifact holds plain files only; copy what the link points to")
        if path.is_file() and path != directory / MANIFEST:
            files[path.relative_to(directory).as_posix()] = sha256_of(path)
    manifest = Manifest(
        kind=kind,
        version=version,
        base_encoder=base_encoder,
        code_version=code_version,
        dataset_fingerprint=dataset_fingerprint,
        trained_until=trained_until,
        parent=parent,
        feature_service=feature_service,
        labels=tuple(labels),
        key_information=tuple(key_information),
        metrics=dict(metrics or {}),
        files=files,
    )
    atomic_write_text(directory / MANIFEST, manifest.model_dump_json(indent=2) + "\n")
    return manifest


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest without hashing the files: for listings, never before loading a model.

    Raises:
        ArtifactError: there is no manifest or it cannot be read.
    """
    path = directory / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: not found; give the folder of a finished model artifact") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error}); restore the artifact or train it again") from error
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ArtifactError(
            f"{path}: {field}: {first['msg']}; restore the artifact or write it again with this version"
        ) from error


def require_place(directory: Path, kind: str) -> None:
    """Nothing where an artifact of `kind` may be written: the folder is new, empty, or holds one and nothing else.

    Raises:
        FileExistsError: it holds anything else, which the artifact would take the place of.
    """
    try:
        manifest = read_manifest(directory)
    except ArtifactError:
        # Nothing there says that it is ours, so nothing there may go.
        require_replaceable(directory, ())
    else:
        require_replaceable(directory, {MANIFEST, *manifest.files} if manifest.kind == kind else ())


def verify(directory: Path, *, kind: str | None = None) -> Manifest:
    """Check that every file of the artifact is there and unchanged, and return its manifest.

    Args:
        directory: the artifact.
        kind: what it must be, if the caller cares; `intent_model` must also hold `INTENT_MODEL_FILES`.

    Raises:
        ArtifactError: a file is missing, changed, or lies outside the folder; the message names it and the remedy.
    """
    manifest = read_manifest(directory)
    if kind is not None and manifest.kind != kind:
        raise ArtifactError(f"{directory / MANIFEST}: is a {manifest.kind!r}, not a {kind!r}; give another folder")
    required = INTENT_MODEL_FILES if manifest.kind == INTENT_MODEL else ()
    for name in required:
        if name not in manifest.files:
            raise ArtifactError(f"{directory / MANIFEST}: lists no {name}; the artifact is unfinished, train it again")
    for name, expected in manifest.files.items():
        relative = PurePosixPath(name)
        path = directory / relative
        if relative.is_absolute() or ".." in relative.parts or path.is_symlink():
            raise ArtifactError(f"{directory / MANIFEST}: {name!r} leaves the artifact; do not use this artifact")
        if not path.is_file():
            raise ArtifactError(f"{path}: missing; copy the artifact again or roll back to an earlier version")
        if sha256_of(path) != expected:
            raise ArtifactError(
                f"{path}: its sha256 is not the manifest's, so the file was changed or damaged; "
                "copy the artifact again or roll back to an earlier version"
            )
    return manifest
