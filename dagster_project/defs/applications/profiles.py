"""User segments: learned by the week, given to each shopper by the day."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from dagster_project.defs.applications.publishing import publish_application
from dagster_project.metadata import picture, rows_as_markdown
from dagster_project.partitions import (
    LAST_30_DAYS,
    TABLES_POOL,
    daily_asset,
    days_checked,
    days_of,
    require_written,
)
from dagster_project.resources.service import IntentService
from dagster_project.resources.tables import Tables
from intent_tracking.applications.artifacts import USER_SEGMENTS
from intent_tracking.settings import Settings

if TYPE_CHECKING:
    from intent_tracking.applications.profiles.daily import Segmented
    from intent_tracking.applications.profiles.drift import SegmentDrift


class SegmentsConfig(dg.Config):
    """When segments are learned; how stands in `<home>/segments.yaml`."""

    learn: bool = Field(default=False, description="Learn again although nothing is due; the gate holds all the same.")
    fresh: bool = Field(
        default=False,
        description="Learn as if nothing were live, and keep no name: where the live segments can no longer be read.",
    )


@daily_asset(
    deps=[
        "user_features",
        dg.AssetDep("validated_events", partition_mapping=LAST_30_DAYS),
        dg.AssetDep("served_predictions", partition_mapping=LAST_30_DAYS),
    ],
    group_name="applications",
    kinds={"scikitlearn", "parquet"},
    owners=["team:machine-learning"],
    pool=TABLES_POOL,
)
def user_segments(
    context: dg.AssetExecutionContext,
    config: SegmentsConfig,
    settings: dg.ResourceParam[Settings],
    tables: dg.ResourceParam[Tables],
    intent_service: dg.ResourceParam[IntentService],
) -> dg.MaterializeResult:
    """The segment and the traits of each shopper at the end of the UTC day: one row a shopper of `user_features`.

    The segments are learned once a week, from features and from the items, categories, brands and intents of the last
    30 days; they keep their names as long as their members are mostly the same. Less stable ones than those that are
    live do not go live. Empty while there are too few shoppers; a day without features has none. Reports lie in
    `applications/profiles/`.
    """
    from intent_tracking.applications.profiles import daily

    days = days_of(context)
    require_written(tables.user_features, days, "features_job")
    require_written(tables.validated_events, days, "ingest_job")
    read = (tables.user_features, tables.validated_events, tables.served_predictions, tables.user_segments)
    done = daily.segment_days(settings, daily.SegmentTables(*read), days, force=config.learn, fresh=config.fresh)
    for drift in done.drifts:
        context.add_asset_metadata(_of_day(drift), partition_key=drift.day)
    if done.refreshed.written and done.refreshed.folder is not None:
        publish_application(settings, intent_service, USER_SEGMENTS, done.refreshed.folder)
    return dg.MaterializeResult(metadata=_of_run(settings, done))


def _of_day(drift: "SegmentDrift") -> dict[str, float]:
    compared = {"stayed": drift.stayed, "stability_index": drift.psi}
    return {
        "dagster/partition_row_count": drift.shoppers,
        **{name: value for name, value in compared.items() if value is not None},
        **{f"share/{name}": share for name, share in drift.shares.items()},
    }


def _of_run(settings: Settings, done: "Segmented") -> dict[str, Any]:
    from intent_tracking.applications.profiles.report import report_folder

    if done.segments is None:
        return {"segments": 0, "learned": done.refreshed.why}
    segments, fitted = done.segments.segments, done.refreshed.fitted
    pages = report_folder(settings.applications, done.segments.version)
    return {
        "segments": len(segments),
        "version": done.segments.version,
        "learned": done.refreshed.why,
        "report": dg.MetadataValue.path(pages / "segments.md"),
        "overview": picture(pages / "segments.png"),
        "names": rows_as_markdown([{"id": each.id, **each.name, "share": f"{each.share:.1%}"} for each in segments]),
        **({f"tried/{name}": value for name, value in fitted.metrics.items()} if fitted else {}),
    }


@dg.asset_check(asset=user_segments, blocking=True)
def user_segments_conserved(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.AssetCheckResult:
    """Every shopper of the snapshot has exactly one segment, and nobody else has one."""
    from intent_tracking.applications.profiles.refresh import live_segments

    days = days_checked(context, tables.user_segments.days())
    differing = sum(
        _differing(
            tables.user_features.read([day], columns=["shopper_id"])["shopper_id"].to_pylist(),
            tables.user_segments.read([day], columns=["shopper_id"])["shopper_id"].to_pylist(),
        )
        for day in days
    )
    waiting = live_segments(settings) is None
    return dg.AssetCheckResult(
        passed=differing == 0 or waiting,
        description="too few shoppers for segments so far" if waiting else None,
        metadata={"days": len(days), "shoppers_without_one_segment": differing},
    )


def _differing(wanted: Iterable[str], given: list[str]) -> int:
    twice = len(given) - len(set(given))
    return twice + len(set(wanted) ^ set(given))


@dg.asset_check(asset=user_segments, blocking=True)
def user_segments_stable(settings: dg.ResourceParam[Settings]) -> dg.AssetCheckResult:
    """The segments that hold came out again from parts of the shoppers they were learned from, as the rules ask."""
    from intent_tracking.applications.artifacts import verified
    from intent_tracking.applications.profiles.building import STABILITY
    from intent_tracking.applications.profiles.refresh import live_segments
    from intent_tracking.applications.profiles.rules import read_rules

    folder = live_segments(settings)
    if folder is None:
        return dg.AssetCheckResult(passed=True, description="too few shoppers for segments so far")
    manifest = verified(folder, USER_SEGMENTS)
    least = read_rules(settings.segment_rules).least_stability
    stability = manifest.metrics[STABILITY]
    return dg.AssetCheckResult(
        passed=stability >= least,
        metadata={"version": manifest.version, STABILITY: stability, "least": least, **_shown(manifest.metrics)},
    )


def _shown(metrics: dict[str, float]) -> dict[str, float]:
    return {name: metrics[name] for name in ("silhouette", "stability_low", "stability_high", "kept", "new", "retired")}


@dg.asset_check(asset=user_segments, blocking=False)
def user_segments_large(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.AssetCheckResult:
    """No segment has fewer of the day's shoppers than half the smallest share that one is learned with."""
    from intent_tracking.applications.profiles.drift import segment_drift
    from intent_tracking.applications.profiles.rules import read_rules

    least = read_rules(settings.segment_rules).smallest_share / 2
    small: list[dict[str, object]] = [
        {"day": day.isoformat(), "segment": name, "share": f"{share:.2%}"}
        for day in days_checked(context, tables.user_segments.days())
        for name, share in segment_drift(tables.user_segments, day).shares.items()
        if share < least
    ]
    return dg.AssetCheckResult(
        passed=not small,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"least": least, "small": len(small), **({"segments": rows_as_markdown(small)} if small else {})},
    )
