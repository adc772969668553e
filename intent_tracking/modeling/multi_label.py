"""Several intents for one text: how they are written, when a label holds, and how sets of labels are scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from intent_tracking.modeling.prediction import LABEL_SEPARATOR, OUT_OF_SCOPE_LABEL
from intent_tracking.modeling.scores import mean_f1, micro_f1

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

# Where validation holds fewer examples of a label, its own threshold would be chance: the shared one stands.
_ENOUGH_FOR_OWN = 10


def names_in(intent: str) -> tuple[str, ...]:
    """The labels of one annotation, by name: `a|b` is both `a` and `b`, and `oos` is none of them."""
    return tuple(sorted({name.strip() for name in intent.split(LABEL_SEPARATOR)} - {OUT_OF_SCOPE_LABEL, ""}))


def is_multi_label(intents: Iterable[str]) -> bool:
    """Whether any text has two labels."""
    return any(len(names_in(intent)) > 1 for intent in intents)


def label_set_matrix(sets: Sequence[Sequence[int] | None], labels: int) -> FloatArray:
    """Label sets as 0 and 1 [N, labels]; a row of NaN where nobody labelled the text. Without labels it is [N, 0]."""
    matrix = np.zeros((len(sets), labels), dtype=np.float32)
    for row, members in enumerate(sets if labels else ()):
        if members is None:
            matrix[row] = np.nan
        else:
            matrix[row, list(members)] = 1.0
    return matrix


def choose_thresholds(probabilities: FloatArray, truth: BoolArray) -> tuple[float, ...]:
    """The probability from which each label holds: the one with the best F1 on validation.

    A label that few validation texts have takes the threshold with the best F1 over all labels together.

    Args:
        probabilities: [N, K].
        truth: which labels each text has [N, K].
    """
    if truth.size == 0:
        return tuple(0.5 for _ in range(probabilities.shape[1]))
    shared = _best_threshold(probabilities.ravel(), truth.ravel())
    return tuple(
        _best_threshold(probabilities[:, label], truth[:, label])
        if int(truth[:, label].sum()) >= _ENOUGH_FOR_OWN
        else shared
        for label in range(probabilities.shape[1])
    )


def _best_threshold(probabilities: FloatArray, truth: BoolArray) -> float:
    """Midway between the last probability that counts and the first that does not, where F1 is highest; 0.5 if none."""
    if not truth.any():
        return 0.5
    order = np.argsort(-probabilities, kind="stable")
    sorted_probabilities = probabilities[order].astype(np.float64)
    right = np.cumsum(truth[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + truth.sum())
    # A threshold cannot part equal probabilities.
    following = np.append(sorted_probabilities[1:], -1.0)
    f1[following == sorted_probabilities] = -1.0
    place = int(f1.argmax())
    return float(max(0.0, (sorted_probabilities[place] + following[place]) / 2))


def label_set_scores(truth: BoolArray, chosen: BoolArray) -> dict[str, float]:
    """Scores of sets of labels [N, K]: F1 over all decisions, its mean over the labels that occur, and equal sets.

    A label occurs where it is true or chosen, as in `scores.macro_f1`.
    """
    right = (truth & chosen).sum(0)
    occurs = truth.sum(0) + chosen.sum(0)
    return {
        "accuracy": float((truth == chosen).all(1).mean()),
        "macro_f1": mean_f1(right, occurs) if occurs.any() else 0.0,
        "micro_f1": micro_f1(right, occurs),
    }
