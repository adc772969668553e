"""How good a new model is, and whether it may go live."""

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from dagster_project.metadata import picture, rows_as_markdown
from dagster_project.versions import MODEL_VERSION, model_version
from intent_tracking.modeling.splits import ENOUGH_TO_JUDGE
from intent_tracking.settings import Settings

if TYPE_CHECKING:
    from intent_tracking.evaluation.faithfulness import Faithfulness
    from intent_tracking.evaluation.report import EvaluationReport

OWNERS = ["team:machine-learning"]


def headline_figures(report: "EvaluationReport") -> dict[str, float]:
    """The figures that Dagster plots over time; one that the examples cannot give is left out."""
    abstention, spans = report.abstention, report.spans
    figures = {
        "in_scope_accuracy": report.in_scope_accuracy,
        "out_of_scope_recall": report.out_of_scope.recall,
        "out_of_scope_auc": report.out_of_scope_auc,
        "ece": report.calibration.ece if report.calibration else None,
        "ece_before": report.calibration.ece_before if report.calibration else None,
        "aurc": abstention.aurc if abstention else None,
        "answered": abstention.answered if abstention else None,
        "answered_accuracy": abstention.answered_accuracy if abstention else None,
        "span_f1": spans.f1 if spans else None,
        **{f"span_f1/{slot.label}": slot.f1 for slot in (spans.by_name if spans else ())},
        "purchase_auc": report.outcome_auc,
        "purchase_ece": report.outcome_calibration.ece if report.outcome_calibration else None,
        **{f"slice/{s.column}/{s.value}/roc_auc": s.roc_auc for s in report.slices},
    }
    return {name: value for name, value in figures.items() if value is not None}


class EvaluationConfig(dg.Config):
    """Which version to evaluate, and what the gate asks of it."""

    version: str | None = Field(default=None, description="By default the version that intent_model made last.")
    margin: float = Field(default=0.02, ge=0, description="Macro-F1 by which it may lie below the champion.")
    floor_macro_f1: float = Field(default=0.5, description="What a first model must reach.")
    floor_accuracy: float = Field(default=0.5, description="What a first model must reach.")
    max_ece: float = Field(default=0.1, description="Highest expected calibration error, unless the champion has more.")
    min_examples: int = Field(
        default=ENOUGH_TO_JUDGE,
        ge=1,
        description="Fewer labelled held-out examples promote nothing; so many labels by people, and they alone count.",
    )


@dg.asset(
    deps=["intent_model", "training_examples"],
    group_name="evaluation",
    kinds={"python", "scikitlearn"},
    owners=OWNERS,
)
def intent_model_evaluation(
    context: dg.AssetExecutionContext, config: EvaluationConfig, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """Figures, pictures and model card of one model version on the held-out days of `training_examples`.

    Overall, per class, scene and language; its behavioural tests; whether its explanations name what it reads; and the
    same examples answered by the champion, from which the gate's decision follows. Files: `evaluations/<version>/`.
    """
    from dagster_project.defs.evaluation.comparison import compare
    from intent_tracking.evaluation.gate import GatePolicy

    version = config.version or model_version(context.instance, "intent_model")
    policy = GatePolicy(**config.model_dump(exclude={"version"}))
    found = compare(settings, version, policy)
    report, figures = found.report, {k: v for k, v in found.decision.figures.items() if v is not None}
    slices: list[dict[str, object]] = [
        {
            "slice": f"{part.column} {part.value}",
            "examples": part.count,
            "accuracy": str(part.accuracy),
            "macro-F1": str(part.macro_f1),
        }
        for part in report.slices
    ]
    return dg.MaterializeResult(
        metadata={
            MODEL_VERSION: version,
            "champion": found.champion or "none",
            "promote": found.decision.promote,
            "reasons": rows_as_markdown([{"test": reason} for reason in found.decision.reasons]),
            "examples": report.count,
            "accuracy": report.accuracy.value,
            "macro_f1": report.macro_f1.value,
            **{f"gate/{name}": value for name, value in figures.items()},
            **headline_figures(report),
            **explanation_figures(found.faithfulness),
            "by_slice": rows_as_markdown(slices),
            **{f"slice/{s.column}/{s.value}/accuracy": s.accuracy.value for s in report.slices},
            **{name: picture(found.folder / file) for name, file in report.pictures.items()},
            "model_card": dg.MetadataValue.path(found.folder / "model_card.md"),
        }
    )


def explanation_figures(found: "Faithfulness | None") -> dict[str, float]:
    """How far the deletion test beats random removal: over all, and by the share of words removed."""
    if found is None:
        return {}
    ratios = {
        "area": found.area_ratio,
        **{f"{100 * each.share:.0f}_percent": each.ratio for each in found.deletions if each.share},
    }
    return {f"explanations/{name}_vs_random": ratio.value for name, ratio in ratios.items() if ratio is not None}
