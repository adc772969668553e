"""A predictor that needs no network of neurons: its answer is a function of its version and the text."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from intent_tracking.artifact import INTENT_MODEL, INTENT_MODEL_FILES, verify, write_manifest
from intent_tracking.inference import Features, IntentScore, KeyInformation, ModelInput, Prediction
from intent_tracking.release import Component

BEHAVIOUR = "labels.json"


class FakePredictor:
    """Names its version as the first intent of each answer, so that an answer of mixed version shows."""

    def __init__(self, version: str, *, seconds: float = 0.0, differences: Sequence[str] = ()) -> None:
        self.version = version
        self._seconds = seconds
        self._differences = list(differences)

    @classmethod
    def load(cls, directory: Path) -> FakePredictor:
        """From an artifact that `fake_artifact` wrote; raises what the real one raises."""
        manifest = verify(directory, kind=INTENT_MODEL)
        behaviour = json.loads((directory / BEHAVIOUR).read_text())
        return cls(manifest.version, seconds=behaviour["seconds"], differences=behaviour["differences"])

    def predict(
        self,
        inputs: Sequence[ModelInput],
        features: Sequence[Features | None] | None = None,
        *,
        top_k: int | None = None,
    ) -> list[Prediction]:
        """One answer for each input; a `?` at the end of a text makes it out of scope."""
        time.sleep(self._seconds)
        return [self._answer(entry, top_k) for entry in inputs]

    def replay_golden(self) -> list[str]:
        """The differences that the artifact was made with."""
        return self._differences

    def _answer(self, entry: ModelInput, top_k: int | None) -> Prediction:
        words = entry.text[entry.utterance_start : entry.utterance_end]
        intents = (IntentScore(f"intent-of-{self.version}", 0.7), IntentScore("track_order", 0.3))
        found = words.find("red")
        return Prediction(
            intents=intents[:top_k],
            out_of_scope=words.endswith("?"),
            key_information=(KeyInformation("colour", "red", found, found + 3),) if found >= 0 else (),
            purchase_probability=0.25,
            embedding=np.zeros(4, dtype=np.float32),
            unknown_share=0.0,
            token_count=len(entry.text.split()),
        )


class FailingPredictor(FakePredictor):
    """Fails like a library that quotes what it was given; `cause` quotes it too."""

    def predict(
        self,
        inputs: Sequence[ModelInput],
        features: Sequence[Features | None] | None = None,
        *,
        top_k: int | None = None,
    ) -> list[Prediction]:
        """Raises ValueError from KeyError, both with the text in their messages."""
        text = inputs[0].text
        try:
            raise KeyError(text)
        except KeyError as cause:
            raise ValueError(f"cannot read {text!r}") from cause


def fake_artifact(home: Path, version: str, *, seconds: float = 0.0, differences: Sequence[str] = ()) -> Component:
    """An artifact under `home/models` that `FakePredictor.load` takes, ready to be published."""
    directory = home / "models" / version
    directory.mkdir(parents=True)
    for name in INTENT_MODEL_FILES:
        (directory / name).write_text("{}")
    (directory / BEHAVIOUR).write_text(json.dumps({"seconds": seconds, "differences": list(differences)}))
    write_manifest(
        directory, kind=INTENT_MODEL, version=version, code_version="0", dataset_fingerprint="none", labels=("a", "b")
    )
    return Component.of(directory)


class GatedPredictor(FakePredictor):
    """Computes only while its gate is open, remembers each batch as texts, and fails on texts that say so."""

    def __init__(self, version: str) -> None:
        super().__init__(version)
        self.gate = threading.Event()
        self.started = threading.Semaphore(0)
        self.batches: list[list[str]] = []

    def predict(
        self,
        inputs: Sequence[ModelInput],
        features: Sequence[Features | None] | None = None,
        *,
        top_k: int | None = None,
    ) -> list[Prediction]:
        """One answer for each input, once the gate is open."""
        self.batches.append([entry.text for entry in inputs])
        self.started.release()
        assert self.gate.wait(60)
        if any("poison" in entry.text for entry in inputs):
            raise ValueError("cannot read this")
        return super().predict(inputs, features, top_k=top_k)
