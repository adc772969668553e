"""A unit of the benchmark: one (set, variant, seed), its result on disk, and what it may use to run."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from intent_tracking.datasets.folders import DataFolders
from intent_tracking.settings import load_settings
from intent_tracking.tables import atomic_write_text

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"
Figures = Mapping[str, float]
RESULTS = Path(__file__).resolve().parent / "results"
ROOT = Path(__file__).resolve().parents[2]
# What decides how good a model is that is trained on files and scored on others.
MODEL_CODE = tuple(
    f"intent_tracking/{name}" for name in ("datasets", "evaluation", "inference.py", "modeling", "sessions", "text")
)


def public_data() -> DataFolders:
    """Where the settings say that public sets lie; those beside the checkout count as the user's own folder."""
    settings = load_settings()
    return DataFolders(settings.data_dir or (BESIDE if BESIDE.is_dir() else None), settings.public_data)


@dataclass(frozen=True)
class Workplace:
    """What a unit may use.

    Attributes:
        data: where the public sets lie.
        models: takes trained models that another unit goes on with.
        device: where to train.
        base_encoder: the encoder to start from.
        say: shows one line of progress.
        max_seconds: training time of one model; None: what `evaluate` takes by itself.
    """

    data: DataFolders
    models: Path
    device: Any
    base_encoder: str
    say: Callable[[str], None]
    max_seconds: float | None = None


@dataclass(frozen=True)
class Measured:
    """Figures of one unit, and what else is worth keeping (recipe, counts)."""

    figures: Figures
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unit:
    """`run(workplace, seed)` measures; `seconds` is what it is expected to take on 2 CPU cores.

    `code` names the files and folders that decide its figures, from the root of the checkout.
    """

    set: str
    variant: str
    seed: int
    seconds: float
    run: Callable[[Workplace, int], Measured]
    code: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the unit and of its result file."""
        return f"{self.set}.{self.variant}.seed{self.seed}"

    @property
    def result_file(self) -> Path:
        """Where its result lies within a folder of results."""
        return Path(f"{self.name}.json")


def measure(unit: Unit, workplace: Workplace, results: Path) -> dict[str, Any]:
    """Run `unit` and write its result, whole or not at all.

    `max_seconds` of its details is the training time that was asked for; None: units that train took their own.
    """
    began = time.perf_counter()
    code = {"paths": list(unit.code), "digest": code_digest(unit.code)}
    budget = "" if workplace.max_seconds is None else f" --max-seconds {workplace.max_seconds:g}"
    measured = unit.run(workplace, unit.seed)
    content: dict[str, Any] = {
        "set": unit.set,
        "variant": unit.variant,
        "seed": unit.seed,
        "figures": {name: round(value, 6) for name, value in measured.figures.items()},
        "seconds": round(time.perf_counter() - began, 1),
        "command": f"make bench-quality ARGS='--only {unit.name} --force{budget}'",
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "code": code,
        "code_version": code_version(),
        "machine": machine(),
        "details": {**measured.details, "max_seconds": workplace.max_seconds},
    }
    atomic_write_text(results / unit.result_file, json.dumps(content, ensure_ascii=False, indent=2) + "\n")
    return content


def read_results(results: Path) -> list[dict[str, Any]]:
    """Every result in the folder, by file name."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]


def state_of(unit: Unit, results: Path) -> Literal["to do", "older code", "done"]:
    """Whether `results` holds the result of `unit`, and whether the code that is here made it."""
    path = results / unit.result_file
    if not path.is_file():
        return "to do"
    code = json.loads(path.read_text(encoding="utf-8")).get("code")
    return "done" if code is not None and code["digest"] == code_digest(unit.code) else "older code"


def code_digest(paths: Sequence[str]) -> str:
    """Names the code and word lists in files and folders, given from the root of the checkout.

    Raises:
        ValueError: there is none in one of them, which would then decide nothing.
    """
    digest = sha256()
    for name in sorted(paths):
        place = ROOT / name
        found = [place] if place.is_file() else [path for path in place.rglob("*") if path.suffix in (".py", ".tsv")]
        if not found:
            raise ValueError(f"{place}: holds no code; name a file or a folder of the checkout")
        for path in sorted(found):
            digest.update(f"{path.relative_to(ROOT).as_posix()}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def code_version() -> str:
    """The commit that is checked out, with a `+` where tracked files differ from it."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    changed = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=no", "--", "intent_tracking", "benchmarks/quality/*.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return f"{commit}+" if changed.strip() else commit


def machine() -> str:
    """Processor, cores that this process may use, and versions that figures depend on."""
    import sklearn
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{names[0] if names else platform.machine()}, {cores} cores{gpu}; Python {platform.python_version()}, "
        f"torch {torch.__version__}, scikit-learn {sklearn.__version__}"
    )
