"""The network alone: tokens in, outputs out, no service and no Python around it but one call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from intent_tracking.modeling.loading import load_config, load_onnx, load_tokenizer
from intent_tracking.modeling.onnx_backend import INT8_FILE
from intent_tracking.modeling.predicting import FloatArray, IntArray, batches_by_length, pad

Batch = tuple[IntArray, IntArray, FloatArray, IntArray]


class BareForward:
    """Runs the int8 graph of an artifact on all cores over texts that were tokenized before."""

    def __init__(self, directory: Path, cores: int) -> None:
        torch.set_num_threads(cores)
        config = load_config(directory)
        self._backend = load_onnx(directory / INT8_FILE)
        self._tokenizer = load_tokenizer(directory, config.max_tokens)
        self._features = len(config.features)

    def batches(self, texts: Sequence[Sequence[str]], *, by_length: bool = False) -> list[list[Batch]]:
        """What the network reads of each of `texts`, rendered: one run, or `by_length` the runs of the service."""
        made = []
        for part in texts:
            encoded = self._tokenizer.encode(list(part))
            lengths = [len(entry.ids) for entry in encoded]
            groups = batches_by_length(lengths, 64, self._backend.run_tokens) if by_length else [range(len(part))]
            made.append([self._batch([encoded[place].ids for place in group]) for group in groups])
        return made

    def seconds(self, calls: Sequence[list[Batch]], least: float) -> list[float]:
        """How long each call took, over and over for `least` seconds."""
        taken: list[float] = []
        end = time.perf_counter() + least
        while time.perf_counter() < end:
            begin = time.perf_counter()
            for batch in calls[len(taken) % len(calls)]:
                self._backend.run(*batch)
            taken.append(time.perf_counter() - begin)
        return taken

    def _batch(self, rows: list[list[int]]) -> Batch:
        ids, mask = pad(rows)
        features = np.full((len(rows), self._features), np.nan, dtype=np.float32)
        return ids, mask, features, np.ones(len(rows), dtype=np.int64)
