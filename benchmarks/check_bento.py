"""Does a Bento start where nothing but its own requirements is installed, and does it bring the core alone?

    python -m benchmarks.check_bento [--keep FOLDER] [--artifact FOLDER]

Builds the Bento of a tiny artifact (or of the one given), makes a fresh virtual environment, installs exactly the
Bento's requirements with pip, starts `bentoml serve` on the Bento with nothing of this checkout on the path, asks
`/v1/intent`, and looks at what is installed. Ends with status 1 and the reason where anything of this fails. It needs a
package index, some minutes and 2 GB of disk, which it gives back.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from dagster_project.resources.bento import build_bento
from intent_tracking.settings import Settings
from tests.artifacts import TEXTS, tiny_artifact
from tests.fakes.service_process import free_port

VERSION = "clean-environment"
FOREIGN = {"dagster", "dagster-webserver", "feast", "great-expectations", "evidently", "pytest", "spacy"}
START_SECONDS = 300


def main() -> None:
    """Check, and print one line of JSON with what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keep", type=Path, help="work here and leave everything in place")
    parser.add_argument("--artifact", type=Path, help="the model; without it an untrained one of two layers")
    given = parser.parse_args()
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
        check(given.keep.resolve(), given.artifact)
    else:
        with tempfile.TemporaryDirectory(prefix="check-bento-") as folder:
            check(Path(folder), given.artifact)


def check(folder: Path, artifact: Path | None) -> None:
    """Build, install, serve and ask in `folder`."""
    if artifact is None:
        artifact = folder / "models" / VERSION
        if not artifact.exists():
            tiny_artifact(artifact, VERSION)
    bento = build_bento(Settings(home=folder / "home"), artifact)
    print(f"{bento.tag}: {bento.size / 2**20:.1f} MiB, built in {bento.seconds:.0f} s", flush=True)
    environment = folder / "venv"
    begin = time.monotonic()
    run([sys.executable, "-m", "venv", str(environment)])
    python = environment / "bin" / "python"
    run([str(python), "-m", "pip", "install", "-q", "-r", str(bento.path / "env" / "python" / "requirements.txt")])
    installed_in = time.monotonic() - begin
    listed = json.loads(run([str(python), "-m", "pip", "list", "--format", "json"]))
    names = {package["name"].lower().replace("_", "-") for package in listed}
    size = sum(file.stat().st_size for file in environment.rglob("*") if file.is_file() and not file.is_symlink())
    print(f"{len(names)} packages, {size / 2**30:.2f} GiB, installed in {installed_in:.0f} s", flush=True)
    foreign = sorted(FOREIGN & names)
    if foreign:
        sys.exit(f"the Bento installs more than the core: {', '.join(foreign)}")
    ready_in, answer = serve_and_ask(python, bento.path, folder)
    if len(answer["predictions"]) != len(TEXTS):
        sys.exit(f"{len(TEXTS)} texts got {len(answer['predictions'])} predictions")
    figures = {
        "bento_mib": round(bento.size / 2**20, 1),
        "packages": len(names),
        "environment_gib": round(size / 2**30, 2),
        "install_seconds": round(installed_in),
        "ready_seconds": round(ready_in, 1),
        "model_version": answer["model_version"],
    }
    print(json.dumps(figures))


def serve_and_ask(python: Path, bento: Path, folder: Path) -> tuple[float, Any]:
    """Seconds from the command to the first ready answer, and the answer of `/v1/intent`."""
    port = free_port()
    log = folder / "service.log"
    # Of this checkout and of the caller's shell nothing may help: no PYTHONPATH, a home without a release.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "INTENT_", "BENTO"))}
    own = {
        "INTENT_HOME": str(folder / "empty"),
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    begin = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(python), "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=kept | own,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        while not answers(f"http://127.0.0.1:{port}/readyz"):
            if process.poll() is not None or time.monotonic() > begin + START_SECONDS:
                sys.exit(f"the service is not ready after {START_SECONDS} s or has ended:\n{log.read_text()}")
            time.sleep(0.1)
        ready_in = time.monotonic() - begin
        body = json.dumps({"texts": TEXTS}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/intent", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            return ready_in, json.load(response)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def answers(url: str) -> bool:
    """Whether `url` answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:  # no connection yet, or 503 while the model loads
        return False


def run(command: list[str]) -> str:
    """The output of `command`; ends the check with its errors where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


if __name__ == "__main__":
    main()
