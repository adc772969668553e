"""What the desk answers from: the shop's own words, searched and judged before they go live."""

import dagster as dg

from dagster_project.defs.applications.publishing import publish_application
from dagster_project.resources.service import IntentService
from intent_tracking.applications.artifacts import ANSWER_INDEX
from intent_tracking.settings import Settings

FOUND = dg.AssetCheckSpec(
    "answer_index_finds_its_questions",
    asset="answer_index",
    blocking=True,
    description="Passages are found by their own titles, and no fewer golden questions than by the live index.",
)
READ = dg.AssetCheckSpec(
    "answer_index_files_are_read", asset="answer_index", description="No file of the shop has a mistake in it."
)

SHOWN = 5
"""Mistakes that the check names; the log and the asset's metadata have all."""


@dg.asset(
    group_name="applications",
    kinds={"python", "onnx"},
    owners=["team:customer-service"],
    check_specs=[FOUND, READ],
)
def answer_index(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    intent_service: dg.ResourceParam[IntentService],
) -> dg.MaterializeResult:
    """Everything that answers at the desk: the passages of `<home>/answers/`, searched and ranked, and the templates.

    Equal files give the same version. It goes live where it finds passages by their titles, and no fewer of the golden
    questions than the live index does; else it is kept, and a check says why.
    """
    from intent_tracking.applications.customer_service.making import make_answer_index

    made = make_answer_index(settings)
    release = None
    if made.judgement.passed:
        release = publish_application(settings, intent_service, ANSWER_INDEX, made.folder)
    else:
        context.log.error("not published: %s", "; ".join(made.judgement.reasons))
    for problem in made.problems:
        context.log.warning("%s", problem)
    return dg.MaterializeResult(
        metadata={
            "version": made.folder.name,
            "passages": made.passages,
            "problems": dg.MetadataValue.md("\n".join(f"- {problem}" for problem in made.problems) or "none"),
            "release": release.number if release else "none",
            **made.judgement.figures,
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=FOUND.name,
                passed=made.judgement.passed,
                metadata={
                    "reasons": "; ".join(made.judgement.reasons) or "none",
                    "missed": dg.MetadataValue.md("\n".join(f"- {each}" for each in made.judgement.missed) or "none"),
                    **made.judgement.figures,
                },
            ),
            dg.AssetCheckResult(
                check_name=READ.name,
                passed=not made.problems,
                severity=dg.AssetCheckSeverity.WARN,
                description="; ".join(str(problem) for problem in made.problems[:SHOWN]) or None,
                metadata={"problems": len(made.problems)},
            ),
        ],
    )
