"""Performance drift: what people later said was right, against what the model had answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL


@dataclass(frozen=True)
class PerformanceDrift:
    """Accuracy on labelled traffic, now against the reference.

    `difference` is current minus reference, with its 95% bootstrap interval `low..high`. The accuracy has fallen when
    the whole interval lies below zero and the fall is at least the stated margin.
    """

    reference_count: int
    current_count: int
    reference_accuracy: float | None
    current_accuracy: float | None
    difference: float | None
    low: float | None
    high: float | None
    drifted: bool
    reason: str


def correct_answers(predictions: pa.Table, labels: Mapping[str, str], key: str = "session_id") -> list[bool]:
    """Whether the answer was right, for each labelled `key` among the predictions.

    A session that was answered several times counts once, by its last answer: the label speaks of the whole session.

    Args:
        predictions: table with PREDICTION_SCHEMA.
        labels: true intent by session id (or by what `key` names).
    """
    columns = (key, "event_time", "prediction_id", "intent", "out_of_scope")
    labelled = pc.is_in(predictions.column(key), value_set=pa.array(list(labels), pa.string()))
    predictions = predictions.filter(labelled)
    last: dict[str, tuple[tuple[datetime, str], str]] = {}
    rows = zip(*(predictions.column(name).to_pylist() for name in columns), strict=True)
    for name, moment, prediction_id, intent, out in rows:
        order = (moment, prediction_id)
        if name not in last or order > last[name][0]:
            last[name] = (order, OUT_OF_SCOPE_LABEL if out else intent)
    return [answer == labels[name] for name, (_, answer) in sorted(last.items())]


def performance_drift(
    reference: Sequence[bool],
    current: Sequence[bool],
    *,
    min_labels: int = 50,
    margin: float = 0.03,
    draws: int = 2000,
    seed: int = 0,
) -> PerformanceDrift:
    """Compare the share of right answers of two labelled sets, from `correct_answers`.

    Where either has fewer than `min_labels` there is no verdict, and `reason` says so.
    """
    sizes = len(reference), len(current)
    if min(sizes) < min_labels:
        reason = f"performance: {sizes[1]} labels in the window, {sizes[0]} in the reference, {min_labels} needed"
        return PerformanceDrift(*sizes, None, None, None, None, None, False, reason)
    before, now = float(np.mean(reference)), float(np.mean(current))
    generator = np.random.default_rng(seed)
    drawn = generator.binomial(sizes[1], now, draws) / sizes[1] - generator.binomial(sizes[0], before, draws) / sizes[0]
    low, high = (float(value) for value in np.quantile(drawn, [0.025, 0.975]))
    fell = high < 0 and before - now >= margin
    word = "fell" if fell else "holds"
    reason = f"performance {word}: accuracy {now:.3f} after {before:.3f}, difference in [{low:+.3f}, {high:+.3f}]"
    return PerformanceDrift(*sizes, before, now, now - before, low, high, fell, reason)
