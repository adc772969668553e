"""The model card: what a model is for, what it was made from, how good it is and where it stops, as one Markdown page.

Sections after Mitchell et al. 2019, Model Cards for Model Reporting, arXiv:1810.03993.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from intent_tracking.evaluation.behavioural import BehaviouralReport
from intent_tracking.evaluation.gate import GateDecision
from intent_tracking.evaluation.report import EvaluationReport
from intent_tracking.tables import atomic_write_text

CARD_FILE = "model_card.md"
INTENDED_USE = (
    "Tracks what a shopper wants, from the events and messages of a running session, so that search, recommendation, "
    "the service desk and marketing can answer it. One text in; calibrated intents, key information and a purchase "
    "probability out."
)
LIMITS = (
    "Not for decisions about people: credit, hiring, law, health. A purchase probability is no measure of a person.",
    "Figures hold for the shop, the languages and the period of the examples below; the drift check says when they no "
    "longer do.",
    "Confidence is calibrated over all examples together, not for each intent or shopper.",
    "Personal data is replaced by placeholders before training; free text may still hold what no pattern finds.",
)
PICTURE_TITLES = {
    "behaviour": "Behaviour",
    "deletion": "Explanations: the deletion test",
    "confusion_matrix": "Confusion matrix",
    "confusion_matrix_full": "Confusion matrix of all labels",
    "roc": "ROC",
    "precision_recall": "Precision and recall",
    "scenes": "ROC and precision-recall by scene",
    "out_of_scope": "Out of scope",
    "abstention": "Abstention",
    "calibration": "Reliability of the intents",
    "purchase_calibration": "Reliability of the purchase probability",
    "slices": "Scenes and languages",
    "learning_curve": "Learning curve",
}
# Too large for a page: linked instead of shown.
LINKED_PICTURES = frozenset({"confusion_matrix_full"})


@dataclass(frozen=True)
class CardFacts:
    """What the artifact's manifest says of the model.

    Attributes:
        version, base_encoder, code_version, dataset_fingerprint: as in the manifest.
        labels: the intents that it knows.
        trained_on: what it learned from, in words ("12,480 examples, 2026-01-01 to 2026-01-24").
        evaluated_on: what it was evaluated on, in words.
        details: further facts by name, such as seconds of training.
    """

    version: str
    base_encoder: str
    code_version: str
    dataset_fingerprint: str
    labels: tuple[str, ...]
    trained_on: str
    evaluated_on: str
    details: Mapping[str, str] = field(default_factory=dict)


def _cell(text: object) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(map(_cell, head)) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(map(_cell, row)) + " |" for row in rows), ""]


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"


def _figures(report: EvaluationReport) -> list[tuple[str, str]]:
    rows = [
        ("examples", f"{report.count:,}"),
        ("accuracy (95% interval)", str(report.accuracy)),
        ("macro-F1 (95% interval)", str(report.macro_f1)),
        ("ROC AUC, macro / micro", f"{_number(report.roc_auc_macro)} / {_number(report.roc_auc_micro)}"),
        (
            "average precision, macro / micro",
            f"{_number(report.average_precision_macro)} / {_number(report.average_precision_micro)}",
        ),
        ("in-scope accuracy (a rejected one is wrong)", _number(report.in_scope_accuracy)),
        ("rejected as out of scope", report.rejects or "not known"),
        ("out-of-scope recall", _number(report.out_of_scope.recall)),
        ("out-of-scope precision", _number(report.out_of_scope.precision)),
        ("out-of-scope ROC AUC", _number(report.out_of_scope_auc)),
        ("key-information F1 (exact spans)", _number(report.spans.f1 if report.spans else None)),
        ("purchase AUC", _number(report.outcome_auc)),
    ]
    if report.micro_left_out:
        rows.append(("micro means, left out", report.micro_left_out))
    if report.abstention:
        best = f"{report.abstention.aurc:.4f} ({report.abstention.best_aurc:.4f})"
        rows.append(("AURC, area under risk and coverage (best possible)", best))
    return rows


def _calibration(report: EvaluationReport) -> list[str]:
    """Expected calibration errors before and after the temperature, on validation and on the examples."""
    seen = report.validation
    rows = [
        ("intents", "validation", _number(seen.get("ece_before")), _number(seen.get("ece_after")), ""),
        ("purchase", "validation", _number(seen.get("outcome_ece_before")), _number(seen.get("outcome_ece_after")), ""),
    ]
    for name, found in (("intents", report.calibration), ("purchase", report.outcome_calibration)):
        if found is not None:
            rows.append((name, "these", _number(found.ece_before), _number(found.ece), _number(found.brier)))
    rows = [row for row in rows if row[2:4] != (_number(None), _number(None))]
    if not rows:
        return []
    words = "Expected calibration error, 15 bins of equal width, before and after the temperature."
    head = ("probability", "examples", "ECE before", "ECE after", "Brier")
    return ["### Calibration", "", words, "", *_table(head, rows)]


def _key_information(report: EvaluationReport) -> list[str]:
    if report.spans is None:
        return []
    rows = [(c.label, f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}", c.support) for c in report.spans.by_name]
    total = report.spans
    rows.append(("all", f"{total.precision:.3f}", f"{total.recall:.3f}", f"{total.f1:.3f}", total.gold))
    words = "A span counts when its name, start and end are all right."
    return ["### By key information", "", words, "", *_table(("name", "precision", "recall", "F1", "marked"), rows)]


def _behaviour(behaviour: BehaviouralReport) -> list[str]:
    lines = ["## Behaviour", "", f"{behaviour.reason}. {behaviour.skipped} cases skipped: unknown intents.", ""]
    rows = [(r.kind, r.language, f"{r.passed} of {r.total}", f"{r.passed / r.total:.0%}") for r in behaviour.rates]
    lines += _table(("kind", "language", "passed", "share"), rows)
    if behaviour.failures:
        lines += [f"Failed cases ({len(behaviour.failures)}, the first 10):", ""]
        lines += [f"- {f.kind}, {f.name}, {f.language}: `{f.after}` gave {f.said}" for f in behaviour.failures[:10]] + [
            ""
        ]
    return lines


def model_card(
    facts: CardFacts,
    report: EvaluationReport,
    behaviour: BehaviouralReport | None = None,
    gate: GateDecision | None = None,
) -> str:
    """The card as Markdown; pictures are linked as files of the same folder."""
    lines = [f"# Intent model {facts.version}", "", INTENDED_USE, "", "## The model", ""]
    known = [
        ("version", facts.version),
        ("base encoder", facts.base_encoder),
        ("code version", facts.code_version),
        ("data fingerprint", f"`{facts.dataset_fingerprint}`"),
        ("trained on", facts.trained_on),
        ("evaluated on", facts.evaluated_on),
        ("intents", ", ".join(facts.labels)),
        *facts.details.items(),
    ]
    lines += _table(("fact", "value"), known)
    lines += ["## Figures", "", *_table(("figure", "value"), _figures(report))]
    if report.unknown_labels:
        lines += [f"The examples hold intents that this model cannot say: {', '.join(report.unknown_labels)}.", ""]
    lines += ["### By intent", ""]
    rows = [(c.label, f"{c.precision:.3f}", f"{c.recall:.3f}", f"{c.f1:.3f}", c.support) for c in report.classes]
    lines += _table(("intent", "precision", "recall", "F1", "support"), rows)
    lines += _key_information(report)
    lines += _calibration(report)
    if report.slices:
        lines += ["### By scene and language", ""]
        parts = [
            (
                *(s.column, s.value, f"{s.count:,}", s.accuracy, s.macro_f1),
                *(_number(s.roc_auc), _number(s.average_precision)),
            )
            for s in report.slices
        ]
        head = ("slice", "value", "examples", "accuracy", "macro-F1", "ROC AUC, micro", "average precision, micro")
        lines += _table(head, parts)
    pairs = report.confusion.worst_pairs(5)
    if pairs:
        lines += ["Most confused: " + "; ".join(f"{t} taken for {p} ({n})" for t, p, n in pairs) + ".", ""]
    for name, file in report.pictures.items():
        title = PICTURE_TITLES.get(name, name)
        shown = "" if name in LINKED_PICTURES else "!"
        lines += [f"{shown}[{title}]({file})", ""]
    if behaviour is not None:
        lines += _behaviour(behaviour)
    if gate is not None:
        lines += ["## Gate", "", f"**{'Promoted' if gate.promote else 'Refused'}.**", ""]
        lines += [*(f"- {reason}" for reason in gate.reasons), ""]
    lines += ["## Limits", "", *(f"- {limit}" for limit in LIMITS), ""]
    return "\n".join(lines)


def write_model_card(
    folder: Path,
    facts: CardFacts,
    report: EvaluationReport,
    behaviour: BehaviouralReport | None = None,
    gate: GateDecision | None = None,
) -> Path:
    """Write the card beside the report's pictures and return its path."""
    path = folder / CARD_FILE
    atomic_write_text(path, model_card(facts, report, behaviour, gate))
    return path
