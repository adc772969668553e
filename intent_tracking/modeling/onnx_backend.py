"""ONNX Runtime behind the `Backend` call: what serves on a CPU."""

from __future__ import annotations

import os

import torch

from intent_tracking.modeling.hardware import int8_saturates
from intent_tracking.modeling.predicting import FloatArray, IntArray, Outputs

FLOAT_FILE = "onnx/model.onnx"
INT8_FILE = "onnx/model.int8.onnx"
INPUTS = ("ids", "mask", "features", "scenes")
# Makes uint8 of int8 weights when the session is built: products of the same values that are added without saturation,
# by slower kernels.
EXACT_PRODUCTS = "session.x64quantprecision"
OUTPUTS = ("pooled", "intents", "tags", "outcomes")


class OnnxBackend:
    """Runs an ONNX graph that `onnx_export` made. Safe to share between threads."""

    # Of 12 to 24 tokens each took 32 short texts of int8 MiniLM in 0.6 of the time of one batch; 8 and 32 took longer.
    run_tokens = 16

    def __init__(self, content: bytes, *, threads: int | None = None, spinning: bool = False) -> None:
        """Build the session.

        Args:
            content: the serialised model, all of it: weights in files beside it are refused.
            threads: that one run uses; None: as many as torch has, so that one setting holds for both runtimes.
            spinning: whether idle threads burn their core for a faster start of the next product.

        Raises:
            ValueError: `content` is no graph that this runtime takes.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
        # Weights outside of the checked bytes would be read from the working directory: there is no such folder.
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
        if int8_saturates():
            options.add_session_config_entry(EXACT_PRODUCTS, "1")
        try:
            self._session = onnxruntime.InferenceSession(
                content,
                options,
                providers=["CPUExecutionProvider"],
                # Its kernel is several times slower than an addition and a normalisation (onnxruntime 1.32).
                disabled_optimizers=["SkipLayerNormFusion"],
            )
        except Exception as error:
            raise ValueError(f"ONNX Runtime refuses the graph: {error}") from error
        self._inputs = tuple(entry.name for entry in self._session.get_inputs())
        self._outputs = tuple(entry.name for entry in self._session.get_outputs())

    def run(self, ids: IntArray, mask: IntArray, features: FloatArray, scenes: IntArray) -> Outputs:
        """See `Backend.run`."""
        given = dict(zip(INPUTS, (ids, mask, features, scenes), strict=True))
        # A graph whose heads and layers do not read an input does not have it.
        parts = self._session.run(None, {name: given[name] for name in self._inputs})
        found = dict(zip(self._outputs, parts, strict=True))
        return Outputs(*(found.get(name) for name in OUTPUTS))  # type: ignore[arg-type]
