"""Figures: what is counted, how many series there can be, and workers that were killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bentos.intent_service.metrics import MAX_INTENTS_COUNTED, Metrics, observe_all
from bentos.intent_service.runtime import Runtime
from intent_tracking.prediction_log import ServedPrediction
from intent_tracking.settings import Settings
from tests.fakes.predictors import FailingPredictor
from tests.fakes.service_client import client_of, message

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[3]
Figures = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def figures_of(text: str) -> Figures:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(figures: Figures, name: str, **labels: str) -> float | None:
    return figures.get((name, tuple(sorted(labels.items()))))


def served(intent: str = "track_order", *, confidence: float = 0.7, out_of_scope: bool = False) -> ServedPrediction:
    return ServedPrediction(
        event_time=datetime.now(UTC),
        kind="intent",
        session_id=None,
        shopper_id=None,
        scene="search",
        language="en",
        text="where is my parcel",
        intent=intent,
        confidence=confidence,
        out_of_scope=out_of_scope,
        purchase_probability=0.5,
        unknown_share=0.1,
        event_count=1,
        embedding=[],
        model_version="m1",
    )


def test_requests_move_the_figures_of_tracking_storage_and_drift(runtime: Runtime, home: Path) -> None:
    client = client_of(runtime)
    too_old = {**message(2), "event_time": "2020-01-01T00:00:00Z"}
    client.post("/v1/track", json={"events": [message(1, "where is it?"), too_old, {"event_id": "x"}, message(1)]})
    client.post("/v1/intent", json={"texts": ["hello", "hi?"]})
    client.get("/nowhere")
    figures = figures_of(client.get("/metrics").text)
    assert value(figures, "intent_events_total", result="accepted") == 1
    assert value(figures, "intent_events_total", result="duplicate") == 1
    assert value(figures, "intent_events_total", result="rejected") == 2
    assert value(figures, "intent_events_rejected_total", reason="too_late") == 1
    assert sum(found for (name, _), found in figures.items() if name == "intent_events_rejected_total") == 2
    assert value(figures, "intent_event_log_append_seconds_count") == 1
    written = sum(path.stat().st_size for path in (home / "event_log").glob("*"))
    assert value(figures, "intent_event_log_bytes_total") == written > 0
    assert value(figures, "intent_sessions") == 1
    assert value(figures, "intent_predictions_total", kind="track", intent="oos") == 1
    assert value(figures, "intent_predictions_total", kind="intent", intent="intent-of-m1") == 1
    assert value(figures, "intent_confidence_count") == 3
    assert value(figures, "intent_confidence_sum") == pytest.approx(3 * 0.7)
    assert value(figures, "intent_text_characters_count") == 3
    assert value(figures, "intent_http_errors_total", route="other", code="not_found") == 1
    assert value(figures, "intent_http_in_flight") == 1
    assert value(figures, "intent_model_info", model_version="m1") == 1
    assert value(figures, "intent_process_resident_bytes", worker="1") > 1e7


def test_an_unexpected_error_is_counted_like_any_answer(home: Path) -> None:
    # Cause: Starlette answers unexpected errors outside of its middleware, so 500s were in no figure.
    runtime = Runtime(Settings(home=home), FailingPredictor.load)
    runtime.start()
    client = client_of(runtime)
    assert client.post("/v1/intent", json={"texts": ["hello"]}).status_code == 500
    figures = figures_of(client.get("/metrics").text)
    runtime.close()
    assert value(figures, "intent_http_requests_total", route="/v1/intent", status="500") == 1
    assert value(figures, "intent_http_request_seconds_count", route="/v1/intent") == 1
    assert value(figures, "intent_http_errors_total", route="/v1/intent", code="internal") == 1


def test_many_values_at_once_are_observed_like_one_by_one() -> None:
    metrics, single = Metrics(), Metrics()
    values = [0.0, 0.1, 0.100001, 0.5, 0.95, 1.0, 0.3, 0.3]
    observe_all(metrics._confidence, values)
    for each in values:
        single._confidence.observe(each)
    buckets = [figures_of(each.render().decode()) for each in (metrics, single)]
    pick = [{key: found for key, found in each.items() if key[0].startswith("intent_confidence")} for each in buckets]
    assert pick[0].keys() == pick[1].keys()
    for key, found in pick[0].items():
        if not key[0].endswith("_created"):
            assert found == pytest.approx(pick[1][key])


def test_a_model_with_ever_new_intents_does_not_make_ever_new_series() -> None:
    metrics = Metrics()
    for number in range(MAX_INTENTS_COUNTED + 50):
        metrics.count_predictions([served(f"intent-{number}")])
    metrics.count_predictions([served("intent-3")])
    figures = figures_of(metrics.render().decode())
    names = [labels for (name, labels) in figures if name == "intent_predictions_total"]
    assert len(names) == MAX_INTENTS_COUNTED + 1
    assert value(figures, "intent_predictions_total", kind="intent", intent="other") == 50
    assert value(figures, "intent_predictions_total", kind="intent", intent="intent-3") == 2


def test_after_a_switch_only_the_live_version_is_named() -> None:
    metrics = Metrics()
    metrics.serve(1, "m1")
    metrics.serve(2, "m2")
    figures = figures_of(metrics.render().decode())
    assert value(figures, "intent_model_info", model_version="m2") == 1
    assert value(figures, "intent_model_info", model_version="m1") is None
    assert value(figures, "intent_release_number") == 2


WORKER = """
import os, sys
from bentos.intent_service.metrics import Metrics
metrics = Metrics(int(sys.argv[1]))
metrics.serve(int(sys.argv[2]), sys.argv[3])
metrics.in_flight.inc(2)
metrics.events.labels("accepted").inc(5)
print("up", flush=True)
for line in sys.stdin:
    sys.stdout.write(metrics.render().decode() + "# EOF\\n")
    sys.stdout.flush()
"""


class Worker:
    """A process with figures of its own, as BentoML starts one."""

    def __init__(self, folder: Path, number: int, release: int, version: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(number), str(release), version],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PROMETHEUS_MULTIPROC_DIR": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "up\n"

    def figures(self) -> Figures:
        """What it answers a scrape."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        lines = []
        while (line := self.process.stdout.readline()) != "# EOF\n":
            assert line, "the worker ended"
            lines.append(line)
        return figures_of("".join(lines))

    def kill(self) -> None:
        """As the system does when memory is short. Not yet waited for: it stays a zombie."""
        os.kill(self.process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)

    def close(self) -> None:
        """End it and take its pipes away."""
        self.process.kill()
        self.process.communicate()


@contextmanager
def workers(folder: Path, *given: tuple[int, int, str]) -> Iterator[list[Worker]]:
    started = [Worker(folder, *each) for each in given]
    try:
        yield started
    finally:
        for each in started:
            each.close()


def test_a_killed_worker_keeps_its_counts_and_loses_its_gauges(tmp_path: Path) -> None:
    with workers(tmp_path, (1, 7, "m7"), (2, 6, "m6")) as (first, second):
        both = first.figures()
        assert value(both, "intent_http_in_flight") == 4
        assert value(both, "intent_release_number") == 6
        assert value(both, "intent_model_info", model_version="m6") == 1
        assert {value(both, "intent_process_resident_bytes", worker=each) is None for each in ("1", "2")} == {False}
        second.kill()
        alone = first.figures()
        assert value(alone, "intent_http_in_flight") == 2
        assert value(alone, "intent_release_number") == 7
        assert value(alone, "intent_model_info", model_version="m6") is None
        assert value(alone, "intent_model_info", model_version="m7") == 1
        assert value(alone, "intent_process_resident_bytes", worker="2") is None
        assert value(alone, "intent_process_resident_bytes", worker="1") > 1e7
        assert value(alone, "intent_events_total", result="accepted") == 10
        with workers(tmp_path, (2, 7, "m7")):
            again = first.figures()
            assert value(again, "intent_model_info", model_version="m7") == 2
            assert value(again, "intent_events_total", result="accepted") == 15


def test_a_dead_worker_whose_number_went_to_a_stranger_is_still_dead(tmp_path: Path) -> None:
    with workers(tmp_path, (1, 7, "m7")) as [only]:
        # The files of a dead worker, whose process id this test process has: it lives, but is no child of ours.
        stranger = os.getpid()
        for file in list(tmp_path.glob("gauge_live*.db")):
            kind = file.name.rpartition("_")[0]
            (tmp_path / f"{kind}_{stranger}.db").write_bytes(file.read_bytes())
        figures = only.figures()
        assert value(figures, "intent_http_in_flight") == 2
        assert value(figures, "intent_model_info", model_version="m7") == 1
