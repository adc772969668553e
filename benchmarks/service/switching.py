"""Switches and rollbacks under load: every answer is asked for by one caller and held against what its model says."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.service.processes import Server
from intent_tracking.inference import IntentPredictor
from intent_tracking.release import Component, publish
from intent_tracking.sessions.render import render_utterance

_CALLERS, _TEXTS = 8, 8
_SWITCH_SECONDS = 60.0
# Int8 in other company differs in the last bits of a float32; the two models differ by far more.
_SAME = 1e-4


class SwitchLoad:
    """Callers that compare each answer with the one that the version named in it must give."""

    def __init__(self, server: Server, models: Sequence[Path], texts: Sequence[str]) -> None:
        self._server = server
        self._texts = list(texts[:_TEXTS])
        self._expected: dict[str, list[dict[str, float]]] = {}
        for directory in models:
            predictor = IntentPredictor.load(directory, "cpu")
            answers = predictor.predict([render_utterance(text) for text in self._texts], top_k=5)
            self._expected[predictor.version] = [
                {score.name: score.probability for score in answer.intents} for answer in answers
            ]
        self.answers: Counter[str] = Counter()
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def run(self, release_file: Path, components: Mapping[str, Component], switches: int, pause: float) -> None:
        """Publish the components in turn while the callers ask, each once the one before is served, and `pause` s."""
        callers = [threading.Thread(target=self._ask) for _ in range(_CALLERS)]
        for caller in callers:
            caller.start()
        names = list(components)
        time.sleep(pause)
        for turn in range(switches):
            name = names[(turn + 1) % len(names)]
            before = self.answers[name]
            publish(release_file, {"intent_model": components[name]}, "benchmark")
            deadline = time.monotonic() + _SWITCH_SECONDS
            while self.answers[name] == before and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(pause)
        self._stop.set()
        for caller in callers:
            caller.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=60)
        body = json.dumps({"texts": self._texts})
        while not self._stop.is_set():
            try:
                connection.request("POST", "/v1/intent", body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                outcome = self._judged(answer.status, json.loads(answer.read()))
            except (OSError, http.client.HTTPException):
                connection.close()
                outcome = "failed"
            with self._lock:
                self.answers[outcome] += 1
        connection.close()

    def _judged(self, status: int, body: dict[str, Any]) -> str:
        if status != 200:
            return "failed"
        version = body["model_version"]
        for found, expected in zip(body["predictions"], self._expected[version], strict=True):
            scores = {intent["name"]: intent["probability"] for intent in found["intents"]}
            if scores.keys() != expected.keys() or any(abs(scores[name] - expected[name]) > _SAME for name in scores):
                return "mixed"
        return str(version)
