"""From an accepted model to a live one, and what it answered."""

import dagster as dg
from pydantic import Field

from dagster_project.metadata import counts, means, sample
from dagster_project.partitions import TABLES_POOL, daily_asset, days_of
from dagster_project.resources.service import IntentService
from dagster_project.resources.tables import Tables
from dagster_project.versions import MODEL_VERSION, model_version
from intent_tracking.settings import Settings

OWNERS = ["team:serving"]


class BentoConfig(dg.Config):
    """Which version to package."""

    version: str | None = Field(default=None, description="By default the version that was evaluated last.")


@dg.asset(deps=["intent_model_evaluation"], group_name="serving", kinds={"bentoml", "docker"}, owners=OWNERS)
def intent_bento(
    context: dg.AssetExecutionContext, config: BentoConfig, settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult:
    """The HTTP service packaged with one accepted model: `intent_service:<model version>`, ready to become a container.

    From the artifact of a version that the gate accepted against the live model; another is not packaged, whoever asks.
    """
    from dagster_project.defs.evaluation.acceptance import accepted
    from dagster_project.resources.bento import build_bento

    version = config.version or model_version(context.instance, "intent_model_evaluation")
    accepted(settings, version)
    bento = build_bento(settings, settings.models / version)
    return dg.MaterializeResult(
        metadata={
            MODEL_VERSION: version,
            "tag": bento.tag,
            "path": dg.MetadataValue.path(bento.path),
            "megabytes": bento.size / 2**20,
            "build_seconds": bento.seconds,
        }
    )


class DeploymentConfig(dg.Config):
    """Which version to publish, why, and how long a running service may take to switch."""

    version: str | None = Field(default=None, description="By default the version that was packaged last.")
    reason: str = Field(default="the gate accepted it", description="Stands in the release file.")
    timeout_seconds: float = Field(default=120.0, gt=0, description="Waited for a running service to switch.")


@dg.asset(
    deps=["intent_bento"],
    group_name="serving",
    kinds={"bentoml"},
    owners=OWNERS,
)
def deployed_intent_service(
    context: dg.AssetExecutionContext,
    config: DeploymentConfig,
    settings: dg.ResourceParam[Settings],
    intent_service: dg.ResourceParam[IntentService],
) -> dg.MaterializeResult:
    """The version that is live: named in the release file, and served where a service runs.

    Publishes the packaged version, then waits until the service at `INTENT_SERVICE_URL`, if one answers, has loaded it
    and replayed its golden requests. A release that the service refuses is taken back. What the gate has not accepted
    against the live model is not published, whoever asks.
    """
    from dagster_project.defs.evaluation.acceptance import accepted
    from dagster_project.defs.serving.deployment import deploy

    version = config.version or model_version(context.instance, "intent_bento")
    accepted(settings, version)
    release, served = deploy(settings, intent_service, version, config.reason, config.timeout_seconds)
    return dg.MaterializeResult(
        metadata={
            MODEL_VERSION: version,
            "release": release.number,
            "served": served is not None,
            "service": dg.MetadataValue.url(intent_service.address),
            "reason": release.reason,
        }
    )


@daily_asset(
    deps=["deployed_intent_service"],
    group_name="serving",
    kinds={"python", "parquet"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def served_predictions(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], tables: dg.ResourceParam[Tables]
) -> dg.MaterializeResult:
    """What the service answered: one row a prediction, by the UTC day of the event that it answered to.

    From the prediction log of the service, which drops nothing but what was not flushed before a crash.
    """
    from intent_tracking.prediction_log import prediction_batches

    rows = 0
    figures = ["confidence", "unknown_share", "text_length", "event_count"]
    shown = ["event_time", "scene", "language", "text_length", "intent", "confidence"]
    for day in days_of(context):
        rows += tables.served_predictions.write_batches(day, prediction_batches(settings.prediction_log, day))
        table = tables.served_predictions.read([day], sorted({*figures, *shown, "model_version"}))
        context.add_asset_metadata(
            {
                "dagster/partition_row_count": table.num_rows,
                **means(table.select(figures)),
                "by_intent": counts(table, "intent"),
                "by_model": counts(table, "model_version"),
                "sample": sample(table, shown),
            },
            partition_key=day.isoformat(),
        )
    return dg.MaterializeResult(metadata={"rows_in_run": rows})
