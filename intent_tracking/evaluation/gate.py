"""May the challenger go live? Both models answer the same held-out examples, and the difference is bootstrapped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from intent_tracking.evaluation import label_sets, metrics
from intent_tracking.evaluation.behavioural import BehaviouralReport
from intent_tracking.evaluation.metrics import EvaluationError, Interval
from intent_tracking.modeling.calibration import CALIBRATION_BINS
from intent_tracking.modeling.prediction import Prediction
from intent_tracking.modeling.scores import macro_f1
from intent_tracking.modeling.splits import ENOUGH_TO_JUDGE


@dataclass(frozen=True)
class GatePolicy:
    """Attributes:
    margin: macro-F1 that a challenger may lie below the champion, as the lower end of the interval of the difference.
    floor_macro_f1, floor_accuracy: what a first model must reach, where there is no champion.
    max_ece: highest expected calibration error; a challenger may have more where the champion has more still.
    min_examples: fewer labelled held-out examples than this decide nothing, so they promote nothing; so many labels by
        people, and they alone decide.
    draws, level, seed: of the paired bootstrap.
    """

    margin: float = 0.02
    floor_macro_f1: float = 0.5
    floor_accuracy: float = 0.5
    max_ece: float = 0.1
    min_examples: int = ENOUGH_TO_JUDGE
    draws: int = 1000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class GateDecision:
    """`reasons` say each test and its outcome in words; `figures` hold the numbers, None where there is none."""

    promote: bool
    reasons: tuple[str, ...]
    figures: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def paired_difference(
    truth: Sequence[str],
    challenger: Sequence[str],
    champion: Sequence[str],
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    multi_label: bool = False,
) -> Interval:
    """Macro-F1 of the challenger minus that of the champion, with the interval over resampled examples.

    Paired: each resample takes the same examples for both, so what is hard for both cancels out (Koehn 2004). Examples
    are counted by (truth, challenger, champion), and resampling the counts is a multinomial draw.

    Raises:
        EvaluationError: the lengths differ, or there is no example.
    """
    if not len(truth) == len(challenger) == len(champion):
        raise EvaluationError(f"{len(truth)} labels, {len(challenger)} and {len(champion)} predictions; give one each")
    if not truth:
        raise EvaluationError("no held-out example to compare the models on")
    labels = sorted({*truth, *challenger, *champion})
    place = {label: i for i, label in enumerate(labels)}
    cells = np.array([[place[name] for name in row] for row in zip(truth, challenger, champion, strict=True)])
    kinds, counts = np.unique(cells, axis=0, return_counts=True)

    mean_f1 = label_sets.macro_f1_over(labels) if multi_label else macro_f1

    def difference(weights: NDArray[np.int64]) -> float:
        return mean_f1(kinds[:, 0], kinds[:, 1], weights) - mean_f1(kinds[:, 0], kinds[:, 2], weights)

    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(truth), counts / counts.sum(), size=draws)
    low, high = np.quantile([difference(weights) for weights in drawn], [(1 - level) / 2, (1 + level) / 2])
    return Interval(difference(counts), float(low), float(high))


def decide(
    truth: Sequence[str],
    challenger: Sequence[Prediction],
    champion: Sequence[Prediction] | None,
    challenger_labels: Sequence[str],
    behaviour: BehaviouralReport | None,
    policy: GatePolicy | None = None,
    *,
    multi_label: bool = False,
) -> GateDecision:
    """Promote the challenger when it is better, or not worse within the margin, and it behaves and is calibrated.

    Args:
        truth: labels of held-out examples, of later days than either model was trained on.
        challenger, champion: predictions of those examples, in order; no champion: absolute floors apply. A champion
            that lacks a new label gets its examples wrong, as it does in service.
        challenger_labels: the challenger's label set.
        behaviour: of the challenger; None refuses, because an untested model does not go live.
        policy: None: the defaults.
        multi_label: the challenger gives sets of labels: accuracy is of sets, the rest of single labels.

    Raises:
        EvaluationError: predictions are missing.
    """
    policy = policy or GatePolicy()
    sides = [len(side) for side in (challenger, champion) if side is not None]
    if any(length != len(truth) for length in sides):
        raise EvaluationError(f"{len(truth)} labels but {sides} predictions; predict each example once")
    if len(truth) < policy.min_examples:
        reason = f"refused: {len(truth)} labelled held-out examples, {policy.min_examples} needed to decide"
        return GateDecision(False, (reason,), {"examples": float(len(truth))})

    said = [p.label for p in challenger]
    answered = sorted({*truth, *said})
    cells = metrics.cells_of(truth, said, answered)
    mean_f1 = label_sets.macro_f1_over(answered) if multi_label else macro_f1
    f1, accuracy = mean_f1(*cells), metrics.accuracy_of(*cells)
    figures: dict[str, float | None] = {
        "examples": float(len(truth)),
        "challenger_macro_f1": f1,
        "challenger_accuracy": accuracy,
    }
    if champion is None:
        tests = [_against_floors(f1, accuracy, policy)]
    else:
        answers = [p.label for p in champion]
        change = paired_difference(
            truth,
            said,
            answers,
            draws=policy.draws,
            level=policy.level,
            seed=policy.seed,
            multi_label=multi_label,
        )
        figures |= {"champion_macro_f1": f1 - change.value, "difference": change.value}
        figures |= {"difference_low": change.low, "difference_high": change.high}
        tests = [_against_champion(change, policy)]
    # Few examples in many bins look badly calibrated whatever the model: about 40 a bin.
    bins = min(CALIBRATION_BINS, max(5, len(truth) // 40))
    calibrated = label_sets.calibration_figures if multi_label else metrics.calibration_figures
    for name, predictions in (("ece", challenger), ("champion_ece", champion)):
        calibration = calibrated(truth, predictions, challenger_labels, bins) if predictions is not None else None
        figures[name] = calibration.ece if calibration else None
    tests.append(_calibrated(figures["ece"], figures["champion_ece"], policy))
    figures["behaviour_pass_rate"] = behaviour.pass_rate if behaviour else None
    tests.append((behaviour.passed, behaviour.reason) if behaviour else (False, "no behavioural tests were run"))
    reasons = tuple(f"{'passed' if good else 'refused'}: {words}" for good, words in tests)
    return GateDecision(all(good for good, _ in tests), reasons, figures)


def _against_floors(f1: float, accuracy: float, policy: GatePolicy) -> tuple[bool, str]:
    good = f1 >= policy.floor_macro_f1 and accuracy >= policy.floor_accuracy
    floors = f"floors {policy.floor_macro_f1} and {policy.floor_accuracy}"
    return good, f"no champion: macro-F1 {f1:.3f} and accuracy {accuracy:.3f}, {floors}"


def _against_champion(change: Interval, policy: GatePolicy) -> tuple[bool, str]:
    figures = f"macro-F1 difference {change.value:+.3f}, {_span(change)}"
    if change.low > 0:
        return True, f"better than the champion: {figures}"
    if change.low >= -policy.margin:
        return True, f"not worse than the champion within {policy.margin}: {figures}"
    return False, f"may be worse than the champion by more than {policy.margin}: {figures}"


def _calibrated(ece: float | None, champion: float | None, policy: GatePolicy) -> tuple[bool, str]:
    if ece is None:
        return False, "calibration cannot be measured: the challenger knows no label of the held-out examples"
    if ece <= policy.max_ece:
        return True, f"calibrated: ECE {ece:.3f}, limit {policy.max_ece}"
    # To keep the champion would be to keep probabilities that are further from the truth.
    if is_calibrated(ece, champion, policy.max_ece):
        return True, f"better calibrated than the champion: ECE {ece:.3f}, the champion's {champion:.3f}"
    against = "" if champion is None else f", the champion's {champion:.3f}"
    return False, f"badly calibrated: ECE {ece:.3f}, limit {policy.max_ece}{against}"


def is_calibrated(ece: float | None, champion: float | None, limit: float) -> bool:
    """Whether a challenger's calibration error is within the `limit`, or below that of the champion that serves."""
    return ece is not None and (ece <= limit or (champion is not None and ece < champion))


def _span(interval: Interval) -> str:
    return f"interval [{interval.low:+.3f}, {interval.high:+.3f}]"
