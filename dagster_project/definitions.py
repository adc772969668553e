"""Composes the code location: `dagster dev -w workspace.yaml` and `dg` load `defs` from here."""

import dagster as dg

from intent_tracking.settings import Settings, load_settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """Everything of the code location for one home directory.

    Programs that run the graph themselves take a job from it:
    `defs.resolve_job_def("ingest_job").execute_in_process(tags=range_tags(first, last), instance=instance)`.
    """
    from dagster_project.defs.features import assets as feature_assets
    from dagster_project.defs.features import checks as feature_checks
    from dagster_project.defs.features import jobs as feature_jobs
    from dagster_project.defs.ingestion import assets as ingestion_assets
    from dagster_project.defs.ingestion import checks as ingestion_checks
    from dagster_project.defs.ingestion import jobs as ingestion_jobs
    from dagster_project.defs.monitoring import alerts as monitoring_alerts
    from dagster_project.defs.serving import jobs as serving_jobs
    from dagster_project.defs.sessions import assets as session_assets
    from dagster_project.defs.sessions import checks as session_checks
    from dagster_project.defs.training import assets as training_assets
    from dagster_project.partitions import daily_from
    from dagster_project.resources.alerts import Alerts
    from dagster_project.resources.feature_store import FeastStore
    from dagster_project.resources.service import IntentService
    from dagster_project.resources.tables import Tables

    days = daily_from(settings.first_day)
    assets = dg.map_asset_specs(
        lambda spec: spec.replace_attributes(partitions_def=days) if spec.partitions_def else spec,
        dg.load_assets_from_modules([ingestion_assets, session_assets, feature_assets, training_assets]),
    )
    keys = settings.api_keys.get_secret_value().split(",") if settings.api_keys else []
    return dg.Definitions(
        assets=assets,
        asset_checks=dg.load_asset_checks_from_modules([ingestion_checks, session_checks, feature_checks]),
        jobs=[ingestion_jobs.ingest_job, feature_jobs.features_job, serving_jobs.rollback_job],
        schedules=[ingestion_jobs.daily_ingestion, feature_jobs.daily_features],
        sensors=[monitoring_alerts.failure_alert, monitoring_alerts.freshness_alert],
        resources={
            "settings": settings,
            "tables": Tables(settings.tables),
            "feature_store": FeastStore(settings.home),
            "intent_service": IntentService(settings.service_url, keys[0].strip() if keys else None),
            "alerts": Alerts(webhook=settings.alert_webhook),
        },
        # A run is one process: steps share the imports, which cost more than most of the work.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location for the settings in the environment."""
    return build_definitions(load_settings())
