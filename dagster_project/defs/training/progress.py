"""Training progress in the run's log, at a pace that people read."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intent_tracking.modeling.search_result import SearchProgress
    from intent_tracking.modeling.training_result import Progress

SECONDS_BETWEEN_LINES = 10.0


class EveryFewSeconds:
    """Takes the reports of a training and logs one of them every few seconds."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._last = float("-inf")

    def of_search(self, progress: "SearchProgress") -> None:
        """Log how a trial stands unless that was logged just now, and how each one ended."""
        best = "" if progress.best is None else f"; best so far {progress.best:.4f}"
        trial = f"trial {progress.trial} of 0 to {progress.trials - 1}"
        if progress.ended is not None:
            self._log(f"{trial} ended: {progress.ended}{best}")
        if progress.training is not None:
            self(progress.training, f"{trial}{best}: ")

    def __call__(self, progress: "Progress", before: str = "") -> None:
        """Log `progress` unless one was logged just now."""
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        scores = ", ".join(f"{name} {value:.3f}" for name, value in progress.scores.items())
        self._log(
            f"{before}pass {progress.epoch + 1} of {progress.epochs}, step {progress.step} of {progress.steps}, "
            f"loss {progress.loss:.3f}, {progress.seconds:.0f} s" + (f"; {scores}" if scores else "")
        )
