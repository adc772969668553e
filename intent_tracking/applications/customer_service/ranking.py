"""The ranker: how likely a passage answers a question, by a small network over the evidence, run by numpy alone.

It reads no words, only how question and passage meet, so it serves texts that it never saw. `training` makes one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from intent_tracking.applications.customer_service.evidence import NAMES, UNKNOWN
from intent_tracking.applications.customer_service.sparse import FloatArray

INPUTS: Final = len(NAMES) + 1
_DENSE: Final = NAMES.index("dense")
_DENSE_BEHIND: Final = NAMES.index("dense_behind_best")
_COUNTS: Final = [NAMES.index("question_terms"), NAMES.index("text_terms")]
# A value further out than any in training says no more than that.
_FURTHEST: Final = 5.0
_SHIPPED: Final = "ranker.safetensors"


@dataclass(frozen=True, eq=False)
class Ranker:
    """A network of one hidden layer, and the logistic curves that make its best score a confidence.

    Attributes:
        mean, scale: of each input [INPUTS], by training.
        hidden, hidden_bias: [INPUTS, H], [H].
        output, output_bias: [H], [1].
        curves: slope and offset of the confidence in a score (Platt 1999) [2, 2]: where the encoder reads the question,
            and where it does not.
    """

    mean: FloatArray
    scale: FloatArray
    hidden: FloatArray
    hidden_bias: FloatArray
    output: FloatArray
    output_bias: FloatArray
    curves: FloatArray

    def scores(self, rows: FloatArray) -> FloatArray:
        """One score for each row of evidence [n, len(NAMES)] -> [n]; larger is better."""
        states = ranker_inputs(rows, self.mean, self.scale) @ self.hidden + self.hidden_bias
        result: FloatArray = np.maximum(states, 0.0) @ self.output + self.output_bias[0]
        return result

    def confidence(self, scores: FloatArray, *, blind: bool) -> FloatArray:
        """The probability that a passage of such a score, being the best, answers; `blind`: without dense evidence."""
        slope, offset = self.curves[int(blind)]
        result: FloatArray = (1.0 / (1.0 + np.exp(-(slope * scores + offset)))).astype(np.float32)
        return result

    def content(self) -> bytes:
        """As a safetensors file."""
        arrays = {field.name: np.ascontiguousarray(getattr(self, field.name)) for field in fields(self)}
        return bytes(save(arrays))

    @property
    def fingerprint(self) -> str:
        """Changes with any number in it."""
        return hashlib.sha256(self.content()).hexdigest()

    @classmethod
    def of_content(cls, content: bytes) -> Ranker:
        """The inverse of `content`.

        Raises:
            ValueError: the arrays are not those of a ranker of this version.
        """
        arrays: Mapping[str, npt.NDArray[Any]] = load(content)
        names = {field.name for field in fields(cls)}
        width = arrays["hidden"].shape[-1] if "hidden" in arrays else 0
        shapes = {
            "mean": (INPUTS,), "scale": (INPUTS,), "hidden": (INPUTS, width), "hidden_bias": (width,),
            "output": (width,), "output_bias": (1,), "curves": (2, 2),
        }  # fmt: skip
        wrong = sorted(name for name in names if name not in arrays or arrays[name].shape != shapes[name])
        if wrong:
            raise ValueError(f"ranker: {wrong[0]} is missing or of another shape; train the ranker again")
        return cls(**{name: arrays[name].astype(np.float32) for name in names})


def plain_inputs(rows: FloatArray) -> FloatArray:
    """Evidence as the network reads it, before it is scaled: counts by logarithm, and whether no encoder had a say."""
    unknown = rows[:, _DENSE] <= UNKNOWN
    inputs = np.concatenate([rows, unknown[:, None]], axis=1).astype(np.float32)
    inputs[:, _COUNTS] = np.log1p(inputs[:, _COUNTS])
    return inputs


def ranker_inputs(rows: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    """What the network reads [n, INPUTS]: each column by its spread; of unknown dense evidence the average."""
    inputs = plain_inputs(rows)
    unknown = inputs[:, -1] > 0
    for column in (_DENSE, _DENSE_BEHIND):
        inputs[unknown, column] = mean[column]
    limited: FloatArray = np.clip((inputs - mean) / scale, -_FURTHEST, _FURTHEST).astype(np.float32)
    return limited


def without_dense(rows: FloatArray) -> FloatArray:
    """The evidence as it is where no encoder reads the texts."""
    blind = rows.copy()
    blind[:, [_DENSE, _DENSE_BEHIND]] = UNKNOWN
    return blind


def shipped_ranker() -> Ranker:
    """The ranker that comes with the platform, for shops without labelled questions; see `docs/customer-service.md`."""
    path = resources.files("intent_tracking.applications.customer_service") / _SHIPPED
    return Ranker.of_content(path.read_bytes())
