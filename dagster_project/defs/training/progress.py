"""Training progress in the run's log, at a pace that people read."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from intent_tracking.modeling.training import Progress

SECONDS_BETWEEN_LINES = 10.0


class EveryFewSeconds:
    """Takes the reports of a training and logs one of them every few seconds."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._last = float("-inf")

    def __call__(self, progress: "Progress") -> None:
        """Log `progress` unless one was logged just now."""
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        scores = ", ".join(f"{name} {value:.3f}" for name, value in progress.scores.items())
        self._log(
            f"pass {progress.epoch + 1} of {progress.epochs}, step {progress.step} of {progress.steps}, "
            f"loss {progress.loss:.3f}, {progress.seconds:.0f} s" + (f"; {scores}" if scores else "")
        )
