"""What is gained by not answering: accuracy of the answers that remain as more and more unsure ones are withheld."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

POINTS = 201


@dataclass(frozen=True)
class AbstentionCurve:
    """Accuracy against coverage, the unsure withheld first (Geifman and El-Yaniv 2017, arXiv:1705.08500).

    Attributes:
        coverage, accuracy: share of examples answered, ascending, and share of those answered rightly.
        threshold: the confidence from which on an example is answered at that coverage.
        aurc: area under the risk-coverage curve: the mean share of wrong answers over all coverages; less is better.
        best_aurc: what an order that withholds exactly the wrong answers first would reach.
        full_accuracy: with everything answered.
        answered, answered_accuracy: at the threshold that the model uses; None where it answers nothing.
    """

    coverage: tuple[float, ...]
    accuracy: tuple[float, ...]
    threshold: tuple[float, ...]
    aurc: float
    best_aurc: float
    full_accuracy: float
    answered: float
    answered_accuracy: float | None


def _risks(right: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 - np.cumsum(right) / np.arange(1, len(right) + 1))


def abstention_curve(
    confidence: Sequence[float], right: Sequence[bool], withheld: Sequence[bool]
) -> AbstentionCurve | None:
    """The curve over all examples; None without any.

    Args:
        confidence: by which examples are withheld, lowest first. Examples of equal confidence go together.
        right: whether the answer would be right; an out-of-scope example has no right one but the empty set, where sets
            of labels are given.
        withheld: whether the model rejects it.
    """
    if not len(confidence):
        return None
    values, is_right = np.asarray(confidence, dtype=float), np.asarray(right, dtype=bool)
    order = np.argsort(-values, kind="stable")
    values, is_right = values[order], is_right[order]
    # Where several share a confidence no threshold can part them: each of them counts as their mean.
    _, start, count = np.unique(-values, return_index=True, return_counts=True)
    mean = np.add.reduceat(is_right.astype(float), start) / count
    risks = _risks(np.repeat(mean, count))
    ends = start + count
    keep = np.unique(np.linspace(0, len(ends) - 1, min(POINTS, len(ends))).round().astype(int))
    spoken = ~np.asarray(withheld, dtype=bool)
    answered_right = np.asarray(right, dtype=bool)[spoken]
    return AbstentionCurve(
        tuple(float(end / len(values)) for end in ends[keep]),
        tuple(float(1.0 - risks[end - 1]) for end in ends[keep]),
        tuple(float(values[end - 1]) for end in ends[keep]),
        float(risks.mean()),
        float(_risks(np.sort(is_right)[::-1]).mean()),
        float(is_right.mean()),
        float(spoken.mean()),
        float(answered_right.mean()) if spoken.any() else None,
    )
