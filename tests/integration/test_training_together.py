"""Two processes train as one: the same weights, one writer, and each number of processes goes on from a checkpoint."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from safetensors.torch import load_file

from intent_tracking.modeling.checkpoint import TrainingState
from tests.fakes.tiny_encoder import labelled, tiny_encoder

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent.parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "INTENT_DEVICE": "cpu"}
_TWO = [str(Path(sys.executable).parent / "torchrun"), "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without dropout: the masks of two processes differ from those of one."""
    folder = tiny_encoder(tmp_path_factory.mktemp("encoder"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=ENVIRONMENT, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def _train(
    processes: int, encoder: Path, work: Path, result: Path, epochs: int = 3
) -> subprocess.CompletedProcess[str]:
    launcher = _TWO if processes == 2 else [sys.executable]
    return _run([*launcher, "-m", "tests.fakes.train_together", str(encoder), str(work), str(result), str(epochs)])


def _kill_all(launcher: subprocess.Popen[bytes]) -> None:
    """Kill torchrun and what it launched: each process has a session of its own, and would train on alone."""
    launched = psutil.Process(launcher.pid).children(recursive=True) if launcher.poll() is None else []
    launcher.kill()
    for process in launched:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(launched, 20)


def _apart(one: Path, other: Path) -> float:
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def test_two_processes_give_the_weights_of_one(encoder: Path, tmp_path: Path) -> None:
    _train(1, encoder, tmp_path / "alone", tmp_path / "one")
    done = _train(2, encoder, tmp_path / "together", tmp_path / "two")
    assert "process 1 has helped to train" in done.stdout
    one, two = (tmp_path / name / "weights.safetensors" for name in ("one", "two"))
    assert _apart(one, two) < 1e-3
    assert _apart(one, tmp_path / "one" / "start.safetensors") > 1e-2
    histories = [json.loads((tmp_path / name / "figures.json").read_text())["history"] for name in ("one", "two")]
    for alone, together in zip(*histories, strict=True):
        assert together["loss"] == pytest.approx(alone["loss"], abs=1e-3)
        assert together["scores"].keys() == alone["scores"].keys()
    assert len(list((tmp_path / "together" / "tensorboard").glob("events.*"))) == 1

    # The last batch of a pass is one text: alone, process 1 has nothing to learn from it, and still steps along.
    state = next((tmp_path / "together" / "checkpoints").glob("step-*/state.json"))
    assert TrainingState.model_validate_json(state.read_text()).step == 3 * 4


def test_evaluate_by_two_processes_writes_one_report(encoder: Path, tmp_path: Path) -> None:
    for name, rows in (("train", labelled()), ("test", labelled()[::3])):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "intent"])
            writer.writerows([row.text, row.intent] for row in rows)
    report = tmp_path / "report.json"
    files = ["--train", str(tmp_path / "train.csv"), "--test", str(tmp_path / "test.csv"), "--report", str(report)]
    command = Path(sys.executable).parent / "intent-tracking"
    done = _run([*_TWO, "--no-python", str(command), "evaluate", *files, "--base-encoder", str(encoder)])
    assert done.stdout.count("macro-F1") == 1
    # A line of each pass, of one process, where no terminal shows a bar.
    assert done.stderr.count("evaluate: pass 2/") == 1
    assert "process 1" not in done.stdout + done.stderr
    assert json.loads(report.read_text())["training"]["steps"] > 0


def test_one_process_goes_on_from_where_two_were_killed(encoder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    command = [*_TWO, "-m", "tests.fakes.train_together", str(encoder), str(work), str(tmp_path / "none"), "10", "0.5"]
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as killed:
        try:
            end = time.monotonic() + 600
            # Ten steps of forty or more, and not none.
            while not any(int(path.name.removeprefix("step-")) >= 10 for path in (work / "checkpoints").glob("step-*")):
                assert killed.poll() is None, "the training ended before it could be killed"
                assert time.monotonic() < end
                time.sleep(0.002)
        finally:
            _kill_all(killed)
    assert not (tmp_path / "none").exists()
    _train(1, encoder, work, tmp_path / "result", 10)
    _train(1, encoder, tmp_path / "alone", tmp_path / "whole", 10)
    assert _apart(tmp_path / "result" / "weights.safetensors", tmp_path / "whole" / "weights.safetensors") < 1e-3
