"""IntentPredictor: the one way from text to prediction, for evaluation, service and batch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from intent_tracking.artifact import INTENT_MODEL, Manifest, verify
from intent_tracking.modeling.calibration import Calibration
from intent_tracking.modeling.explaining import Explanation, explain
from intent_tracking.modeling.golden import GoldenCase, differences
from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.loading import load_golden, load_pipeline
from intent_tracking.modeling.predicting import Features, PredictionPipeline, choose_device
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL, IntentScore, KeyInformation, Prediction
from intent_tracking.sessions.render import ModelInput

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

    def __init__(self, manifest: Manifest, pipeline: PredictionPipeline, golden: Sequence[GoldenCase]) -> None:
        self.manifest = manifest
        self._pipeline = pipeline
        self._golden = tuple(golden)

    @classmethod
    def load(cls, directory: Path, device: Literal["auto", "cpu", "cuda"] = "auto") -> IntentPredictor:
        """Verify the artifact's checksums and build the model from its files alone.

        Raises:
            ArtifactError: a file is missing, changed or does not fit the others; the message names it and the remedy.
            ValueError: `device` is not there.
        """
        manifest = verify(directory, kind=INTENT_MODEL)
        return cls(manifest, load_pipeline(directory, choose_device(device)), load_golden(directory))

    @property
    def version(self) -> str:
        """Version of the artifact."""
        return self.manifest.version

    @property
    def labels(self) -> LabelSet:
        """Intents and key information that this model knows."""
        return self._pipeline.labels

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
        answers = self.predict([case.request() for case in self._golden])
        return differences(self._golden, answers, self.out_of_scope_threshold)
