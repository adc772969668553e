"""What the ablation of training takes back is still there to be taken back."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.bench_training import COMPILED, TAKEN_BACK, compiler

pytestmark = pytest.mark.unit


def test_each_choice_of_the_ablation_can_be_taken_back() -> None:
    """In a process of its own: nothing brings the choices back."""
    assert COMPILED in TAKEN_BACK
    code = f"from benchmarks.training_ways import take_back\nfor choice in {list(TAKEN_BACK)}: take_back(choice)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert compiler() is None
    monkeypatch.setenv("CXX", sys.executable)
    assert compiler() == sys.executable
