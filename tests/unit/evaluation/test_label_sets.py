"""What is said of a model that gives sets of labels, against scikit-learn and against what a perfect one must get."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_fscore_support

from intent_tracking.evaluation import curve_plots, gate, label_sets, style
from intent_tracking.evaluation.behavioural import BehaviouralReport
from intent_tracking.evaluation.metrics import bootstrap, cells_of
from intent_tracking.evaluation.report import Confusion, evaluate_predictions
from intent_tracking.modeling.calibration import Calibration
from intent_tracking.modeling.multi_label import names_in
from intent_tracking.modeling.prediction import Prediction
from tests.fakes.prediction_tables import answer

pytestmark = pytest.mark.unit
LABELS = ("a", "b", "c")
SETS = ("a", "b", "a|b", "b|c", "oos")
BEHAVES = BehaviouralReport(True, "behaviour: all 100%", 1.0, (), (), (), 0)


def _given(intent: str, sure: float = 0.95) -> Prediction:
    """The answer of a model that gives `intent`, each of its labels with this probability."""
    names = names_in(intent)
    scores = {name: sure if name in names else 1.0 - sure for name in LABELS}
    return replace(answer(scores, out_of_scope=not names), labels=names)


def _table(truth: list[str]) -> pa.Table:
    return pa.table({"text": truth, "intent": truth, "scene": ["search"] * len(truth), "language": ["en"] * len(truth)})


def test_a_perfect_model_of_sets_has_perfect_figures() -> None:
    """`a|b` was an unknown label of its own: such a model had a full accuracy of .667 and an area of .833."""
    truth = [SETS[place % 4] for place in range(40)]
    answers = [_given(intent) for intent in truth]
    report = evaluate_predictions(_table(truth), answers, LABELS, multi_label=True)
    assert report.unknown_labels == ()
    assert report.abstention is not None
    assert (report.accuracy.value, report.macro_f1.value, report.abstention.full_accuracy) == (1.0, 1.0, 1.0)
    assert (report.roc_auc_macro, report.roc_auc_micro, report.average_precision_micro) == (1.0, 1.0, 1.0)
    assert [(found.label, found.f1, found.support) for found in report.classes] == [
        ("a", 1.0, 20),
        ("b", 1.0, 30),
        ("c", 1.0, 10),
    ]
    assert report.calibration is not None
    assert report.calibration.ece == pytest.approx(0.05)
    assert [part.macro_f1.value for part in report.slices] == [1.0, 1.0]
    unknown = evaluate_predictions(_table([*truth, "a|new"]), [*answers, _given("a")], LABELS, multi_label=True)
    assert unknown.unknown_labels == ("new",)
    assert unknown.accuracy.value == pytest.approx(40 / 41)


def test_an_empty_set_is_an_answer() -> None:
    """Where no label was true one was forced on the text all the same: a perfect model had a full accuracy of .8."""
    truth = [SETS[place % 5] for place in range(40)]
    answers = [_given(intent) for intent in truth]
    report = evaluate_predictions(_table(truth), answers, LABELS, multi_label=True)
    assert report.abstention is not None
    assert (report.accuracy.value, report.abstention.full_accuracy, report.abstention.aurc) == (1.0, 1.0, 0.0)
    assert (report.abstention.answered, report.abstention.answered_accuracy) == (pytest.approx(0.8), 1.0)
    missed = evaluate_predictions(_table(truth), [_given("oos")] * 40, LABELS, multi_label=True)
    assert missed.abstention is not None
    assert missed.accuracy.value == missed.abstention.full_accuracy == pytest.approx(0.2)
    assert missed.abstention.answered_accuracy is None


def test_an_answer_is_withheld_by_how_sure_its_whole_set_is() -> None:
    """By the most probable label a sure empty set was the first to go, before any guess."""
    guesses = [_given("a", 0.6)] * 10
    answers = [*[_given("oos", 0.99)] * 30, *guesses]
    report = evaluate_predictions(_table([*["oos"] * 30, *["b"] * 10]), answers, LABELS, multi_label=True)
    assert report.abstention is not None
    assert report.abstention.aurc == report.abstention.best_aurc
    assert report.abstention.threshold == pytest.approx((0.99**3, 0.6**3))
    shown = set(style.texts(curve_plots.abstention(report.abstention, of_sets=True)))
    assert {"lowest certainty withheld first", "sets that are not empty: 25.0% answered, 0.0% of it right"} <= shown
    assert label_sets.certainty([], LABELS).shape == (0,)


def test_an_answer_is_scored_by_label_and_an_unknown_label_is_never_right() -> None:
    answers = [_given(intent) for intent in ("a|b", "a", "oos", "oos")]
    report = evaluate_predictions(_table(["a|b", "b", "oos", "new"]), answers, ("a", "b"), multi_label=True)
    assert report.accuracy.value == 0.5
    assert report.micro_f1 == pytest.approx(2 * 2 / (4 + 3))
    assert report.macro_f1.value == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)
    assert evaluate_predictions(_table(["a"]), [answer({"a": 1.0})], ("a",)).micro_f1 is None


def test_texts_that_have_no_label_and_get_none_have_figures() -> None:
    """Their macro-F1 was no number, which `evaluate` could not write, after the training."""
    report = evaluate_predictions(_table(["oos"] * 3), [_given("oos")] * 3, LABELS, multi_label=True)
    assert (report.accuracy.value, report.micro_f1) == (1.0, 1.0)
    assert (report.macro_f1.value, report.macro_f1.low, report.macro_f1.high) == (0.0, 0.0, 0.0)


def test_figures_of_single_labels_equal_scikit_learn() -> None:
    random = np.random.default_rng(0)
    truth, said = (list(random.choice(SETS, 200)) for _ in range(2))
    sets = sorted({*truth, *said})
    cells = cells_of(truth, said, sets)
    true, said_of = (label_sets.membership(side, LABELS) for side in (truth, said))
    assert label_sets.macro_f1_over(sets)(*cells) == pytest.approx(f1_score(true, said_of, average="macro"))
    assert label_sets.micro_f1(cells, sets) == pytest.approx(f1_score(true, said_of, average="micro"))
    precision, recall, f1, support = precision_recall_fscore_support(true, said_of)
    for place, found in enumerate(label_sets.class_figures(cells, sets, LABELS)):
        wanted = (precision[place], recall[place], f1[place], support[place])
        assert (found.precision, found.recall, found.f1, found.support) == pytest.approx(wanted)


@given(st.lists(st.tuples(st.sampled_from(SETS), st.sampled_from(SETS), st.integers(0, 9)), min_size=1))
def test_macro_f1_of_a_resample_is_that_of_its_examples(rows: list[tuple[str, str, int]]) -> None:
    truth, said = ([row[side] for row in rows for _ in range(row[2])] for side in (0, 1))
    cells = cells_of([t for t, _, _ in rows], [s for _, s, _ in rows], SETS)
    drawn = Confusion.of(cells_of(truth, said, SETS), SETS).among(SETS)[cells.truth, cells.predicted]
    true, answered = (label_sets.membership(side, LABELS).astype(bool) for side in (truth, said))
    occurs = true.sum(axis=0) + answered.sum(axis=0)
    wanted = 2.0 * (true & answered).sum(axis=0)[occurs > 0] / occurs[occurs > 0]
    found = label_sets.macro_f1_over([*SETS])(cells.truth, cells.predicted, drawn)
    assert found == pytest.approx(wanted.mean() if len(wanted) else 0.0)


def test_hundreds_of_sets_are_resampled_in_moments() -> None:
    """Each draw multiplied all pairs of sets with all labels: half a minute for 800 sets, again for each scene."""
    sets = ["|".join(names) for names in combinations([f"label {place}" for place in range(18)], 3)]
    cells = cells_of(sets, sets[1:] + sets[:1], sets)
    began = time.process_time()
    interval = bootstrap(cells, label_sets.macro_f1_over(sets))
    assert time.process_time() - began < 15
    assert 0 < interval.low < interval.value < interval.high < 1


def test_the_temperature_of_decisions_is_taken_back_as_that_of_sigmoids() -> None:
    """It was taken back as that of a softmax, whose probabilities sum to one."""
    logits = np.random.default_rng(1).normal(size=(4000, 3)).astype(np.float32)
    true = np.random.default_rng(2).random((4000, 3)) < 1 / (1 + np.exp(-logits))
    truth = ["|".join(name for name, held in zip(LABELS, row, strict=True) if held) or "oos" for row in true]
    served = Calibration(temperature=4.0).label_probabilities(logits)
    answers = [answer(dict(zip(LABELS, map(float, row), strict=True))) for row in served]
    found = label_sets.calibration_figures(truth, answers, LABELS, temperature=4.0)
    assert found is not None
    assert found.ece_before is not None
    assert found.ece_before < 0.02
    assert found.ece > 0.1


def test_a_challenger_that_gives_sets_goes_live_by_its_sets() -> None:
    """With nothing but `a|b` to be found it was refused: "the challenger knows no label"."""
    truth = ["a|b", "b|c"] * 100
    good, poor = [_given(intent) for intent in truth], [_given("a") for _ in truth]
    first = gate.decide(truth, good, None, LABELS, BEHAVES, multi_label=True)
    assert first.promote, first.reasons
    assert first.figures["challenger_macro_f1"] == 1.0
    assert first.figures["ece"] == pytest.approx(0.05)
    better = gate.decide(truth, good, poor, LABELS, BEHAVES, multi_label=True)
    assert better.promote, better.reasons
    assert not gate.decide(truth, poor, good, LABELS, BEHAVES, multi_label=True).promote
