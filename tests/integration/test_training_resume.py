"""A training that is killed goes on where it was and ends as if nothing had happened."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.fakes.tiny_encoder import tiny_encoder

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE = 240.0


def _command(encoder: Path, work: Path, result: Path) -> list[str]:
    return [sys.executable, "-m", "tests.fakes.train_process", str(encoder), str(work), str(result)]


def _steps(work: Path) -> int:
    return max((int(path.name.removeprefix("step-")) for path in (work / "checkpoints").glob("step-*")), default=0)


def test_killed_training_ends_with_the_same_steps_weights_and_figures(tmp_path: Path) -> None:
    encoder = tiny_encoder(tmp_path / "encoder")
    with (
        subprocess.Popen(_command(encoder, tmp_path / "whole", tmp_path / "whole-result"), cwd=ROOT) as whole,
        subprocess.Popen([*_command(encoder, tmp_path / "work", tmp_path / "result"), "0.5"], cwd=ROOT) as killed,
    ):
        try:
            end = time.monotonic() + DEADLINE
            # In the middle of the second pass, after a best pass has been kept.
            while _steps(tmp_path / "work") < 11:
                assert killed.poll() is None, "the training ended before it could be killed"
                assert time.monotonic() < end
                time.sleep(0.002)
        finally:
            killed.kill()
    assert killed.returncode == -signal.SIGKILL
    reached = _steps(tmp_path / "work")
    assert not (tmp_path / "result").exists()

    subprocess.run(_command(encoder, tmp_path / "work", tmp_path / "result"), cwd=ROOT, check=True, timeout=DEADLINE)
    assert whole.returncode == 0
    figures = json.loads((tmp_path / "result" / "figures.json").read_text())
    expected = json.loads((tmp_path / "whole-result" / "figures.json").read_text())
    assert 11 <= reached < expected["steps"]
    assert figures["steps"] == expected["steps"]
    assert len(figures["history"]) == len(expected["history"])
    for entry, other in zip(figures["history"], expected["history"], strict=True):
        assert entry["loss"] == pytest.approx(other["loss"], abs=1e-6)
        assert entry["scores"] == pytest.approx(other["scores"], abs=1e-6)
    resumed = load_file(tmp_path / "result" / "weights.safetensors")
    weights = load_file(tmp_path / "whole-result" / "weights.safetensors")
    assert all(torch.allclose(resumed[name], weights[name], atol=1e-6) for name in weights)
