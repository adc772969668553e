"""IntentPredictor: the one way from text to prediction, for evaluation, service and batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from intent_tracking.artifact import INTENT_MODEL, ArtifactError, Manifest, verify
from intent_tracking.modeling.calibration import Calibration
from intent_tracking.modeling.explaining import Explanation, explain
from intent_tracking.modeling.golden import GoldenCase, Runtime, differences
from intent_tracking.modeling.hardware import choose_device
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.loading import load_golden, load_pipeline
from intent_tracking.modeling.onnx_backend import FLOAT_FILE, INT8_FILE
from intent_tracking.modeling.predicting import Features, PredictionPipeline
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL, IntentScore, KeyInformation, Prediction
from intent_tracking.sessions.render import ModelInput
from intent_tracking.settings import Device

__all__ = [
    "OUT_OF_SCOPE_LABEL",
    "Features",
    "IntentPredictor",
    "IntentScore",
    "KeyInformation",
    "ModelInput",
    "Prediction",
]


class IntentPredictor:
    """A loaded, verified intent model. Safe to share between threads: predicting changes nothing in it."""

    def __init__(
        self,
        manifest: Manifest,
        pipeline: PredictionPipeline,
        golden: Sequence[GoldenCase],
        runtime: Runtime = "torch",
    ) -> None:
        self.manifest = manifest
        self.runtime: Runtime = runtime
        self._pipeline = pipeline
        self._golden = {line: case for line, case in enumerate(golden, start=1) if case.runtime == runtime}

    @classmethod
    def load(
        cls,
        directory: Path,
        device: Device = "auto",
        runtime: Literal["auto", "torch", "onnx"] = "auto",
    ) -> IntentPredictor:
        """Verify the artifact's checksums and build the model from its files alone.

        Args:
            directory: the artifact.
            device: where to run; `auto` is the GPU where there is one.
            runtime: what runs the network; `auto` is ONNX Runtime on a CPU if the artifact has a graph, else torch.

        Raises:
            ArtifactError: a file is missing, changed or does not fit the others, or there is no ONNX graph; the message
                names it and the remedy.
            ValueError: `device` is not there, or is no place for `runtime`.
        """
        manifest = verify(directory, kind=INTENT_MODEL)
        chosen = choose_device("cpu" if runtime == "onnx" and device == "auto" else device)
        # What the manifest does not list is not verified, and not read.
        graph = next((name for name in (INT8_FILE, FLOAT_FILE) if name in manifest.files), None)
        if runtime == "onnx" and chosen.type != "cpu":
            raise ValueError(f"runtime 'onnx' runs on the CPU, not on {chosen}; use runtime 'torch' there")
        if runtime == "onnx" and graph is None:
            raise ArtifactError(f"{directory}: has no ONNX graph; load it with runtime 'torch' or train it again")
        if runtime == "torch" or chosen.type != "cpu":
            graph = None
        pipeline = load_pipeline(directory, chosen, graph)
        return cls(manifest, pipeline, load_golden(directory), "torch" if graph is None else "onnx")

    @property
    def version(self) -> str:
        """Version of the artifact."""
        return self.manifest.version

    @property
    def labels(self) -> LabelSet:
        """Intents and key information that this model knows."""
        return self._pipeline.labels

    @property
    def scenes(self) -> tuple[str, ...]:
        """Scenes that this model was trained in."""
        return self._pipeline.scenes

    @property
    def feature_names(self) -> tuple[str, ...]:
        """User features that the outcome head reads; empty where it has none."""
        return self._pipeline.feature_names

    @property
    def calibration(self) -> Calibration:
        """How probabilities and the out-of-scope decision come out of the network's raw figures."""
        return self._pipeline.calibration

    @property
    def out_of_scope_threshold(self) -> float:
        """An input is out of scope when its familiarity lies below this."""
        return self._pipeline.calibration.out_of_scope_threshold

    def predict(
        self,
        inputs: Sequence[ModelInput],
        features: Sequence[Features | None] | None = None,
        *,
        batch_size: int = 64,
        top_k: int | None = None,
    ) -> list[Prediction]:
        """Predict `inputs` in the order given; inside, texts of like length share a batch.

        Args:
            inputs: rendered sessions or utterances (`intent_tracking.sessions.render`).
            features: user features by name for each input; None or a missing name: unknown.
            batch_size: texts per run of the network.
            top_k: how many intents each prediction lists; None: all.

        Raises:
            ValueError: `features` has another length than `inputs`, or the batch size is not positive.
        """
        return self._pipeline.predict(inputs, features, batch_size=batch_size, top_k=top_k)

    def explain(self, entry: ModelInput, intent: str | None = None) -> Explanation:
        """What each word and event of `entry` counts for its most probable intent, or for the one named.

        Raises:
            ValueError: the model does not know `intent`.
        """
        return explain(self, entry, intent)

    def replay_golden(self) -> list[str]:
        """Answer the golden requests again and say what differs; empty: the model runs here as when it was exported."""
        if not self._golden:
            return []
        answers = self.predict([case.request() for case in self._golden.values()])
        threshold = None if self.labels.multi_label else self.out_of_scope_threshold
        return differences(self._golden, answers, threshold)
