"""The gate: a refused challenger blocks the Bento and the deployment behind it."""

import json
from typing import Any

import dagster as dg

from dagster_project.metadata import rows_as_markdown
from dagster_project.versions import model_version
from intent_tracking.settings import Settings


def _written(context: dg.AssetCheckExecutionContext, settings: Settings, file: str) -> dict[str, Any]:
    version = model_version(context.instance, "intent_model_evaluation")
    content: dict[str, Any] = json.loads((settings.evaluations / version / file).read_text(encoding="utf-8"))
    return content


@dg.asset_check(asset="intent_model_evaluation", blocking=True)
def intent_model_evaluation_behaves(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """The model does what it must (minimum functionality), ignores what it must (invariance) and is moved by what it
    must be (direction), in English and in Chinese.
    """
    behaviour = _written(context, settings, "behaviour.json")
    failures = [
        {name: failure[name] for name in ("kind", "language", "intent", "before", "after", "said")}
        for failure in behaviour["failures"]
    ]
    return dg.AssetCheckResult(
        passed=bool(behaviour["passed"]),
        description=behaviour["reason"],
        metadata={
            **({"pass_rate": float(behaviour["pass_rate"])} if behaviour["pass_rate"] is not None else {}),
            "rates": rows_as_markdown(behaviour["rates"]),
            "tests": rows_as_markdown(behaviour["tests"]),
            "skipped": behaviour["skipped"],
            "failures": rows_as_markdown(failures[:30]),
        },
    )


@dg.asset_check(asset="intent_model_evaluation", blocking=True)
def intent_model_evaluation_calibrated(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """The probabilities that the model gives are as often right as they say, or more often than the champion's."""
    from dagster_project.defs.evaluation.acceptance import DECISION_FILE
    from intent_tracking.evaluation.gate import is_calibrated

    decision = _written(context, settings, DECISION_FILE)
    ece, champion = (decision["figures"].get(name) for name in ("ece", "champion_ece"))
    return dg.AssetCheckResult(
        passed=is_calibrated(ece, champion, decision["max_ece"]),
        description="not measured: too few labelled held-out examples" if ece is None else None,
        metadata={
            "limit": float(decision["max_ece"]),
            **{name: float(of) for name, of in (("ece", ece), ("champion_ece", champion)) if of is not None},
        },
    )


@dg.asset_check(asset="intent_model_evaluation", blocking=True)
def intent_model_evaluation_accepted(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """The challenger is not worse than the champion on the same held-out days, and every other test is passed."""
    from dagster_project.defs.evaluation.acceptance import DECISION_FILE

    decision = _written(context, settings, DECISION_FILE)
    return dg.AssetCheckResult(
        passed=bool(decision["promote"]),
        description="; ".join(decision["reasons"]),
        metadata={
            "version": decision["version"],
            "champion": decision["champion"] or "none",
            "reasons": rows_as_markdown([{"test": reason} for reason in decision["reasons"]]),
            **{name: float(value) for name, value in decision["figures"].items() if value is not None},
        },
    )
