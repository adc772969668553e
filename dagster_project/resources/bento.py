"""BentoML as the orchestration uses it: builds one Bento a model version, in a process of its own.

Neither BentoML nor the service is imported here; what comes back is the tag.
"""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import yaml
from packaging.requirements import Requirement

from intent_tracking.artifact import INTENT_MODEL, verify
from intent_tracking.release import Component, publish
from intent_tracking.settings import Settings

NAME = "intent_service"
SERVICE = "bentos.intent_service.service:IntentService"
# The folder of the Bento's source that holds its own release and model: it starts with no home to read from.
BUNDLED = "bundled"
BUILD_SECONDS = 300
ROOT = Path(__file__).resolve().parents[2]
# What a setting may ask of a running service must be in its image: Redis, Kafka and traces too.
_EXTRAS = ("serving", "scale", "tracing")
_PACKAGES = ("intent_tracking", "bentos")
_VERSION = re.compile(r"[a-z0-9]([a-z0-9._-]{0,126}[a-z0-9])?")


class BentoError(RuntimeError):
    """The Bento could not be built; the message names the cause and what to do."""


@dataclass(frozen=True)
class BuiltBento:
    """A Bento in the store: exact tag, folder, size in bytes, seconds that the build took (0 if it was there)."""

    tag: str
    path: Path
    size: int
    seconds: float


def bento_home(settings: Settings) -> Path:
    """Where BentoML keeps its Bentos, outside of what it builds."""
    return settings.home / "bentoml"


def build_bento(settings: Settings, artifact: Path) -> BuiltBento:
    """Build the Bento of the model in `artifact`: `intent_service:<model version>`, once for each version.

    It holds the service, the library, the exact model and the exact version of each core dependency, and none of the
    orchestration. Nothing is downloaded.

    Raises:
        ArtifactError: the artifact is incomplete or damaged.
        BentoError: the build failed.
    """
    manifest = verify(artifact, kind=INTENT_MODEL)
    version = manifest.version
    if not _VERSION.fullmatch(version):
        raise BentoError(f"{artifact}: version {version!r} is no tag; use lower-case letters, digits, '.', '_' and '-'")
    path = bento_home(settings) / "bentos" / NAME / version
    begin = time.monotonic()
    if path.exists():
        if _bundled_manifest(path) == (artifact / "manifest.json").read_bytes():
            return BuiltBento(f"{NAME}:{version}", path, _size(path), 0.0)
        shutil.rmtree(path)
    with tempfile.TemporaryDirectory(prefix="intent-bento-") as folder:
        context = Path(folder)
        _stage(context, artifact)
        (context / "bentofile.yaml").write_text(yaml.safe_dump(_bentofile(version, artifact), sort_keys=False))
        _run_build(context, version, bento_home(settings))
    if _bundled_manifest(path) is None:
        raise BentoError(f"{path}: bentoml reported success, but the Bento lacks its model; build again")
    return BuiltBento(f"{NAME}:{version}", path, _size(path), time.monotonic() - begin)


def core_requirements() -> list[str]:
    """The core dependencies of the project with all that they need, each pinned to the version that runs here.

    Raises:
        BentoError: a core dependency is not installed.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = (text for extra in _EXTRAS for text in project["optional-dependencies"][extra])
    waiting = [Requirement(text) for text in (*project["dependencies"], *extras)]
    pinned: dict[str, str] = {}
    visited: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        for extra in ("", *sorted(requirement.extras)):
            key = (_normal(requirement.name), extra)
            if key in visited:
                continue
            visited.add(key)
            try:
                distribution = importlib.metadata.distribution(requirement.name)
            except importlib.metadata.PackageNotFoundError as error:
                raise BentoError(f"{requirement.name} is a core dependency and is not installed: make setup") from error
            # A local version (2.13.0+cpu) names a build of one index; the release is what the image installs.
            pinned[key[0]] = distribution.version.partition("+")[0]
            needs = [Requirement(text) for text in distribution.requires or ()]
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return [f"{name}=={version}" for name, version in sorted(pinned.items())]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _stage(context: Path, artifact: Path) -> None:
    for package in _PACKAGES:
        shutil.copytree(ROOT / package, context / package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    model = context / BUNDLED / "models" / artifact.name
    shutil.copytree(artifact, model)
    publish(context / BUNDLED / "release.json", {INTENT_MODEL: Component.of(model)}, "carried by this Bento")


def _bentofile(version: str, artifact: Path) -> dict[str, object]:
    return {
        "service": SERVICE,
        "name": NAME,
        "description": "Tracks shopping sessions live and answers what each shopper wants.",
        "labels": {"model-version": version, "manifest-sha256": Component.of(artifact).manifest_sha256},
        "include": [f"{package}/" for package in (*_PACKAGES, BUNDLED)],
        "docker": {"python_version": f"{sys.version_info.major}.{sys.version_info.minor}"},
        # Pinned here already; locking would ask a package index.
        "python": {"packages": core_requirements(), "lock_packages": False},
    }


def _run_build(context: Path, version: str, home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "bentoml", "build", str(context), "--version", version, "--output", "tag"]
    # The staged copy of the packages is what is built: the checkout's must not come first on the path.
    environment = {
        **os.environ,
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "PYTHONPATH": str(context),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, version checked against _VERSION
            command, cwd=context, env=environment, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BentoError(f"bentoml build took longer than {BUILD_SECONDS} s") from error
    if done.returncode:
        raise BentoError(f"bentoml build ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")


def _bundled_manifest(bento: Path) -> bytes | None:
    found = list((bento / "src" / BUNDLED / "models").glob("*/manifest.json"))
    return found[0].read_bytes() if found else None


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
