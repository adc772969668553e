"""What a shop learned on a day, for people to read."""

import warnings
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from dagster_project.partitions import TABLES_POOL, daily_asset, days_checked, days_of
from dagster_project.resources.tables import Tables
from intent_tracking.settings import Settings

if TYPE_CHECKING:
    from intent_tracking.applications.insights.material import Sources

with warnings.catch_warnings():
    warnings.simplefilter("ignore", dg.BetaWarning)
    # A week and the four weeks that it is held against.
    LAST_35_DAYS = dg.TimeWindowPartitionMapping(
        start_offset=-34, end_offset=0, allow_nonexistent_upstream_partitions=True
    )


READ = ("validated_events", "sessions", "session_texts", "served_predictions", "item_features")


class InsightsConfig(dg.Config):
    """What a report looks at; see `intent_tracking.applications.insights.policy.InsightsPolicy`."""

    least_shoppers: int = Field(default=5, ge=3, description="Shoppers that must have a thing before it is shown.")
    most: int = Field(default=15, ge=1, description="Rows of a table.")
    low_confidence: float = Field(default=0.4, ge=0, le=1, description="Answers below it count as not understood.")


def report_folder(settings: Settings, day: date) -> Path:
    """Where the report of `day` lies, written or not."""
    return settings.applications / "insights" / day.isoformat()


def sources_of(settings: Settings, tables: Tables, day: date) -> "Sources":
    """What the report of `day` is made of, written or not."""
    from dagster_project.resources.drift_report import SUMMARY_FILE
    from intent_tracking.applications.insights.material import Sources

    return Sources(
        validated_events=tables.validated_events,
        sessions=tables.sessions,
        session_texts=tables.session_texts,
        served_predictions=tables.served_predictions,
        item_features=tables.item_features,
        user_segments=tables.user_segments,
        drift_summary=settings.drift / day.isoformat() / SUMMARY_FILE,
        descriptions=settings.home / "catalogue.jsonl",
    )


@daily_asset(
    deps=[*(dg.AssetDep(name, partition_mapping=LAST_35_DAYS) for name in READ), "drift_report"],
    group_name="applications",
    kinds={"python", "duckdb", "html"},
    owners=["team:insights"],
    pool=TABLES_POOL,
    # After `user_segments` where one run has both, and without a need of it: a failure there keeps no report back.
    op_tags={"dagster/priority": "-1"},
)
def insights_report(
    context: dg.AssetExecutionContext,
    config: InsightsConfig,
    settings: dg.ResourceParam[Settings],
    tables: dg.ResourceParam[Tables],
) -> dg.MaterializeResult:
    """What the shop learned on a UTC day: one report a day in `applications/insights/<day>/`, English and Chinese.

    Intents over time, funnel by intent, unmet searches, rising words, what the model did not understand, what item
    descriptions lack, segments (the newest of the week), drift. It shows no word, search, theme or question of fewer
    than `least_shoppers` shoppers, and says which of its data is missing.
    """
    from intent_tracking.applications.insights.findings import find_insights
    from intent_tracking.applications.insights.policy import InsightsPolicy
    from intent_tracking.applications.insights.report import MARKDOWN_FILE, write_report
    from intent_tracking.text.linguistics import load_linguistics

    policy = InsightsPolicy(**config.model_dump())
    analysers = {
        "en": load_linguistics("en", settings.english_pipeline),
        "zh": load_linguistics("zh", settings.chinese_pipeline),
    }
    for day in days_of(context):
        found = find_insights(sources_of(settings, tables, day), day, analysers, policy)
        page = write_report(found, report_folder(settings, day))
        context.add_asset_metadata(
            {
                "report": dg.MetadataValue.path(page),
                # Pictures lie beside the file; the tables and sentences are enough here.
                "summary": dg.MetadataValue.md(_without_pictures((page.parent / MARKDOWN_FILE).read_text("utf-8"))),
                "missing": ", ".join(found.missing),
                "texts": found.texts,
                "unmet_searches": found.searches.unmet,
                "rising_words": len(found.rising),
                "suggestions": len(found.suggestions),
                **({"not_understood": found.not_understood.out_of_scope} if found.not_understood else {}),
            },
            partition_key=day.isoformat(),
        )
    return dg.MaterializeResult()


@dg.asset_check(asset=insights_report, blocking=True)
def insights_report_names_nobody(
    context: dg.AssetCheckExecutionContext,
    settings: dg.ResourceParam[Settings],
    tables: dg.ResourceParam[Tables],
) -> dg.AssetCheckResult:
    """No id of a shopper of its weeks stands in a report, so that an erasure has nothing to find there."""
    from intent_tracking.applications.insights.anonymity import named_in
    from intent_tracking.applications.insights.policy import InsightsPolicy

    folder = settings.applications / "insights"
    written = sorted(date.fromisoformat(path.parent.name) for path in folder.glob("*/report.html"))
    policy = InsightsPolicy()
    named = 0
    days = days_checked(context, written)
    for day in days:
        ids = set()
        for each in [*policy.before(day), *policy.newest(day)]:
            people = tables.validated_events.read([each], columns=["user_id", "anonymous_id"])
            ids.update(*(column.unique().to_pylist() for column in people.columns))
        ids.discard(None)
        named += len(named_in(report_folder(settings, day), ids))
    # Which ones is not told: what Dagster keeps of a run outlives an erasure.
    return dg.AssetCheckResult(passed=named == 0, metadata={"reports": len(days), "named": named})


def _without_pictures(markdown: str) -> str:
    return "\n".join(line for line in markdown.splitlines() if not line.startswith("!["))
