"""Probabilities that mean what they say: temperature, the out-of-scope threshold, and the error before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from intent_tracking.modeling.labels import LabelSet
from intent_tracking.modeling.multi_label import choose_thresholds
from intent_tracking.modeling.out_of_scope import (
    ALLOWED_LOSS,
    HALF,
    ClassFamiliarity,
    Familiarity,
    choose_threshold,
    fit_familiarity,
)
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

CALIBRATION_BINS = 15


class Calibration(BaseModel):
    """The content of `calibration.json`.

    Attributes:
        temperature: divides the intent logits (Guo et al. 2017, "On Calibration of Modern Neural Networks").
        outcome_temperature: divides the outcome logit.
        familiarity: how familiar an input looks; None: as its best known label is probable.
        out_of_scope_threshold: an input is out of scope when its familiarity lies below this.
        allowed_loss: share of in-scope texts whose right answer the threshold was allowed to cost; None: validation
            did not choose it.
        ece_before, ece_after: expected calibration error on validation, 15 equal-width bins, over the examples whose
            intent is known; None: not measured.
        outcome_ece_before, outcome_ece_after: the same of the purchase probability.
        label_thresholds: of a multi-label set, the probability from which each label holds; empty: one half.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=1.0, gt=0)
    outcome_temperature: float = Field(default=1.0, gt=0)
    familiarity: Familiarity | ClassFamiliarity | None = None
    out_of_scope_threshold: float = Field(default=0.0, ge=0, le=1)
    allowed_loss: float | None = Field(default=None, ge=0, le=1)
    ece_before: float | None = None
    ece_after: float | None = None
    outcome_ece_before: float | None = None
    outcome_ece_after: float | None = None
    label_thresholds: tuple[float, ...] = ()

    def on_validation(self) -> dict[str, float | None]:
        """The calibration errors on validation data, by name."""
        names = ("ece_before", "ece_after", "outcome_ece_before", "outcome_ece_after")
        return self.model_dump(include=set(names))

    def rejects(self, *, multi_label: bool) -> str:
        """What is answered as out of scope, in words; a multi-label set goes by its labels alone."""
        if multi_label:
            return "a text that has none of the labels"
        if isinstance(self.familiarity, ClassFamiliarity):
            few = "too few validation texts to choose a threshold"
            return f"a text for which the learned class {OUT_OF_SCOPE_LABEL} is the most probable: {few}"
        if not self.out_of_scope_threshold:
            return "nothing: too few validation texts to choose a threshold, or none"
        below = f"a text whose familiarity lies below {self.out_of_scope_threshold:.3f}"
        if self.allowed_loss is None:
            return below
        return f"{below}, which may cost {self.allowed_loss:.1%} of the in-scope texts their right answer"

    def intent_probabilities(self, logits: FloatArray) -> FloatArray:
        """Softmax of logits [..., K] at the temperature."""
        return softmax(logits / self.temperature)

    def label_probabilities(self, logits: FloatArray) -> FloatArray:
        """Sigmoid of the logits [..., K] of a multi-label set at the temperature."""
        halves: FloatArray = (0.5 * (1.0 + np.tanh(logits / (2.0 * self.temperature)))).astype(np.float32)
        return halves

    def holding(self, probabilities: FloatArray) -> npt.NDArray[np.bool_]:
        """Which labels of a multi-label set hold, for probabilities [..., K]."""
        thresholds = np.asarray(self.label_thresholds or (0.5,), dtype=np.float32)
        return np.asarray(probabilities >= thresholds)

    def familiarity_of(self, logits: FloatArray, known: int) -> npt.NDArray[np.floating]:
        """How much each input looks like what the model knows, 0..1 [N], from its intent logits [N, K].

        `known` labels come first; a further logit is that of the out-of-scope class.
        """
        if self.familiarity is None:
            highest: FloatArray = self.intent_probabilities(logits)[:, :known].max(axis=1, initial=0.0)
            return highest
        return self.familiarity.of(logits, known)

    def is_out_of_scope(self, familiarity: float) -> bool:
        """Whether the input is too unfamiliar to act on."""
        return familiarity < self.out_of_scope_threshold

    def purchase_probability(self, logit: float) -> float:
        """Sigmoid of the outcome logit at its temperature."""
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit / self.outcome_temperature))))


def softmax(logits: FloatArray) -> FloatArray:
    """Softmax over the last axis."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: FloatArray = (exponentials / exponentials.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result


@dataclass(frozen=True)
class CalibrationBin:
    """The answers whose stated probability lies in `(low, high]`; the first bin holds 0 too."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability_bins(
    confidences: npt.NDArray[np.floating], correct: npt.NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> tuple[CalibrationBin, ...]:
    """Stated probability against how often it came true, in equal-width bins (Guo et al. 2017, arXiv:1706.04599).

    Args:
        confidences: 0..1 [N].
        correct: whether each came true [N].
        bins: how many.
    """
    stated = np.asarray(confidences, dtype=np.float64)
    # float32 puts 0.2 just above 0.2; rounding keeps a probability that stands on an edge in the bin below it.
    place = np.clip(np.ceil(np.round(stated * bins, 6)).astype(int) - 1, 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    share = np.maximum(count, 1)
    mean = np.bincount(place, stated, bins) / share
    right = np.bincount(place, np.asarray(correct, dtype=np.float64), bins) / share
    return tuple(
        CalibrationBin(at / bins, (at + 1) / bins, int(count[at]), float(mean[at]), float(right[at]))
        for at in range(bins)
    )


def expected_calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Mean gap between stated probability and outcome, weighted by the size of the bins; 0 without any answer."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / max(total, 1)


def fit_temperature(logits: FloatArray, targets: IntArray) -> float:
    """The temperature with the lowest negative log likelihood, by golden-section search over 0.05..20.

    A separable validation set would ask for ever more confidence, so the search is bounded and one pseudo-example of
    uniform confusion per hundred keeps it finite.
    """
    if len(targets) < 2:
        return 1.0
    double = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = double / math.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        log_probability = scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))
        right = log_probability[np.arange(len(targets)), targets].mean()
        return float(-(0.99 * right + 0.01 * log_probability.mean()))

    low, high = math.log(0.05), math.log(20.0)
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) < loss(right):
            high = right
        else:
            low = left
    return math.exp((low + high) / 2)


def uncalibrated(labels: LabelSet) -> Calibration:
    """What holds without validation texts: nothing is corrected, and the class `oos`, where learned, is an answer."""
    if not labels.out_of_scope_class:
        return Calibration()
    return Calibration(familiarity=ClassFamiliarity(), out_of_scope_threshold=HALF)


def calibrate(
    intent_logits: FloatArray | None,
    intent_targets: IntArray,
    outcome_logits: FloatArray | None,
    outcome_targets: IntArray,
    labels: LabelSet,
    *,
    allowed_loss: float = ALLOWED_LOSS,
) -> Calibration:
    """Fit everything on validation outputs; too few of them choose no threshold, and out of scope is `uncalibrated`.

    Args:
        intent_logits: [N, K], or None without an intent head; rows without a label are left out by the caller.
        intent_targets: classes [N].
        outcome_logits: [M], or None without an outcome head.
        outcome_targets: 0 or 1 [M].
        labels: the label set.
        allowed_loss: share of in-scope texts whose right answer rejecting may cost; more of it finds more that is out
            of scope.
    """
    fitted = uncalibrated(labels)
    if outcome_logits is not None and len(outcome_targets):
        pairs = np.stack([np.zeros_like(outcome_logits), outcome_logits], axis=1)
        found = fit_temperature(pairs, outcome_targets)
        fitted = fitted.model_copy(
            update={
                "outcome_temperature": found,
                "outcome_ece_before": _error(softmax(pairs)[:, 1], outcome_targets == 1),
                "outcome_ece_after": _error(softmax(pairs / found)[:, 1], outcome_targets == 1),
            }
        )
    if intent_logits is None or len(intent_targets) == 0:
        return fitted
    names = len(labels.intents)
    inside = intent_targets < names
    temperature = fit_temperature(intent_logits, intent_targets)
    fitted = fitted.model_copy(update={"temperature": temperature})
    if not names or not inside.any():
        return fitted
    before, after = softmax(intent_logits)[inside, :names], softmax(intent_logits / temperature)[inside, :names]
    right = before.argmax(axis=1) == intent_targets[inside]
    fitted = fitted.model_copy(
        update={"ece_before": _error(before.max(axis=1), right), "ece_after": _error(after.max(axis=1), right)}
    )
    familiarity = fit_familiarity(intent_logits[inside], names)
    threshold = choose_threshold(familiarity.of(intent_logits[inside], names), right, allowed_loss)
    if threshold is None:
        return fitted
    chosen = {"familiarity": familiarity, "out_of_scope_threshold": threshold, "allowed_loss": allowed_loss}
    return fitted.model_copy(update=chosen)


def calibrate_label_sets(fitted: Calibration, logits: FloatArray, truth: npt.NDArray[np.bool_]) -> Calibration:
    """`fitted` with what a multi-label head needs: one temperature over all decisions, and a threshold for each label.

    Args:
        fitted: of the other heads.
        logits: [N, K] on validation.
        truth: which labels each text has [N, K].
    """
    pairs = np.stack([np.zeros(logits.size, dtype=np.float32), logits.ravel()], axis=1)
    scaled = fitted.model_copy(update={"temperature": fit_temperature(pairs, truth.ravel().astype(np.int64))})
    before, after = fitted.label_probabilities(logits), scaled.label_probabilities(logits)
    return scaled.model_copy(
        update={
            "label_thresholds": choose_thresholds(after, truth),
            "ece_before": _error(before.ravel(), truth.ravel()),
            "ece_after": _error(after.ravel(), truth.ravel()),
        }
    )


def _error(confidences: FloatArray, correct: npt.NDArray[np.bool_]) -> float:
    return expected_calibration_error(reliability_bins(confidences, correct))
