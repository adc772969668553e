"""When drift asks for a retraining, and in words why not. Pure: the caller brings the history and the clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from intent_tracking.evaluation.drift import DriftSummary


@dataclass(frozen=True)
class RetrainingPolicy:
    """Attributes:
    min_samples: sessions that a window must have compared to count.
    windows_in_a_row: drifted windows, one after the other, that make a request.
    cooldown: time after a request in which no other is made.
    """

    min_samples: int = 200
    windows_in_a_row: int = 2
    cooldown: timedelta = timedelta(days=3)

    def __post_init__(self) -> None:
        if self.windows_in_a_row < 1:
            raise ValueError(
                f"windows_in_a_row is {self.windows_in_a_row}; at least one drifted window makes a request"
            )


@dataclass(frozen=True)
class RetrainingDecision:
    """Whether to ask for a retraining now; `reason` is for people, also when the answer is no."""

    retrain: bool
    reason: str


def _in_order(history: Iterable[DriftSummary]) -> list[DriftSummary]:
    """One summary a window, oldest first; of a window checked twice, the last check counts."""
    latest = {(summary.window_end, summary.window_start): summary for summary in history}
    return [latest[key] for key in sorted(latest)]


def should_retrain(
    history: Sequence[DriftSummary],
    *,
    running: bool,
    last_retraining: datetime | None,
    now: datetime,
    policy: RetrainingPolicy | None = None,
) -> RetrainingDecision:
    """Ask for a retraining when the newest windows drifted in a row, the cool-down is over and none runs.

    Only windows that began after the last request count: those before it are the reason for that request, and say
    nothing about the model it gave. So one episode of drift asks once, and asks again only if the drift goes on under
    what came of it. A window with too few samples says neither yes nor no: it is passed over.

    Args:
        history: drift summaries, in any order.
        running: a retraining is running or queued.
        last_retraining: when the last one was asked for.
        now: on the same clock as the windows. A replay of old days gives the end of its newest window.
    """
    policy = policy or RetrainingPolicy()
    if running:
        return RetrainingDecision(False, "a retraining is running; its result comes first")
    ordered = _in_order(history)
    if not ordered:
        return RetrainingDecision(False, "no drift has been measured yet")
    since = [s for s in ordered if last_retraining is None or s.window_start >= last_retraining]
    if not since:
        return RetrainingDecision(
            False, f"no window has begun since the last retraining ({last_retraining:%Y-%m-%d %H:%M})"
        )
    counted = [s for s in since if s.enough and min(s.current_size, s.reference_size) >= policy.min_samples]
    if not counted:
        newest = since[-1]
        return RetrainingDecision(
            False,
            f"too few samples: {newest.current_size} sessions in the window that ended {newest.window_end:%Y-%m-%d}, "
            f"{newest.reference_size} in its reference, {policy.min_samples} needed of each",
        )
    row: list[DriftSummary] = []
    for summary in reversed(counted):
        if not summary.drifted:
            break
        row.append(summary)
    if not row:
        return RetrainingDecision(False, f"no drift in the newest window: {counted[-1].reason}")
    if len(row) < policy.windows_in_a_row:
        return RetrainingDecision(
            False, f"{len(row)} drifted in a row, {policy.windows_in_a_row} needed; newest: {row[0].reason}"
        )
    if last_retraining is not None and now < last_retraining + policy.cooldown:
        over = last_retraining + policy.cooldown
        return RetrainingDecision(
            False, f"drift goes on, but the cool-down after the last retraining lasts until {over:%Y-%m-%d %H:%M}"
        )
    return RetrainingDecision(True, f"{len(row)} windows in a row drifted; newest: {row[0].reason}")
