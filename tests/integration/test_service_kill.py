"""The service is killed and stopped under load: what it answered as accepted is in the log exactly once."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bench_kill import KINDS, Load, Verdict, killed_under_load, terminated_under_load

pytestmark = pytest.mark.integration


@pytest.mark.timeout(600)
def test_what_was_accepted_survives_kills_of_the_worker_the_service_and_its_parent_and_a_polite_stop_once(
    tmp_path: Path,
) -> None:
    killed, stopped = Load(), Load()
    with killed_under_load(tmp_path, KINDS, 1.0, killed) as service:
        terminated_under_load(service, 1.0, stopped)
    verdict = Verdict.of(tmp_path, killed, stopped)
    assert killed.statuses["200"] > 0
    assert sum(killed.statuses.values()) > killed.statuses["200"]
    assert stopped.statuses["200"] > 0
    assert (verdict.lost, verdict.doubled, verdict.unanswered) == (frozenset(), frozenset(), frozenset())
