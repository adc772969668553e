"""From examples and predictions to one report: figures as JSON, and the pictures beside them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from intent_tracking.evaluation import curves, label_sets, metrics, style
from intent_tracking.evaluation.abstention import AbstentionCurve, abstention_curve
from intent_tracking.evaluation.curves import Curves, GroupCurves, ScopeCurves
from intent_tracking.evaluation.metrics import (
    CalibrationFigures,
    ClassFigures,
    EvaluationError,
    Interval,
    ScopeFigures,
    SpanFigures,
)
from intent_tracking.modeling.calibration import Calibration
from intent_tracking.modeling.multi_label import names_in
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL, Prediction
from intent_tracking.modeling.scores import macro_f1

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SLICES = ("scene", "language")
REPORT_FILE = "report.json"


@dataclass(frozen=True)
class SliceFigures:
    """The figures of the examples whose `column` has `value`; areas are micro.

    They are None where one label alone occurs, or where `micro_left_out` of the report says why.
    """

    column: str
    value: str
    count: int
    accuracy: Interval
    macro_f1: Interval
    roc_auc: float | None
    average_precision: float | None


@dataclass(frozen=True)
class Confusion:
    """What was true and what was predicted, counted: the cells that are not empty, for 5,000 labels have 25 million.

    Attributes:
        labels: those that are true or predicted anywhere, in the order of the label set.
        cells: (truth, predicted, how often), in that order too.
    """

    labels: tuple[str, ...]
    cells: tuple[tuple[str, str, int], ...]

    @classmethod
    def of(cls, cells: metrics.Cells, labels: Sequence[str]) -> Confusion:
        """The counts of `cells`, whose numbers are places in `labels`."""
        found = tuple((labels[t], labels[p], n) for t, p, n in zip(*(part.tolist() for part in cells), strict=True))
        occurring = {label for truth, predicted, _ in found for label in (truth, predicted)}
        return cls(tuple(label for label in labels if label in occurring), found)

    def worst_pairs(self, limit: int | None = 10) -> list[tuple[str, str, int]]:
        """The most frequent confusions as (truth, predicted, count), most frequent first; None: all of them."""
        pairs = [cell for cell in self.cells if cell[0] != cell[1]]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))[:limit]

    def among(self, labels: Sequence[str]) -> metrics.Counts:
        """Counts `[truth, predicted]` of these labels alone."""
        place = {label: row for row, label in enumerate(labels)}
        counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
        for truth, predicted, count in self.cells:
            if truth in place and predicted in place:
                counts[place[truth], place[predicted]] = count
        return counts

    def support(self) -> Counter[str]:
        """How often each label is the truth."""
        found = Counter[str]()
        for truth, _, count in self.cells:
            found[truth] += count
        return found


@dataclass(frozen=True)
class EvaluationReport:
    """All figures of one model on one set of examples. A figure that the examples cannot give is None.

    `in_scope_accuracy` counts a rejected in-scope example as wrong: with `out_of_scope` it shows both sides of the
    threshold. They and `abstention` are of what the model serves, also where a rejection does not count as an answer;
    `abstention` withholds the least familiar first, of sets of labels the least certain (`label_sets.certainty`).
    `micro_f1` is of sets of labels, None of single ones. `micro_left_out` says in words why there are no micro curves,
    None where there are. `rejects` says in words what the model calls out of scope, None where its calibration is not
    given. `validation` is what calibration found on validation data. `pictures` maps a picture's name to its file name,
    beside the report.
    """

    count: int
    accuracy: Interval
    macro_f1: Interval
    micro_f1: float | None
    classes: tuple[ClassFigures, ...]
    confusion: Confusion
    roc_auc_macro: float | None
    roc_auc_micro: float | None
    average_precision_macro: float | None
    average_precision_micro: float | None
    micro_left_out: str | None
    calibration: CalibrationFigures | None
    outcome_calibration: CalibrationFigures | None
    validation: dict[str, float | None]
    in_scope_accuracy: float | None
    rejects: str | None
    out_of_scope: ScopeFigures
    out_of_scope_auc: float | None
    abstention: AbstentionCurve | None
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


def _slices(
    examples: pa.Table,
    truth: list[str],
    predicted: list[str],
    labels: Sequence[str],
    areas: Mapping[str, Sequence[GroupCurves]],
    mean_f1: metrics.Figure,
) -> tuple[SliceFigures, ...]:
    found = []
    for column, groups in areas.items():
        values = examples.column(column).to_pylist()
        area = {group.group: group for group in groups}
        for value in sorted({v for v in values if v is not None}):
            rows = [i for i, v in enumerate(values) if v == value]
            cells = metrics.cells_of([truth[i] for i in rows], [predicted[i] for i in rows], labels)
            found.append(
                SliceFigures(
                    column,
                    value,
                    len(rows),
                    metrics.bootstrap(cells, metrics.accuracy_of),
                    metrics.bootstrap(cells, mean_f1),
                    area[value].roc.area if value in area else None,
                    area[value].precision_recall.area if value in area else None,
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


def _outcomes(examples: pa.Table) -> list[bool | None]:
    if "outcome" not in examples.column_names:
        return [None] * examples.num_rows
    outcomes: list[bool | None] = examples.column("outcome").to_pylist()
    return outcomes


def _validation(calibration: Calibration | None) -> dict[str, float | None]:
    return {} if calibration is None else calibration.on_validation()


def evaluate_predictions(
    examples: pa.Table,
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    out_dir: Path | None = None,
    *,
    history: Sequence[tuple[float, float, float]] = (),
    kept: float | None = None,
    calibration: Calibration | None = None,
    multi_label: bool = False,
    rejection_counted: bool = True,
    most_micro_cells: int = curves.MOST_MICRO_CELLS,
) -> EvaluationReport:
    """Compare predictions with the labels of the examples.

    Args:
        examples: columns of EXAMPLE_SCHEMA; only `intent` must be there. Rows without one give outcome figures alone.
        predictions: one for each example, in order.
        labels: the model's label set.
        out_dir: where the pictures and `report.json` go; None makes figures alone.
        history: learning curve as (pass, training loss, validation score), for its picture.
        kept: the pass whose weights were kept, counted as in `history`, for that picture; None marks none.
        calibration: the artifact's, for the calibration error before it, its figures on validation and what it rejects.
        multi_label: the model gives sets of labels. Then an answer is right where its set is, macro-F1, classes, curves
            and calibration are of single labels, and the confusion is one of sets.
        rejection_counted: a rejection is the answer `oos`; else the best label is judged all the same. Of sets it is
            an answer in any case, the empty one.
        most_micro_cells: pairs of a text and a label over which micro curves are drawn; with more they are left out.

    Raises:
        EvaluationError: a prediction is missing, or no example is labelled.
    """
    labelled, answers, truth = _labelled(examples, predictions)
    served = [p.label for p in answers]
    best = served if multi_label else [p.intents[0].name if p.intents else OUT_OF_SCOPE_LABEL for p in answers]
    predicted = served if rejection_counted else best
    if multi_label:
        unknown = sorted({name for intent in truth for name in names_in(intent)} - set(labels))
        every = [*labels, *unknown]
        answered = sorted({*truth, *predicted})
        mean_f1, calibrated = label_sets.macro_f1_over(answered), label_sets.calibration_figures
        cells = metrics.cells_of(truth, predicted, answered)
        classes = label_sets.class_figures(cells, answered, every)
    else:
        unknown = sorted(set(truth) - set(labels) - {OUT_OF_SCOPE_LABEL})
        answered = every = [*labels, *sorted((set(truth) | set(predicted)) - set(labels))]
        mean_f1, calibrated = macro_f1, metrics.calibration_figures
        cells = metrics.cells_of(truth, predicted, answered)
        classes = metrics.class_figures(cells, every)
    scores = metrics.score_matrix(answers, every)
    asked = (truth, scores, every)
    roc = curves.roc_curves(*asked, most_micro_cells, unknown=unknown)
    pr = curves.precision_recall_curves(*asked, most_micro_cells, unknown=unknown)
    groups = {
        column: curves.group_curves(*asked, labelled.column(column).to_pylist(), most_micro_cells, unknown=unknown)
        for column in SLICES
        if column in labelled.column_names
    }
    is_out = [t == OUT_OF_SCOPE_LABEL for t in truth]
    rejected = [p.out_of_scope for p in answers]
    # Only a set can be right where nothing is in scope: the empty one.
    right = [b == t and (multi_label or not out) for b, t, out in zip(best, truth, is_out, strict=True)]
    scope = curves.scope_curves(is_out, [-p.familiarity for p in answers], rejected)
    sure = label_sets.certainty(answers, labels).tolist() if multi_label else [p.familiarity for p in answers]
    outcomes = _outcomes(examples)
    buys = [p.purchase_probability for p in predictions]
    in_scope = [t == p for t, p in zip(truth, served, strict=True) if t != OUT_OF_SCOPE_LABEL]
    report = EvaluationReport(
        count=len(truth),
        accuracy=metrics.bootstrap(cells, metrics.accuracy_of),
        macro_f1=metrics.bootstrap(cells, mean_f1),
        micro_f1=label_sets.micro_f1(cells, answered) if multi_label else None,
        classes=classes,
        confusion=Confusion.of(cells, answered),
        roc_auc_macro=roc.macro.area if roc else None,
        roc_auc_micro=roc.micro.area if roc and roc.micro else None,
        average_precision_macro=pr.macro.area if pr else None,
        average_precision_micro=pr.micro.area if pr and pr.micro else None,
        micro_left_out=(
            f"{roc.cells:,} pairs of a text and a label, more than {most_micro_cells:,}, are too many for one curve"
            if roc and roc.cells > most_micro_cells
            else None
        ),
        calibration=calibrated(truth, answers, labels, temperature=calibration.temperature if calibration else None),
        outcome_calibration=metrics.outcome_calibration(
            outcomes, buys, temperature=calibration.outcome_temperature if calibration else None
        ),
        validation=_validation(calibration),
        in_scope_accuracy=sum(in_scope) / len(in_scope) if in_scope else None,
        rejects=calibration.rejects(multi_label=multi_label) if calibration else None,
        out_of_scope=metrics.scope_figures(truth, served),
        out_of_scope_auc=scope.roc.area if scope else None,
        abstention=abstention_curve(sure, right, rejected),
        spans=_spans(labelled, answers),
        outcome_auc=curves.outcome_auc(outcomes, buys),
        slices=_slices(labelled, truth, predicted, answered, groups, mean_f1),
        unknown_labels=tuple(unknown),
        pictures={},
    )
    if out_dir is not None:
        drawn = _draw(report, roc, pr, groups.get("scene", ()), scope, history, kept)
        files = {name: style.save(picture, out_dir, name) for name, picture in drawn.items()}
        report = replace(report, pictures=files)
        write_report(out_dir / REPORT_FILE, report.to_dict())
    return report


def _draw(
    report: EvaluationReport,
    roc: Curves | None,
    pr: Curves | None,
    scenes: Sequence[GroupCurves],
    scope: ScopeCurves | None,
    history: Sequence[tuple[float, float, float]],
    kept: float | None,
) -> dict[str, Figure]:
    """Each picture that the figures can give, by name."""
    from intent_tracking.evaluation import confusion_plots, curve_plots, plots

    drawn = {"confusion_matrix": confusion_plots.confusion_matrix(report.confusion)}
    if confusion_plots.is_mapped(report.confusion):
        drawn["confusion_matrix_full"] = confusion_plots.full_confusion_matrix(report.confusion)
    if roc is not None:
        drawn["roc"] = curve_plots.roc(roc)
    if pr is not None:
        drawn["precision_recall"] = curve_plots.precision_recall(pr)
    if scenes:
        drawn["scenes"] = curve_plots.by_scene(scenes)
    if scope is not None:
        drawn["out_of_scope"] = curve_plots.out_of_scope(scope)
    if report.abstention is not None:
        drawn["abstention"] = curve_plots.abstention(report.abstention, of_sets=report.micro_f1 is not None)
    if report.calibration is not None:
        of_sets = {"stated": "probability of a label", "came_true": "share that has it"}
        drawn["calibration"] = plots.calibration(report.calibration, **(of_sets if report.micro_f1 is not None else {}))
    if report.outcome_calibration is not None:
        drawn["purchase_calibration"] = plots.calibration(
            report.outcome_calibration, "Reliability of the purchase probability", "probability", "share that bought"
        )
    if report.slices:
        drawn["slices"] = plots.slices(report.slices)
    if history:
        drawn["learning_curve"] = plots.learning_curve(history, kept)
    return drawn


def write_report(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that is the same, byte for byte, for the same content."""
    import json

    from intent_tracking.tables import atomic_write_text

    atomic_write_text(path, json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
