"""User segments: learned by the week, given to each shopper by the day."""

from collections.abc import Iterable
from datetime import date, timedelta

import dagster as dg
import pyarrow as pa
from pydantic import Field

from dagster_project.defs.applications.publishing import publish_application
from dagster_project.metadata import picture, rows_as_markdown
from dagster_project.partitions import LAST_30_DAYS, TABLES_POOL, daily_asset, days_checked, days_of
from dagster_project.resources.service import IntentService
from dagster_project.resources.tables import Tables
from intent_tracking.applications.artifacts import USER_SEGMENTS
from intent_tracking.settings import Settings

WINDOW_DAYS = 30  # what LAST_30_DAYS spans


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
    live do not go live. Empty while there are too few shoppers. Reports lie in `applications/profiles/`.
    """
    from intent_tracking.applications.profiles.building import day_rows
    from intent_tracking.applications.profiles.refresh import refresh
    from intent_tracking.applications.profiles.report import write_day_report, write_segment_report
    from intent_tracking.applications.profiles.rules import read_rules
    from intent_tracking.applications.profiles.segments import Segments

    days = days_of(context)
    newest = (tables.user_features.read([days[-1]]), _tokens(tables, days[-1]), read_rules(settings.segment_rules))
    refreshed = refresh(settings, *newest, days[-1], force=config.learn, fresh=config.fresh)
    if refreshed.folder is None:
        for day in days:
            tables.user_segments.write(day, tables.user_segments.schema.empty_table())
        return dg.MaterializeResult(metadata={"segments": 0, "learned": refreshed.why})
    segments = Segments.load(refreshed.folder)
    for day in days:
        features = tables.user_features.read([day])
        tables.user_segments.write(day, day_rows(segments, features, _tokens(tables, day), day))
        drift = write_day_report(settings.applications, tables.user_segments, segments, day)
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": features.num_rows,
                "stayed": -1.0 if drift.stayed is None else drift.stayed,
                "stability_index": -1.0 if drift.psi is None else drift.psi,
                **{f"share/{name}": share for name, share in drift.shares.items()},
            },
            partition_key=day.isoformat(),
        )
    pages = write_segment_report(settings.applications, segments)
    if refreshed.written:
        publish_application(settings, intent_service, USER_SEGMENTS, refreshed.folder)
    return dg.MaterializeResult(
        metadata={
            "segments": len(segments.segments),
            "version": segments.version,
            "learned": refreshed.why,
            "report": dg.MetadataValue.path(pages / "segments.md"),
            "overview": picture(pages / "segments.png"),
            "names": rows_as_markdown([{"id": s.id, **s.name, "share": f"{s.share:.1%}"} for s in segments.segments]),
            **({key: float(value) for key, value in refreshed.fitted.metrics.items()} if refreshed.fitted else {}),
        }
    )


def _tokens(tables: Tables, day: date) -> pa.Table:
    """What shoppers dealt with in the window that ends on `day`."""
    from intent_tracking.applications.profiles.taste import EVENT_COLUMNS, PREDICTION_COLUMNS, taste_tokens

    window = [day - timedelta(days=back) for back in reversed(range(WINDOW_DAYS))]
    events = tables.validated_events.read(window, columns=list(EVENT_COLUMNS))
    return taste_tokens(events, tables.served_predictions.read(window, columns=list(PREDICTION_COLUMNS)))


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
