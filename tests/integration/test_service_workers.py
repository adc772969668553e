"""Two workers of one service: releases go back and forth under load, and no answer fails or mixes two models."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from intent_tracking.inference import IntentPredictor
from intent_tracking.release import publish, rollback
from intent_tracking.sessions.render import render_utterance
from tests.artifacts import TEXTS, tiny_component
from tests.fakes.service_process import RunningService, running_service

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="each worker needs a core of its own"),
]

VERSIONS = ("m-a", "m-b")
# A machine that is busy with other work answers late: what is shed then is no failure of a switch.
SETTINGS = {
    "INTENT_WORKERS": "2",
    "INTENT_CACHED_PREDICTIONS": "0",
    "INTENT_MAX_WAIT_SECONDS": "60",
    "INTENT_REQUEST_SECONDS": "50",
}


def scores(home: Path, version: str) -> list[dict[str, float]]:
    """What the model of `version` says of TEXTS."""
    predictor = IntentPredictor.load(home / "models" / version, "cpu")
    answers = predictor.predict([render_utterance(text) for text in TEXTS])
    return [{score.name: score.probability for score in answer.intents} for answer in answers]


def wait_for_both(service: RunningService, version: str) -> None:
    deadline = time.monotonic() + 120
    while f'intent_model_info{{model_version="{version}"}} 2.0' not in service.call("/metrics")[1]:
        assert time.monotonic() < deadline, service.log.read_text()
        time.sleep(0.1)


def test_two_workers_switch_and_roll_back_under_load(tmp_path: Path) -> None:
    components = {version: tiny_component(tmp_path, version, seed=seed) for seed, version in enumerate(VERSIONS)}
    expected = {version: scores(tmp_path, version) for version in VERSIONS}
    assert expected["m-a"][0] != pytest.approx(expected["m-b"][0], abs=1e-3)
    publish(tmp_path / "release.json", {"intent_model": components["m-a"]}, "first")
    stop = threading.Event()
    failures: list[Any] = []
    served: Counter[str] = Counter()

    def ask() -> None:
        while not stop.is_set():
            status, body = service.call("/v1/intent", {"texts": list(TEXTS)})
            found = [{each["name"]: each["probability"] for each in part["intents"]} for part in body["predictions"]]
            for one, other in zip(found, expected[body["model_version"]], strict=True):
                if status != 200 or one != pytest.approx(other, abs=1e-4):
                    failures.append((status, body))
            served[body["model_version"]] += 1

    def ask_until_told() -> None:
        try:
            ask()
        except Exception as error:  # noqa: BLE001 - the test names it
            failures.append(error)

    with running_service(tmp_path, environment=SETTINGS) as service:
        wait_for_both(service, "m-a")
        callers = [threading.Thread(target=ask_until_told) for _ in range(4)]
        for caller in callers:
            caller.start()
        for version in ("m-b", "m-a", "m-b"):
            publish(tmp_path / "release.json", {"intent_model": components[version]}, "back and forth")
            wait_for_both(service, version)
        rollback(tmp_path / "release.json", "shown to work")
        wait_for_both(service, "m-a")
        stop.set()
        for caller in callers:
            caller.join()
    assert failures == []
    assert min(served[version] for version in VERSIONS) > 0
