"""The service as it runs: BentoML's process, a real (tiny) model, real files, and switches under load."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from intent_tracking.events.segment_log import read_log
from intent_tracking.prediction_log import prediction_days, read_predictions
from intent_tracking.release import Component, publish, read_release, rollback
from tests.artifacts import TEXTS, tiny_component
from tests.fakes.service_process import ROOT, RunningService, running_service

pytestmark = pytest.mark.integration

FOREIGN = ("dagster", "dagster_project", "feast", "great_expectations", "evidently", "expectations", "features")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("service-home")


@pytest.fixture(scope="module")
def components(home: Path) -> dict[str, Component]:
    return {version: tiny_component(home, version, seed=seed) for seed, version in enumerate(("m-a", "m-b"))}


@pytest.fixture(scope="module")
def service(home: Path) -> Iterator[RunningService]:
    # A machine that is busy with other work answers late: what is shed then is no failure of a switch.
    patience = {"INTENT_MAX_WAIT_SECONDS": "60", "INTENT_REQUEST_SECONDS": "50"}
    with running_service(home, environment=patience) as running:
        yield running


def message(event_id: str, text: str = "where is my parcel") -> dict[str, Any]:
    return {
        "event_id": event_id,
        "event_name": "message",
        "event_time": datetime.now(UTC).isoformat(),
        "anonymous_id": f"visitor-{event_id}",
        "source": "web",
        "params": {"text": text},
    }


def test_the_service_starts_without_a_model_and_becomes_ready_when_one_is_released(
    service: RunningService, home: Path, components: dict[str, Component]
) -> None:
    assert service.call("/livez")[0] == 200
    status, body = service.call("/readyz")
    assert (status, body["error"]["code"]) == (503, "no_model")
    status, body = service.call("/v1/intent", {"texts": ["hello"]})
    assert (status, body["error"]["code"]) == (503, "no_model")
    assert service.call("/v1/track", {"events": [message("early")]})[1]["accepted"] == 1
    publish(home / "release.json", {"intent_model": components["m-a"]}, "first")
    assert service.wait_for_release(1)["model_version"] == "m-a"
    assert service.call("/readyz")[0] == 200


def test_both_languages_are_answered_and_events_are_on_disk(service: RunningService, home: Path) -> None:
    service.wait_for_release(1)
    status, body = service.call("/v1/intent", {"texts": list(TEXTS), "scene": "customer_service"})
    assert status == 200
    assert body["model_version"] == "m-a"
    assert len(body["predictions"]) == len(TEXTS)
    for prediction in body["predictions"]:
        assert 0 < sum(intent["probability"] for intent in prediction["intents"]) <= 1.001
    status, body = service.call("/v1/track", {"events": [message("d1", "我想退货"), message("d2"), {"event_id": "d3"}]})
    assert status == 200
    assert (body["accepted"], [each["index"] for each in body["rejected"]]) == (2, [2])
    assert [session["scene"] for session in body["sessions"]] == ["customer_service"] * 2
    stored = {json.loads(line.data)["event_id"] for line in read_log(home / "event_log")}
    assert {"early", "d1", "d2"} <= stored


def test_switching_back_and_forth_under_load_loses_no_request_and_mixes_no_versions(
    service: RunningService, home: Path, components: dict[str, Component]
) -> None:
    release = read_release(home / "release.json")
    assert release is not None
    service.wait_for_release(release.number)
    texts = list(TEXTS)
    expected: dict[str, Any] = {}
    for version in ("m-b", "m-a"):
        number = publish(home / "release.json", {"intent_model": components[version]}, "learn its answers").number
        service.wait_for_release(number)
        expected[version] = _intents(service.call("/v1/intent", {"texts": texts})[1])
    assert not _same(expected["m-a"], expected["m-b"])

    stop = threading.Event()
    failures: list[Any] = []
    served: Counter[str] = Counter()

    def ask(caller: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            status, body = service.call("/v1/intent", {"texts": texts})
            if status != 200 or not _same(_intents(body), expected[body["model_version"]]):
                failures.append((status, body))
            else:
                served[body["model_version"]] += 1
            status, body = service.call("/v1/track", {"events": [message(f"load-{caller}-{turn}")]})
            if status != 200 or body["accepted"] != 1 or body["model_version"] not in expected:
                failures.append((status, body))

    callers = [threading.Thread(target=ask, args=(caller,)) for caller in range(4)]
    for caller in callers:
        caller.start()
    for turn in range(4):
        version = ("m-b", "m-a")[turn % 2]
        number = publish(home / "release.json", {"intent_model": components[version]}, "back and forth").number
        _answers_come(served, service.wait_for_release(number)["model_version"], failures)
    number = rollback(home / "release.json", "shown to work").number
    _answers_come(served, service.wait_for_release(number)["model_version"], failures)
    stop.set()
    for caller in callers:
        caller.join()
    assert failures == []


def test_a_model_that_does_not_answer_as_promised_is_refused_while_the_old_one_serves(
    service: RunningService, home: Path
) -> None:
    before = service.call("/v1/release")[1]
    broken = tiny_component(home, "m-broken", seed=7, true_golden=False)
    number = publish(home / "release.json", {"intent_model": broken}, "bad challenger").number
    deadline = time.monotonic() + 120
    while not (body := service.call("/v1/release")[1])["refused"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (body["number"], body["model_version"]) == (before["number"], before["model_version"])
    assert f"release {number}" in body["refused"]
    assert service.call("/readyz")[0] == 200
    assert service.call("/v1/intent", {"texts": ["hello"]})[1]["model_version"] == before["model_version"]
    assert 'intent_release_switches_total{result="refused"} 1.0' in service.call("/metrics")[1]
    assert "ALERT" in service.log.read_text()
    number = rollback(home / "release.json", "bad challenger was refused").number
    assert service.wait_for_release(number)["refused"] is None


def test_bentoml_s_own_endpoints_and_index_are_not_reachable(service: RunningService) -> None:
    assert "<title>Intent console</title>" in service.call("/")[1]
    for path in ("/schema.json", "/healthz", "/static_content/index.css"):
        status, body = service.call(path)
        assert (status, body["error"]["code"]) == (404, "not_found")


def test_nothing_of_the_orchestration_is_imported_by_the_service() -> None:
    program = (
        "import sys, bentos.intent_service.service, bentos.intent_service.app, bentos.intent_service.runtime\n"
        f"print(sorted(name for name in {FOREIGN!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == "[]"


def test_a_polite_stop_writes_what_was_served(service: RunningService, home: Path) -> None:
    """Last in this module: it ends the service."""
    status, body = service.call("/v1/track", {"events": [message("goodbye")]})
    assert status == 200
    session_id = body["sessions"][0]["session_id"]
    os.killpg(service.process.pid, signal.SIGTERM)
    service.process.wait(60)
    root = home / "prediction_log"
    rows = read_predictions(root, prediction_days(root)).to_pylist()
    assert session_id in {row["session_id"] for row in rows}
    assert {row["model_version"] for row in rows} == {"m-a", "m-b"}


def _intents(body: dict[str, Any]) -> list[dict[str, float]]:
    return [{each["name"]: each["probability"] for each in answer["intents"]} for answer in body["predictions"]]


def _answers_come(served: Counter[str], version: str, failures: list[Any]) -> None:
    """Wait for answers of `version` to all callers together, or for a failure."""
    before = served[version]
    deadline = time.monotonic() + 120
    while served[version] < before + 8 and not failures:
        assert time.monotonic() < deadline, f"no answers of {version}: {served}"
        time.sleep(0.02)


def _same(left: list[dict[str, float]], right: list[dict[str, float]]) -> bool:
    return all(one == pytest.approx(other, abs=1e-4) for one, other in zip(left, right, strict=True))
