"""Figures agree with scikit-learn, with hand-counted cases, and with each other."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support
from sklearn.metrics import confusion_matrix as sklearn_matrix

from intent_tracking.evaluation import label_sets, metrics
from intent_tracking.evaluation.metrics import EvaluationError
from intent_tracking.evaluation.report import Confusion
from intent_tracking.modeling.prediction import KeyInformation, Prediction, RankedIntents
from intent_tracking.modeling.scores import macro_f1
from tests.fakes.prediction_tables import answer, sure

pytestmark = pytest.mark.unit
LABELS = ["a", "b", "c", "oos"]
pairs = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=60)


@given(pairs)
def test_counted_figures_equal_scikit_learn(rows: list[tuple[str, str]]) -> None:
    truth, said = [t for t, _ in rows], [p for _, p in rows]
    cells = metrics.cells_of(truth, said, LABELS)
    assert (Confusion.of(cells, LABELS).among(LABELS) == sklearn_matrix(truth, said, labels=LABELS)).all()
    assert metrics.accuracy_of(*cells) == pytest.approx(accuracy_score(truth, said))
    assert macro_f1(*cells) == pytest.approx(f1_score(truth, said, average="macro", zero_division=0))
    precision, recall, f1, support = precision_recall_fscore_support(truth, said, labels=LABELS, zero_division=0)
    for i, figures in enumerate(metrics.class_figures(cells, LABELS)):
        assert (figures.precision, figures.recall, figures.f1, figures.support) == pytest.approx(
            (precision[i], recall[i], f1[i], support[i])
        )


def test_a_label_outside_the_set_is_an_error_that_names_it() -> None:
    with pytest.raises(EvaluationError, match="refund"):
        metrics.cells_of(["a"], ["refund"], ["a", "b"])


@settings(max_examples=10)
@given(pairs, st.integers(0, 5))
def test_the_bootstrap_is_that_of_the_examples(rows: list[tuple[str, str]], seed: int) -> None:
    """The plain definition: all cells are drawn from, and each draw is scored from its examples."""
    truth, said = [t for t, _ in rows], [p for _, p in rows]
    # Its last cell takes what is left of a draw, so that it must be there for the same draws.
    truth, said = [*truth, LABELS[-1]], [*said, LABELS[-1]]
    matrix = sklearn_matrix(truth, said, labels=LABELS)
    drawn = np.random.default_rng(seed).multinomial(len(truth), matrix.ravel() / len(truth), size=12)
    places = np.divmod(np.arange(matrix.size), len(LABELS))
    scored = [
        f1_score(np.repeat(places[0], draw), np.repeat(places[1], draw), average="macro", zero_division=0)
        for draw in drawn
    ]
    found = metrics.bootstrap(metrics.cells_of(truth, said, LABELS), macro_f1, draws=12, seed=seed)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(scored, [0.025, 0.975])))


def test_thousands_of_labels_are_resampled_by_what_occurs() -> None:
    """Draws over every cell of the matrix took 93 GiB for 5,000 labels, after the training."""
    labels = [f"label {place}" for place in range(5000)]
    interval = metrics.bootstrap(metrics.cells_of(labels, [*labels[:4000], *labels[:1000]], labels), macro_f1, draws=20)
    assert 0 < interval.low < interval.high < interval.value < 1


def test_the_bootstrap_interval_covers_the_true_accuracy_as_often_as_it_says() -> None:
    generator = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        hits = int(generator.binomial(150, 0.8))
        cells = metrics.Cells(np.array([0, 0]), np.array([0, 1]), np.array([hits, 150 - hits]))
        interval = metrics.bootstrap(cells, metrics.accuracy_of, draws=200, seed=seed)
        covered += interval.low <= 0.8 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99


def test_a_model_that_is_right_as_often_as_it_says_has_no_calibration_error() -> None:
    truth = ["a"] * 8 + ["b"] * 2
    predictions = [answer({"a": 0.8, "b": 0.2})] * 10
    figures = metrics.calibration_figures(truth, predictions, ["a", "b"])
    assert figures is not None
    assert figures.ece == pytest.approx(0.0, abs=1e-7)
    assert figures.brier == pytest.approx(0.8 * 2 * 0.04 + 0.2 * 2 * 0.64)


def test_an_overconfident_model_has_the_error_of_its_boast() -> None:
    figures = metrics.calibration_figures(["a", "b"] * 10, [answer({"a": 1.0, "b": 0.0})] * 20, ["a", "b"])
    assert figures is not None
    assert figures.ece == pytest.approx(0.5)
    assert sum(b.count for b in figures.bins) == figures.count == 20


def test_calibration_leaves_out_labels_that_the_model_cannot_say() -> None:
    figures = metrics.calibration_figures(["a", "new", "oos"], [sure("a", ["a", "b"])] * 3, ["a", "b"])
    assert figures is not None
    assert figures.count == 1
    assert metrics.calibration_figures(["new"], [sure("a", ["a"])], ["a"]) is None


def test_out_of_scope_figures_are_none_where_nothing_is_out_of_scope() -> None:
    assert metrics.scope_figures(["a", "b"], ["a", "oos"]) == metrics.ScopeFigures(None, None, 0)
    found = metrics.scope_figures(["oos", "oos", "a", "a"], ["oos", "a", "oos", "oos"])
    assert found == metrics.ScopeFigures(0.5, pytest.approx(1 / 3), 2)


def test_scores_of_out_of_scope_rank_the_unsure_first() -> None:
    scores = metrics.score_matrix([sure("a", ["a", "b"]), sure("oos", ["a", "b"])], ["a", "b", "oos"])
    assert scores[1, 2] > scores[0, 2]
    assert scores[0, 0] == pytest.approx(0.9)


def test_scores_stand_in_the_columns_of_their_labels() -> None:
    ranked = RankedIntents(("a", "b", "c"), np.array([2, 0], np.int32), np.array([0.5, 0.25], np.float32))
    predictions = [replace(answer({"a": 1.0}), intents=ranked), answer({"b": 0.75, "c": 0.125})]
    assert metrics.score_matrix(predictions, ["new", "c", "b"]).tolist() == [[0.0, 0.5, 0.0], [0.0, 0.125, 0.75]]


def test_a_span_counts_only_when_name_and_both_ends_are_right() -> None:
    spans = (KeyInformation("order_id", "123", 6, 9), KeyInformation("colour", "red", 0, 2))
    base = sure("a", ["a"])
    said = Prediction(base.intents, False, spans, math.nan, base.embedding, 0.0, 3)
    figures = metrics.span_figures([[("order_id", 6, 9), ("colour", 0, 3), ("size", 10, 11)]], [said])
    assert figures is not None
    assert (figures.precision, figures.recall, figures.f1) == pytest.approx((1 / 2, 1 / 3, 2 / 5))
    assert (figures.gold, figures.predicted) == (3, 2)
    assert [(c.label, c.precision, c.recall, c.f1, c.support) for c in figures.by_name] == [
        ("colour", 0.0, 0.0, 0.0, 1),
        ("order_id", 1.0, 1.0, 1.0, 1),
        ("size", 0.0, 0.0, 0.0, 1),
    ]
    assert metrics.span_figures([[]], [said]) is None


def test_the_error_before_the_temperature_is_that_of_the_untempered_probabilities() -> None:
    generator = np.random.default_rng(4)
    labels = ["a", "b", "c"]
    logits = generator.normal(size=(400, 4)) * 2  # the fourth is the learned out-of-scope class
    truth = [labels[i] for i in generator.integers(0, 3, 400)]

    def predictions(temperature: float) -> list[Prediction]:
        raised = np.exp(logits / temperature)
        rows = raised / raised.sum(axis=1, keepdims=True)
        return [answer(dict(zip(labels, map(float, row), strict=False))) for row in rows]

    plain = metrics.calibration_figures(truth, predictions(1.0), labels)
    tempered = metrics.calibration_figures(truth, predictions(2.5), labels, temperature=2.5)
    assert plain is not None
    assert tempered is not None
    assert plain.ece_before is None
    assert tempered.ece_before == pytest.approx(plain.ece)
    assert tempered.ece != pytest.approx(plain.ece)


def test_small_probabilities_count_for_the_error_before_a_temperature_below_one() -> None:
    """Those below 0.00001 were left out: of 2,000 labels they are most of what there is at a temperature of 1."""
    generator = np.random.default_rng(6)
    labels = [f"label {place}" for place in range(2000)]
    logits = generator.normal(size=(60, 2000))
    logits[np.arange(60), np.arange(60)] += 9.0

    def predictions(temperature: float) -> list[Prediction]:
        raised = np.exp(logits / temperature)
        rows = raised / raised.sum(axis=1, keepdims=True)
        return [answer(dict(zip(labels, map(float, row), strict=True))) for row in rows]

    plain = metrics.calibration_figures(labels[:60], predictions(1.0), labels)
    tempered = metrics.calibration_figures(labels[:60], predictions(0.5), labels, temperature=0.5)
    assert plain is not None
    assert tempered is not None
    assert tempered.ece_before == pytest.approx(plain.ece, abs=1e-4)


def test_a_temperature_of_one_has_no_error_before_it() -> None:
    """An error of .0121192 "before the temperature" stood beside one of .0121429, where none was fitted."""
    said = [sure("a", ["a", "b"])] * 3
    found = metrics.calibration_figures(["a", "a", "b"], said, ["a", "b"], temperature=1.0)
    bought = metrics.outcome_calibration([True, False], [0.8, 0.3], temperature=1.0)
    sets = label_sets.calibration_figures(["a", "a|b", "b"], said, ["a", "b"], temperature=1.0)
    assert found is not None
    assert bought is not None
    assert sets is not None
    assert (found.ece_before, bought.ece_before, sets.ece_before) == (None, None, None)


def test_the_purchase_probability_has_a_calibration_error_of_its_own() -> None:
    stated = [0.8] * 10 + [0.1] * 10
    bought: list[bool | None] = [True] * 6 + [False] * 4 + [True] + [False] * 9
    figures = metrics.outcome_calibration([*bought, None], [*stated, 0.9], temperature=2.0)
    assert figures is not None
    assert figures.ece == pytest.approx(0.5 * 0.2 + 0.5 * 0.0)
    assert figures.brier == pytest.approx((6 * 0.04 + 4 * 0.64 + 0.81 + 9 * 0.01) / 20)
    high, low = 0.8**2 / (0.8**2 + 0.2**2), 0.1**2 / (0.1**2 + 0.9**2)
    assert figures.ece_before == pytest.approx(0.5 * (high - 0.6) + 0.5 * abs(low - 0.1))
    assert metrics.outcome_calibration([None], [0.4]) is None
