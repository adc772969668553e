"""The learned ranker, as the service runs it: boosted trees as one ONNX graph."""

from __future__ import annotations

import numpy as np
import onnxruntime

from intent_tracking.applications.recommendation.interactions import Floats

_INPUT = "features"


class Ranker:
    """Scores candidates from their features.

    Args:
        content: a serialized ONNX graph with the input `features` `[rows, FEATURES]` and the output `scores`
            `[rows, 1]`.
    """

    def __init__(self, content: bytes) -> None:
        options = onnxruntime.SessionOptions()
        # A few hundred rows are done before other threads would have begun.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.content = content
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def score(self, features: Floats) -> Floats:
        """`[rows]`: the probability that the shopper takes the item this time, as far as the ranker knows."""
        if not len(features):
            return np.zeros(0, np.float32)
        (scores,) = self._session.run(None, {_INPUT: features})
        found: Floats = np.asarray(scores, np.float32).reshape(-1)
        return found
