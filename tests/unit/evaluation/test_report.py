"""One report from examples and predictions: complete, plain JSON, the same bytes each time, pictures beside it."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from intent_tracking.evaluation import confusion_plots, curve_plots, metrics, plots, style
from intent_tracking.evaluation.metrics import EvaluationError
from intent_tracking.evaluation.report import Confusion, evaluate_predictions
from intent_tracking.modeling.prediction import KeyInformation, Prediction
from tests.fakes.prediction_tables import sure

pytestmark = pytest.mark.unit
LABELS = ("bargain", "purchase", "track_order")


def _examples(count: int = 60) -> tuple[pa.Table, list[Prediction]]:
    truth = [(*LABELS, "oos")[i % 4] for i in range(count)]
    said = [t if i % 5 else "purchase" for i, t in enumerate(truth)]
    table = pa.table(
        {
            "text": [f"text {i}" for i in range(count)],
            "intent": truth,
            "scene": [("search", "cart")[i % 2] for i in range(count)],
            "language": [("en", "zh")[i % 3 == 0] for i in range(count)],
            "outcome": [None if i % 7 == 0 else i % 2 == 0 for i in range(count)],
            "slots": [[{"name": "colour", "start": 10, "end": 13}] if i == 0 else [] for i in range(count)],
            "utterance_start": [8] * count,
        }
    )
    predictions = []
    for i, label in enumerate(said):
        p = sure(label, LABELS)
        spans = (KeyInformation("colour", "red", 2, 5),) if i == 0 else ()
        buys = 0.9 if i % 2 == 0 else 0.1
        predictions.append(Prediction(p.intents, p.out_of_scope, spans, buys, p.embedding, 0.0, 5))
    return table, predictions


def test_the_report_holds_every_figure_the_examples_can_give(tmp_path: Path) -> None:
    table, predictions = _examples()
    report = evaluate_predictions(table, predictions, LABELS, tmp_path, history=[(1, 2.0, float("nan")), (2, 1.0, 0.6)])
    assert report.count == 60
    assert report.accuracy.value == pytest.approx(51 / 60)
    assert report.accuracy.low < report.accuracy.value < report.accuracy.high
    assert report.out_of_scope.recall == pytest.approx(12 / 15)
    assert report.in_scope_accuracy == pytest.approx(39 / 45)
    assert report.outcome_auc == 1.0
    assert report.outcome_calibration is not None
    assert report.outcome_calibration.ece == pytest.approx(0.1)
    assert report.abstention is not None
    assert report.abstention.answered == pytest.approx(48 / 60)
    assert report.spans is not None
    assert [(c.label, c.f1, c.support) for c in report.spans.by_name] == [("colour", 1.0, 1)]
    assert report.spans.f1 == 1.0  # slots count from the text, spans from the utterance
    assert {(s.column, s.value) for s in report.slices} == {
        ("scene", "search"),
        ("scene", "cart"),
        ("language", "en"),
        ("language", "zh"),
    }
    assert sum(s.count for s in report.slices if s.column == "scene") == 60
    for picture in report.pictures.values():
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    assert set(report.pictures) == {
        "confusion_matrix",
        "roc",
        "precision_recall",
        "scenes",
        "out_of_scope",
        "abstention",
        "calibration",
        "purchase_calibration",
        "slices",
        "learning_curve",
    }


def test_what_describes_the_rejection_is_of_what_is_served_where_it_does_not_count(tmp_path: Path) -> None:
    """With each rejection taken back its pictures said that none is, beside the threshold that rejects a fifth."""
    table, predictions = _examples()
    served = evaluate_predictions(table, predictions, LABELS, tmp_path / "counted")
    found = evaluate_predictions(table, predictions, LABELS, tmp_path / "not", rejection_counted=False)
    assert found.accuracy.value == pytest.approx(served.accuracy.value - 12 / 60)
    assert "oos" not in {answer for _, answer, _ in found.confusion.cells}
    assert found.abstention == served.abstention
    assert found.abstention is not None
    assert found.accuracy.value == pytest.approx(found.abstention.full_accuracy)
    assert found.abstention.answered == pytest.approx(48 / 60)
    assert (found.in_scope_accuracy, found.out_of_scope) == (served.in_scope_accuracy, served.out_of_scope)
    assert any("threshold: 80.0% answered" in text for text in style.texts(curve_plots.abstention(found.abstention)))
    for picture in ("abstention.png", "out_of_scope.png"):
        assert (tmp_path / "not" / picture).read_bytes() == (tmp_path / "counted" / picture).read_bytes()


def test_the_learning_curve_of_a_report_marks_the_pass_that_is_kept(tmp_path: Path) -> None:
    table, predictions = _examples()
    history = [(1, 2.0, 0.7), (2, 1.0, 0.6)]
    evaluate_predictions(table, predictions, LABELS, tmp_path, history=history, kept=2)
    style.save(plots.learning_curve(history, 2), tmp_path, "expected")
    assert (tmp_path / "learning_curve.png").read_bytes() == (tmp_path / "expected.png").read_bytes()


def test_the_written_report_is_plain_json_and_the_same_each_time(tmp_path: Path) -> None:
    table, predictions = _examples()
    for name in ("one", "two"):
        evaluate_predictions(table, predictions, LABELS, tmp_path / name)
    for file in sorted(path.name for path in (tmp_path / "one").iterdir()):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    written = json.loads((tmp_path / "one" / "report.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert written["accuracy"]["value"] == pytest.approx(51 / 60)


def test_an_intent_that_the_model_lacks_counts_as_wrong_and_is_named() -> None:
    table = pa.table({"intent": ["bargain", "subscribe_and_save"]})
    report = evaluate_predictions(table, [sure("bargain", LABELS)] * 2, LABELS)
    assert report.accuracy.value == 0.5
    assert report.unknown_labels == ("subscribe_and_save",)
    assert report.calibration is not None
    assert report.calibration.count == 1


def test_curves_are_of_the_labels_that_the_model_knows() -> None:
    """A label that nobody scores had areas of its own, of a half and of its share, in both macro means."""
    table, predictions = _examples()
    unknown = pa.table({"intent": [*table["intent"].to_pylist(), "new", "bargain|purchase"]})
    answers = [*predictions, *[sure("bargain", LABELS, 0.4)] * 2]
    labels = (*LABELS, "oos")
    scores = metrics.score_matrix(answers, labels)
    target = np.array([[intent == label for label in labels] for intent in unknown["intent"].to_pylist()])
    report = evaluate_predictions(unknown, answers, LABELS)
    assert report.unknown_labels == ("bargain|purchase", "new")
    assert report.roc_auc_macro == pytest.approx(roc_auc_score(target, scores, average="macro"))
    assert report.average_precision_macro == pytest.approx(average_precision_score(target, scores, average="macro"))


def test_rows_without_an_intent_are_left_out_of_the_intent_figures() -> None:
    table = pa.table({"intent": ["bargain", None], "outcome": [True, False]})
    report = evaluate_predictions(table, [sure("bargain", LABELS)] * 2, LABELS)
    assert report.count == 1


def test_a_missing_prediction_or_label_is_an_error_with_a_remedy() -> None:
    with pytest.raises(EvaluationError, match="predict each example"):
        evaluate_predictions(pa.table({"intent": ["bargain"]}), [], LABELS)
    with pytest.raises(EvaluationError, match="label at least one"):
        evaluate_predictions(pa.table({"intent": pa.array([None], pa.string())}), [sure("bargain", LABELS)], LABELS)


def test_a_hundred_and_fifty_labels_and_chinese_names_make_a_picture(tmp_path: Path) -> None:
    labels = (*(f"intent_{i}" for i in range(149)), "查询订单 $5 $6")
    codes = np.random.default_rng(0).integers(0, 150, 600)
    table = pa.table({"intent": [labels[c] for c in codes]})
    predictions = [sure(labels[(c + (i % 4 == 0)) % 150], labels) for i, c in enumerate(codes)]
    report = evaluate_predictions(table, predictions, labels, tmp_path)
    assert len(report.classes) == 150
    assert report.confusion.worst_pairs(3)[0][2] >= report.confusion.worst_pairs(3)[-1][2]
    assert (tmp_path / report.pictures["confusion_matrix"]).stat().st_size > 20_000


def test_micro_curves_over_too_many_scores_are_left_out_and_the_report_says_so() -> None:
    table, predictions = _examples()
    report = evaluate_predictions(table, predictions, LABELS, most_micro_cells=100)
    assert report.micro_left_out is not None
    assert "180 pairs of a text and a label, more than 100" in report.micro_left_out
    assert (report.roc_auc_micro, report.average_precision_micro) == (None, None)
    assert report.roc_auc_macro is not None
    assert [part.value for part in report.slices if part.roc_auc is None] == ["en"]
    assert evaluate_predictions(table, predictions, LABELS).micro_left_out is None


def test_the_confusions_of_thousands_of_labels_take_no_more_room_than_the_examples() -> None:
    """All 25 million cells of 5,000 labels were written, twice: gigabytes and minutes, after the training."""
    labels = [f"label {place}" for place in range(5000)]
    said = [*labels[1:400], labels[0], *labels[400:]]
    confusion = Confusion.of(metrics.cells_of(labels, said, labels), labels)
    assert len(confusion.cells) == 5000
    assert confusion.cells[0] == ("label 0", "label 1", 1)
    assert len(json.dumps(asdict(confusion))) < 400_000
    assert confusion.among(["label 1", "label 0", "label 4999"]).tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 1]]
    assert confusion.support().total() == 5000
    assert len(confusion_plots.confusion_matrix(confusion).axes[1].patches) == confusion_plots.LISTED_PAIRS
