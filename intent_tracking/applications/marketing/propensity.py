"""How likely a shopper buys within 30 days: logistic regression on the logarithms of what the shopper did.

Boosted and randomised trees, and blends with them, rank no better on the validation part of Online Retail; a linear
model says why by itself and is a file of numbers that needs nothing to load.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from intent_tracking.applications.artifacts import PROPENSITY_MODEL, golden_differences, newest_artifact, verified
from intent_tracking.applications.marketing.propensity_features import FEATURES
from intent_tracking.artifact import ArtifactError

Floats = npt.NDArray[np.float64]

WEIGHTS_FILE: Final = "weights.json"


class Weights(BaseModel):
    """The content of `weights.json`: mean, spread and weight of each feature in order, after the logarithm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[str, ...]
    mean: tuple[FiniteFloat, ...]
    spread: tuple[FiniteFloat, ...]
    weight: tuple[FiniteFloat, ...]
    bias: FiniteFloat


@dataclass(frozen=True)
class PropensityModel:
    """The model in memory."""

    weights: Weights
    version: str

    @classmethod
    def load(cls, folder: Path) -> PropensityModel:
        """The artifact in `folder`, after a check of its files and its golden answers.

        Raises:
            ArtifactError: a file is missing, changed or not as described, or an answer is another one.
        """
        manifest = verified(folder, PROPENSITY_MODEL)
        try:
            weights = Weights.model_validate_json((folder / WEIGHTS_FILE).read_bytes())
        except ValidationError as error:
            raise ArtifactError(f"{folder / WEIGHTS_FILE}: {error.errors()[0]['msg']}; train it again") from error
        sizes = {len(weights.features), len(weights.mean), len(weights.spread), len(weights.weight)}
        unknown = sorted(set(weights.features) - FEATURES.keys())
        if len(sizes) != 1 or unknown:
            raise ArtifactError(
                f"{folder / WEIGHTS_FILE}: does not fit this version ({unknown or 'lengths'}); train it again"
            )
        model = cls(weights, manifest.version)
        wrong = golden_differences(folder, model.answer)
        if wrong:
            raise ArtifactError(f"{len(wrong)} golden answers differ, first {wrong[0]}")
        return model

    @classmethod
    def newest(cls, applications: Path, until: date | None = None) -> PropensityModel | None:
        """The newest finished artifact below `Settings.applications`, of those trained up to the day `until`.

        None where there is none.
        """
        folder = newest_artifact(applications, PROPENSITY_MODEL, until)
        return None if folder is None else cls.load(folder)

    def probabilities(self, values: Floats) -> Floats:
        """float64 [shoppers] of `Snapshot.values`."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.parts(values).sum(axis=1) + self.weights.bias))))

    def parts(self, values: Floats) -> Floats:
        """What each feature adds to the logit, float64 [shoppers, features]: 0 where it is as on average."""
        columns = [list(FEATURES).index(name) for name in self.weights.features]
        scaled = (logarithms(values[:, columns]) - np.array(self.weights.mean)) / np.array(self.weights.spread)
        return np.asarray(scaled * np.array(self.weights.weight))

    def answer(self, request: Mapping[str, Any]) -> dict[str, float]:
        """The answer to a golden request: values by feature."""
        values = np.array([[float(request.get(name, 0.0)) for name in FEATURES]])
        return {"propensity": float(self.probabilities(values)[0])}


def logarithms(values: Floats) -> Floats:
    """log(1 + x), odd around zero: counts and money lose their long tails."""
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))
