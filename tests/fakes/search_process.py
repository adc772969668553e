"""A search in a process of its own, to be killed: `python -m tests.fakes.search_process ENCODER FOLDER TRIALS`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from intent_tracking.modeling.dataset import TokenizedDataset, prepare_dataset
from intent_tracking.modeling.search import search_recipe
from intent_tracking.modeling.search_result import SearchProgress, SearchResult
from tests.fakes.tiny_encoder import tiny_examples


def tiny_dataset(encoder: str) -> TokenizedDataset:
    """Three intents, thirty training texts."""
    return prepare_dataset(tiny_examples(), encoder)


def search(
    encoder: str,
    folder: Path,
    trials: int,
    progress: Callable[[SearchProgress], None] | None = None,
    checkpoint_seconds: float = 30.0,
) -> SearchResult:
    """Search on one thread, as every run of the tests does: their figures are compared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return search_recipe(
            tiny_dataset(encoder),
            folder,
            seed=3,
            device="cpu",
            max_trials=trials,
            checkpoint_seconds=checkpoint_seconds,
            progress=progress,
        )
    finally:
        torch.set_num_threads(threads)


if __name__ == "__main__":
    # A checkpoint after every step, so that there is one when the kill comes, and pauses in the trial that it comes in:
    # on a busy machine it would be too late.
    search(
        sys.argv[1],
        Path(sys.argv[2]),
        int(sys.argv[3]),
        lambda seen: time.sleep(0.2 if seen.trial == 1 else 0.0),
        checkpoint_seconds=0.0,
    )
