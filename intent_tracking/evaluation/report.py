"""From examples and predictions to one report: figures as JSON, and the pictures beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from intent_tracking.evaluation import curves, metrics
from intent_tracking.evaluation.metrics import (
    CalibrationFigures,
    ClassFigures,
    EvaluationError,
    Interval,
    ScopeFigures,
    SpanFigures,
)
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL, Prediction

SLICES = ("scene", "language")
REPORT_FILE = "report.json"


@dataclass(frozen=True)
class SliceFigures:
    """The figures of the examples whose `column` has `value`."""

    column: str
    value: str
    count: int
    accuracy: Interval
    macro_f1: Interval


@dataclass(frozen=True)
class Confusion:
    """Counts as `[truth][predicted]` in the order of `labels`."""

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def worst_pairs(self, limit: int = 10) -> list[tuple[str, str, int]]:
        """The most frequent confusions as (truth, predicted, count), most frequent first."""
        pairs = [
            (truth, self.labels[j], count)
            for truth, row in zip(self.labels, self.counts, strict=True)
            for j, count in enumerate(row)
            if count and self.labels[j] != truth
        ]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))[:limit]


@dataclass(frozen=True)
class EvaluationReport:
    """All figures of one model on one set of examples. A figure that the examples cannot give is None.

    `pictures` maps a picture's name to its file name, beside the report.
    """

    count: int
    accuracy: Interval
    macro_f1: Interval
    classes: tuple[ClassFigures, ...]
    confusion: Confusion
    roc_auc_macro: float | None
    roc_auc_micro: float | None
    average_precision_macro: float | None
    average_precision_micro: float | None
    calibration: CalibrationFigures | None
    out_of_scope: ScopeFigures
    spans: SpanFigures | None
    outcome_auc: float | None
    slices: tuple[SliceFigures, ...]
    unknown_labels: tuple[str, ...]
    pictures: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; a figure that is not a number is None, since JSON has no NaN."""
        plain = _plain(asdict(self))
        if not isinstance(plain, dict):
            raise TypeError("a report is a mapping")
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _labelled(examples: pa.Table, predictions: Sequence[Prediction]) -> tuple[pa.Table, list[Prediction], list[str]]:
    if examples.num_rows != len(predictions):
        raise EvaluationError(
            f"{examples.num_rows} examples but {len(predictions)} predictions; predict each example, in order"
        )
    intents = examples.column("intent").to_pylist()
    found = [(i, intent) for i, intent in enumerate(intents) if intent is not None]
    if not found:
        raise EvaluationError("no example has an `intent`; label at least one example to evaluate on")
    rows = [i for i, _ in found]
    return examples.take(pa.array(rows)), [predictions[i] for i in rows], [intent for _, intent in found]


def _slices(examples: pa.Table, truth: list[str], predicted: list[str], labels: list[str]) -> tuple[SliceFigures, ...]:
    found = []
    for column in SLICES:
        if column not in examples.column_names:
            continue
        values = examples.column(column).to_pylist()
        for value in sorted({v for v in values if v is not None}):
            rows = [i for i, v in enumerate(values) if v == value]
            matrix = metrics.confusion_matrix([truth[i] for i in rows], [predicted[i] for i in rows], labels)
            found.append(
                SliceFigures(
                    column,
                    value,
                    len(rows),
                    metrics.bootstrap(matrix, metrics.accuracy_of),
                    metrics.bootstrap(matrix, metrics.macro_f1_of),
                )
            )
    return tuple(found)


def _gold_spans(examples: pa.Table) -> list[list[tuple[str, int, int]]]:
    """Marked spans, moved from offsets in the text to offsets in the utterance."""
    if "slots" not in examples.column_names:
        return [[] for _ in range(examples.num_rows)]
    slots = examples.column("slots").to_pylist()
    names = examples.column_names
    starts = examples.column("utterance_start").to_pylist() if "utterance_start" in names else [0] * len(slots)
    return [
        [(span["name"], span["start"] - (start or 0), span["end"] - (start or 0)) for span in spans or []]
        for spans, start in zip(slots, starts, strict=True)
    ]


def _spans(examples: pa.Table, answers: Sequence[Prediction]) -> SpanFigures | None:
    """Span figures over the examples whose words somebody marked; null slots say that nobody did."""
    if "slots" not in examples.column_names:
        return None
    marked = [row for row, spans in enumerate(examples.column("slots").to_pylist()) if spans is not None]
    return metrics.span_figures(_gold_spans(examples.take(pa.array(marked, pa.int64()))), [answers[r] for r in marked])


def _outcome_auc(examples: pa.Table, predictions: Sequence[Prediction]) -> float | None:
    if "outcome" not in examples.column_names:
        return None
    return curves.outcome_auc(examples.column("outcome").to_pylist(), [p.purchase_probability for p in predictions])


def evaluate_predictions(
    examples: pa.Table,
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    out_dir: Path | None = None,
    *,
    history: Sequence[tuple[int, float, float]] = (),
) -> EvaluationReport:
    """Compare predictions with the labels of the examples.

    Args:
        examples: columns of EXAMPLE_SCHEMA; only `intent` must be there. Rows without one give outcome figures alone.
        predictions: one for each example, in order.
        labels: the model's label set.
        out_dir: where the pictures and `report.json` go; None makes figures alone.
        history: learning curve as (epoch, training loss, validation macro-F1), for its picture.

    Raises:
        EvaluationError: a prediction is missing, or no example is labelled.
    """
    kept, answers, truth = _labelled(examples, predictions)
    predicted = [p.label for p in answers]
    unknown = sorted(set(truth) - set(labels) - {OUT_OF_SCOPE_LABEL})
    extra = sorted((set(truth) | set(predicted)) - set(labels))
    every = [*labels, *extra]
    matrix = metrics.confusion_matrix(truth, predicted, every)
    scores = metrics.score_matrix(answers, every)
    roc = curves.roc_curves(truth, scores, every)
    pr = curves.precision_recall_curves(truth, scores, every)
    calibration = metrics.calibration_figures(truth, answers, labels)
    confusion = Confusion(tuple(every), tuple(tuple(map(int, row)) for row in matrix))
    slices = _slices(kept, truth, predicted, every)

    pictures: dict[str, str] = {}
    if out_dir is not None:
        from intent_tracking.evaluation import plots

        out_dir.mkdir(parents=True, exist_ok=True)
        pictures["confusion_matrix"] = plots.confusion_matrix(out_dir, confusion)
        if roc is not None:
            pictures["roc"] = plots.roc(out_dir, roc)
        if pr is not None:
            pictures["precision_recall"] = plots.precision_recall(out_dir, pr)
        if calibration is not None:
            pictures["calibration"] = plots.calibration(out_dir, calibration)
        if slices:
            pictures["slices"] = plots.slices(out_dir, slices)
        if history:
            pictures["learning_curve"] = plots.learning_curve(out_dir, history)

    report = EvaluationReport(
        count=len(truth),
        accuracy=metrics.bootstrap(matrix, metrics.accuracy_of),
        macro_f1=metrics.bootstrap(matrix, metrics.macro_f1_of),
        classes=metrics.class_figures(matrix, every),
        confusion=confusion,
        roc_auc_macro=roc.macro.area if roc else None,
        roc_auc_micro=roc.micro.area if roc else None,
        average_precision_macro=pr.macro.area if pr else None,
        average_precision_micro=pr.micro.area if pr else None,
        calibration=calibration,
        out_of_scope=metrics.scope_figures(truth, predicted),
        spans=_spans(kept, answers),
        outcome_auc=_outcome_auc(examples, predictions),
        slices=slices,
        unknown_labels=tuple(unknown),
        pictures=pictures,
    )
    if out_dir is not None:
        write_report(out_dir / REPORT_FILE, report.to_dict())
    return report


def write_report(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that is the same, byte for byte, for the same content."""
    import json

    from intent_tracking.tables import atomic_write_text

    atomic_write_text(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
