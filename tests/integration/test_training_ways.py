"""What `bench_training --ablation` takes back is still there to be taken back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.bench_training import TAKEN_BACK

pytestmark = pytest.mark.integration


def test_every_choice_of_the_ablation_names_something_of_the_product() -> None:
    # In a process of its own: what is replaced stays replaced.
    code = (
        "import sys; from benchmarks.training_ways import _replace, take_back; import intent_tracking\n"
        "for choice in sys.argv[1:]: take_back(choice)\n"
        "try: _replace(intent_tracking, 'gone', 1)\n"
        "except AttributeError: print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *TAKEN_BACK],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "refused"), done.stderr
