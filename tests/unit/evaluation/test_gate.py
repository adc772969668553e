"""The gate promotes what is better, or shown to be not worse, behaves and is calibrated; and says why not."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from intent_tracking.evaluation import gate
from intent_tracking.evaluation.behavioural import BehaviouralReport
from intent_tracking.evaluation.gate import GateDecision, GatePolicy
from intent_tracking.modeling.prediction import Prediction
from tests.fakes.prediction_tables import sure

pytestmark = pytest.mark.unit
LABELS = ("a", "b", "c", "d")
BEHAVES = BehaviouralReport(True, "behaviour: all 100%", 1.0, (), (), (), 0)


def _predictions(truth: Sequence[str], accuracy: float, seed: int, labels: Sequence[str] = LABELS) -> list[Prediction]:
    generator = np.random.default_rng(seed)
    found = []
    for label in truth:
        right = label in labels and generator.random() < accuracy
        said = label if right else str(generator.choice([name for name in labels if name != label]))
        found.append(sure(said, labels, confidence=accuracy))
    return found


def _truth(count: int = 800) -> list[str]:
    return [str(label) for label in np.random.default_rng(1).choice(LABELS, count)]


def _decide(
    challenger: float, champion: float | None, behaviour: BehaviouralReport | None = BEHAVES, count: int = 800
) -> GateDecision:
    truth = _truth(count)
    other = None if champion is None else _predictions(truth, champion, 3)
    return gate.decide(truth, _predictions(truth, challenger, 2), other, LABELS, behaviour)


def test_a_better_challenger_is_promoted() -> None:
    decision = _decide(0.9, 0.7)
    assert decision.promote
    assert "better than the champion" in decision.reasons[0]
    assert decision.figures["difference_low"] > 0


def test_a_worse_challenger_is_refused_with_its_figures() -> None:
    decision = _decide(0.7, 0.9)
    assert not decision.promote
    assert decision.reasons[0].startswith("refused: may be worse")
    assert decision.figures["difference"] < -0.1


def test_the_same_model_again_is_not_worse() -> None:
    truth = _truth()
    predictions = _predictions(truth, 0.8, 2)
    decision = gate.decide(truth, predictions, predictions, LABELS, BEHAVES)
    assert decision.promote
    assert decision.figures["difference"] == 0.0
    assert "not worse" in decision.reasons[0]


def test_a_difference_that_few_examples_cannot_show_is_refused() -> None:
    assert not _decide(0.8, 0.8, count=120).promote


def test_a_champion_without_the_new_label_loses_to_one_that_has_it() -> None:
    truth = _truth()
    old = _predictions(truth, 0.9, 3, labels=LABELS[:3])
    decision = gate.decide(truth, _predictions(truth, 0.9, 2), old, LABELS, BEHAVES)
    assert decision.promote
    assert decision.figures["difference"] > 0.2


def test_bad_behaviour_refuses_the_best_model() -> None:
    bad = replace(BEHAVES, passed=False, reason="behaviour: direction 40% (needs 80%)")
    decision = _decide(0.95, 0.7, bad)
    assert not decision.promote
    assert "refused: behaviour: direction 40% (needs 80%)" in decision.reasons
    assert not _decide(0.95, 0.7, None).promote


def test_bad_calibration_refuses() -> None:
    truth = _truth()
    boasting = [sure(p.label, LABELS, confidence=0.999) for p in _predictions(truth, 0.75, 2)]
    for champion in (None, _predictions(truth, 0.5, 3)):
        decision = gate.decide(truth, boasting, champion, LABELS, BEHAVES)
        assert not decision.promote
        assert any("badly calibrated" in reason for reason in decision.reasons)


def test_a_challenger_that_boasts_less_than_the_champion_is_not_refused_for_it() -> None:
    """After drift a better model was refused, and one whose probabilities were further off went on serving."""
    truth = _truth()
    challenger, champion = (
        [sure(p.label, LABELS, confidence=0.95) for p in _predictions(truth, accuracy, seed)]
        for accuracy, seed in ((0.8, 2), (0.5, 3))
    )
    decision = gate.decide(truth, challenger, champion, LABELS, BEHAVES)
    assert decision.promote
    assert any("better calibrated than the champion: ECE 0.1" in reason for reason in decision.reasons)
    assert not gate.decide(truth, challenger, challenger, LABELS, BEHAVES).promote


def test_without_a_champion_the_floors_decide() -> None:
    assert _decide(0.8, None).promote
    assert not _decide(0.3, None).promote


def test_too_few_examples_decide_nothing() -> None:
    decision = _decide(0.99, 0.5, count=20)
    assert not decision.promote
    assert "20 labelled held-out examples" in decision.reasons[0]


def test_equal_models_are_seldom_called_better() -> None:
    better = 0
    for seed in range(60):
        truth = [str(label) for label in np.random.default_rng(seed).choice(LABELS, 300)]
        one, two = (
            [p.label for p in _predictions(truth, 0.8, 1000 + seed)],
            [p.label for p in _predictions(truth, 0.8, 2000 + seed)],
        )
        better += gate.paired_difference(truth, one, two, draws=200, seed=seed).low > 0
    assert better <= 6  # 2.5% expected


def test_pairing_makes_the_interval_narrower_than_two_separate_ones() -> None:
    truth = _truth(400)
    one = [p.label for p in _predictions(truth, 0.8, 2)]
    two = list(one)
    two[0:8] = ["a"] * 8
    interval = gate.paired_difference(truth, one, two)
    assert interval.high - interval.low < 0.05


def test_the_margin_is_the_policys() -> None:
    truth = _truth(400)
    challenger, champion = _predictions(truth, 0.8, 2), _predictions(truth, 0.82, 3)
    assert not gate.decide(truth, challenger, champion, LABELS, BEHAVES, GatePolicy(margin=0.0)).promote
    assert gate.decide(truth, challenger, champion, LABELS, BEHAVES, GatePolicy(margin=0.2)).promote
