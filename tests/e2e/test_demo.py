"""The whole loop, as `make demo` runs it. It takes most of ten minutes, so it runs where it is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.environ.get("INTENT_RUN_DEMO") != "1", reason="takes ten minutes; set INTENT_RUN_DEMO=1"),
]


def test_drift_retrains_once_switches_live_refuses_a_bad_model_and_rolls_back(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-m", "dagster_project.demo"],
        capture_output=True,
        text=True,
        env={**os.environ, "INTENT_HOME": str(home), "OMP_WAIT_POLICY": "passive"},
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    runs = dg.DagsterInstance.from_config(str(home / "dagster")).get_runs(dg.RunsFilter(job_name="retrain_job"))
    assert sum("intent/drift_window_end" in run.tags for run in runs) == 1
    assert [run.status for run in runs].count(dg.DagsterRunStatus.FAILURE) == 1  # the bad challenger
    releases = [json.loads(path.read_text()) for path in sorted((home / "releases").glob("*.json"))]
    versions = [release["components"]["intent_model"]["version"] for release in releases]
    assert versions == [versions[0], versions[1], versions[0], versions[1]]
    assert versions[0] != versions[1]
