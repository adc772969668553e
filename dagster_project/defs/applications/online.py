"""What applications say of each shopper, on its way to the store that the service reads."""

from datetime import date, timedelta

import dagster as dg
from pydantic import Field

from dagster_project.partitions import FEAST_POOL
from dagster_project.resources.feature_store import FeastStore
from intent_tracking.features.derived import DERIVED_VIEWS
from intent_tracking.settings import Settings
from intent_tracking.tables import DayTable

PARITY_SAMPLE = 200


class DerivedConfig(dg.Config):
    """Which days go online."""

    until: str | None = Field(default=None, description="Last day, YYYY-MM-DD; by default the newest that is written.")
    lookback_days: int = Field(default=3, ge=0, description="Days before the last that are looked at again.")


@dg.asset(
    deps=[view.table for view in DERIVED_VIEWS],
    group_name="applications",
    kinds={"feast", "sqlite"},
    owners=["team:data-platform"],
    retry_policy=dg.RetryPolicy(max_retries=2, delay=5),
    pool=FEAST_POOL,
)
def online_derived_views(
    config: DerivedConfig, settings: dg.ResourceParam[Settings], feature_store: dg.ResourceParam[FeastStore]
) -> dg.MaterializeResult:
    """The newest rows that applications computed of each shopper, in the online store that the service reads.

    The views are those of `intent_tracking.features.derived`; one whose application has not run yet is left out.
    """
    written = {view.name: DayTable(settings.tables, view.table, view.schema).days() for view in DERIVED_VIEWS}
    newest = max((days[-1] for days in written.values() if days), default=None)
    if newest is None:
        return dg.MaterializeResult(metadata={"views": "none: no application has written a day yet"})
    until = date.fromisoformat(config.until) if config.until else newest
    feature_store.apply()
    brought = feature_store.materialize(until, until, timedelta(days=config.lookback_days), only=list(written))
    return dg.MaterializeResult(metadata={"until": until.isoformat(), "views": ", ".join(brought)})


@dg.asset_check(asset=online_derived_views, blocking=True)
def online_derived_views_match(
    settings: dg.ResourceParam[Settings], feature_store: dg.ResourceParam[FeastStore]
) -> dg.AssetCheckResult:
    """Sampled shoppers are served online exactly what the applications wrote on the newest day."""
    reports = {
        view.name: feature_store.derived_parity(view, PARITY_SAMPLE)
        for view in DERIVED_VIEWS
        if DayTable(settings.tables, view.table, view.schema).days()
    }
    # A shopper is not named in what Dagster keeps, which no erasure reaches.
    return dg.AssetCheckResult(
        passed=all(report.passed for report in reports.values()),
        metadata={
            "views": ", ".join(reports) or "none",
            "sampled": sum(report.sampled for report in reports.values()),
            "compared": sum(report.compared for report in reports.values()),
            "fresher": sum(report.fresher for report in reports.values()),
            "mismatched": sum(report.mismatched for report in reports.values()),
            "missing": sum(len(report.missing) for report in reports.values()),
        },
    )
