"""Risk control: the cases of a day, the model that judges them, their scores and the queue for people."""

from datetime import date, timedelta
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from dagster_project.defs.applications.publishing import publish_application
from dagster_project.metadata import counts, means
from dagster_project.partitions import (
    DAY_BEFORE,
    LAST_30_DAYS_TO_DAY_AFTER,
    TABLES_POOL,
    daily_asset,
    days_checked,
    days_of,
    require_written,
)
from dagster_project.resources.service import IntentService
from dagster_project.resources.tables import Tables
from intent_tracking.settings import Settings

if TYPE_CHECKING:
    from intent_tracking.applications.risk.model import Decision
    from intent_tracking.applications.risk.policy import Shares

OWNERS = ["team:risk"]
HISTORY = timedelta(days=30)


@daily_asset(
    deps=[
        "sessions",
        dg.AssetDep("validated_events", partition_mapping=LAST_30_DAYS_TO_DAY_AFTER),
        dg.AssetDep("user_features", partition_mapping=DAY_BEFORE),
    ],
    group_name="applications",
    kinds={"python", "parquet"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def risk_cases(context: dg.AssetExecutionContext, tables: dg.ResourceParam[Tables]) -> dg.MaterializeResult:
    """What risk control sees of each session that starts on the day, and of each order placed in one of them.

    One row a case. From `sessions`, the shopper's features of the day before, and the `validated_events` of 30 days.
    An order is described as it was when it was placed: nothing that came after it.
    """
    from intent_tracking.applications.risk.cases import orders_of
    from intent_tracking.applications.risk.cases import risk_cases as cases_of

    days = days_of(context)
    require_written(tables.validated_events, days, "ingest_job")
    require_written(tables.sessions, days, "ingest_job")
    # Before the first snapshot there was no store, and nobody was known.
    first = min(tables.user_features.days(), default=date.max)
    eves = [day - timedelta(days=1) for day in days]
    require_written(tables.user_features, [eve for eve in eves if eve >= first], "features_job")
    rows = 0
    for day in days:
        history = [day - timedelta(days=back) for back in range(HISTORY.days, -2, -1)]
        before = tables.user_features.read([day - timedelta(days=1)])
        table = cases_of(tables.sessions.read([day]), orders_of(tables.validated_events, history), before, day)
        tables.risk_cases.write(day, table)
        rows += table.num_rows
        context.add_asset_metadata(
            {"dagster/partition_row_count": table.num_rows, "kinds": counts(table, "kind")},
            partition_key=day.isoformat(),
        )
    return dg.MaterializeResult(metadata={"rows_in_run": rows})


class RiskModelConfig(dg.Config):
    """Which days the model learns from."""

    until: str | None = Field(default=None, description="Last day, YYYY-MM-DD; by default the newest of risk_cases.")


GATE = dg.AssetCheckSpec(
    "risk_model_passes_gate",
    asset="risk_model",
    description="What was learned judges the probes rightly, keeps the budget, blocks little and is no worse than the "
    "live model. Where it is not, the live model goes on, and the day is scored by it.",
)


@dg.asset(
    deps=[risk_cases],
    group_name="applications",
    kinds={"scikitlearn"},
    owners=OWNERS,
    pool=TABLES_POOL,
    check_specs=[GATE],
)
def risk_model(
    context: dg.AssetExecutionContext,
    config: RiskModelConfig,
    settings: dg.ResourceParam[Settings],
    tables: dg.ResourceParam[Tables],
    intent_service: dg.ResourceParam[IntentService],
) -> dg.MaterializeResult:
    """Rules, an isolation forest and what people decided, with thresholds that spend the alert budget; goes live.

    From the `risk_cases` of the last weeks, the decisions in `annotations/risk/` and the policy (`risk.yaml` of the
    home, or the shipped one). One that misjudges a probe, passes the budget, blocks more than `most_blocked`, or knows
    newly decided cases worse than the live model is not written: a check says why, and the live model stays. While
    there are no cases there is none.
    """
    from intent_tracking.applications.artifacts import RISK_MODEL
    from intent_tracking.applications.risk.daily import learned_until
    from intent_tracking.applications.risk.training import NoCasesError

    written = tables.risk_cases.days()
    if not written:
        raise dg.Failure("no risk_cases are written yet: materialize risk_cases for some days first")
    until = date.fromisoformat(config.until) if config.until else written[-1]
    try:
        made = learned_until(settings, until)
    except NoCasesError as none:
        return _not_made(str(none), passed=True)
    if made.folder is None:
        context.log.error("the gate refuses this risk model: %s", "; ".join(made.verdict.problems))
        return _not_made("; ".join(made.verdict.problems), passed=False, **made.verdict.figures)
    release = publish_application(settings, intent_service, RISK_MODEL, made.folder)
    return dg.MaterializeResult(
        metadata={
            "version": made.folder.name,
            "until": until.isoformat(),
            "release": release.number if release else "waits for the first intent model",
            **made.metrics,
            **made.verdict.figures,
        },
        check_results=[dg.AssetCheckResult(check_name=GATE.name, passed=True, metadata=dict(made.verdict.figures))],
    )


def _not_made(why: str, *, passed: bool, **figures: float) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        metadata={"version": "none", "why": why, **figures},
        check_results=[dg.AssetCheckResult(check_name=GATE.name, passed=passed, metadata={"why": why, **figures})],
    )


@daily_asset(
    deps=[risk_cases, risk_model], group_name="applications", kinds={"python"}, owners=OWNERS, pool=TABLES_POOL
)
def risk_scores(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.MaterializeResult:
    """How risky each of the day's `risk_cases` is to the live `risk_model`, why, and what is to be done.

    One row a case. What is not allowed stands in the review queue: `intent-tracking review list`.
    """
    from intent_tracking.applications.risk.cases import read_cases
    from intent_tracking.applications.risk.daily import live_model, queue_counts
    from intent_tracking.applications.risk.review import risk_scores as scored

    model = live_model(settings)
    for day in days_of(context):
        cases = read_cases(tables.risk_cases, [day])
        if model is None and cases.num_rows:
            raise dg.Failure("there is no risk model yet: materialize risk_model; its check says why none was made")
        table = scored(cases, model) if model is not None else tables.risk_scores.schema.empty_table()
        scores = table.select(["score", "rules_score", "forest_score"])
        tables.risk_scores.write(day, table)
        context.add_asset_metadata(
            {"dagster/partition_row_count": table.num_rows, "decisions": counts(table, "decision"), **means(scores)},
            partition_key=day.isoformat(),
        )
    queue = queue_counts(settings)
    return dg.MaterializeResult(
        metadata={"model": model.version if model else "none", **{f"queue/{k}": v for k, v in queue.items()}}
    )


@dg.asset_check(asset=risk_scores, blocking=True)
def risk_scores_complete(
    context: dg.AssetCheckExecutionContext, tables: dg.ResourceParam[Tables]
) -> dg.AssetCheckResult:
    """Every session of the day is scored exactly once."""
    missing = twice = sessions = 0
    for day in days_checked(context, tables.risk_scores.days()):
        scores = tables.risk_scores.read([day], columns=["case_id", "kind", "session_id"])
        cases = scores["case_id"].to_pylist()
        twice += len(cases) - len(set(cases))
        kinds = zip(scores["session_id"].to_pylist(), scores["kind"].to_pylist(), strict=True)
        wanted = set(tables.sessions.read([day], columns=["session_id"])["session_id"].to_pylist())
        missing += len(wanted ^ {session for session, kind in kinds if kind == "session"})
        sessions += len(wanted)
    return dg.AssetCheckResult(
        passed=not missing and not twice, metadata={"sessions": sessions, "missing": missing, "twice": twice}
    )


@dg.asset_check(asset=risk_scores)
def risk_scores_within_budget(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.AssetCheckResult:
    """People are asked about no more of the sessions and orders than the alert budget, but for chance."""
    from intent_tracking.applications.risk.model import Decision
    from intent_tracking.applications.risk.policy import load_policy

    return _bounded(context, tables, Decision.REVIEW, "alert_share", load_policy(settings.home).alert_budget)


@dg.asset_check(asset=risk_scores)
def risk_scores_seldom_block(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.AssetCheckResult:
    """No more of the sessions and orders are blocked than `most_blocked` of the policy, but for chance.

    More is an attack, or a model or a rule that blocks customers: nobody is asked about what is blocked.
    """
    from intent_tracking.applications.risk.model import Decision
    from intent_tracking.applications.risk.policy import load_policy

    return _bounded(context, tables, Decision.BLOCK, "blocked_share", load_policy(settings.home).most_blocked)


def _bounded(
    context: dg.AssetCheckExecutionContext, tables: Tables, decision: "Decision", name: str, most: "Shares"
) -> dg.AssetCheckResult:
    from intent_tracking.applications.risk.features import Kind
    from intent_tracking.applications.risk.gate import is_above

    scores = tables.risk_scores.read(days_checked(context, tables.risk_scores.days()), columns=["kind", "decision"])
    rows = list(zip(scores["kind"].to_pylist(), scores["decision"].to_pylist(), strict=True))
    figures: dict[str, float] = {}
    passed = True
    for kind in (Kind.SESSION, Kind.ORDER):
        decided = [each for of_kind, each in rows if of_kind == kind.value]
        share = decided.count(decision.value) / max(1, len(decided))
        passed = passed and not is_above(share, most.of(kind), len(decided))
        figures |= {f"{kind}/{name}": share, f"{kind}/most": most.of(kind)}
    return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=figures)
