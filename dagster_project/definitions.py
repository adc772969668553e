"""Composes the code location: `dagster dev -w workspace.yaml` and `dg` load `defs` from here."""

import dagster as dg

from intent_tracking.settings import Settings, load_settings


def build_definitions(settings: Settings) -> dg.Definitions:
    """Everything of the code location for one home directory.

    Programs that run the graph themselves take a job from it:
    `defs.resolve_job_def("ingest_job").execute_in_process(tags=range_tags(first, last), instance=instance)`.
    """
    from dagster_project.defs.applications import customer_service, insights, marketing, profiles, recommendation
    from dagster_project.defs.applications import online as online_views
    from dagster_project.defs.applications import risk as risk_assets
    from dagster_project.defs.applications.jobs import (
        applications_job,
        daily_applications,
        daily_risk_lookback,
        risk_lookback_job,
    )
    from dagster_project.defs.erasure.jobs import erasure_job, erasure_sensor
    from dagster_project.defs.evaluation import assets as evaluation_assets
    from dagster_project.defs.evaluation import checks as evaluation_checks
    from dagster_project.defs.features import assets as feature_assets
    from dagster_project.defs.features import checks as feature_checks
    from dagster_project.defs.features.jobs import daily_features, features_job
    from dagster_project.defs.ingestion import assets as ingestion_assets
    from dagster_project.defs.ingestion import checks as ingestion_checks
    from dagster_project.defs.ingestion.jobs import daily_ingestion, ingest_job
    from dagster_project.defs.monitoring import assets as monitoring_assets
    from dagster_project.defs.monitoring import checks as monitoring_checks
    from dagster_project.defs.monitoring.alerts import failure_alert, freshness_alert
    from dagster_project.defs.monitoring.jobs import daily_drift_check, drift_job
    from dagster_project.defs.monitoring.retraining import drift_sensor
    from dagster_project.defs.serving import assets as serving_assets
    from dagster_project.defs.serving import checks as serving_checks
    from dagster_project.defs.serving.jobs import rollback_job
    from dagster_project.defs.sessions import assets as session_assets
    from dagster_project.defs.sessions import checks as session_checks
    from dagster_project.defs.training import adaptation as adaptation_assets
    from dagster_project.defs.training import assets as training_assets
    from dagster_project.defs.training import checks as training_checks
    from dagster_project.defs.training import search as search_assets
    from dagster_project.defs.training.adaptation import adaptation_job
    from dagster_project.defs.training.jobs import retrain_job, search_job
    from dagster_project.partitions import daily_from
    from dagster_project.resources.alerts import Alerts
    from dagster_project.resources.feature_store import FeastStore
    from dagster_project.resources.service import IntentService
    from dagster_project.resources.tables import Tables

    days = daily_from(settings.first_day)
    # Each holds the assets of an application, and their checks.
    applications = [online_views, insights, profiles, marketing, customer_service, recommendation, risk_assets]
    assets = dg.map_asset_specs(
        lambda spec: spec.replace_attributes(partitions_def=days) if spec.partitions_def else spec,
        dg.load_assets_from_modules(
            [
                ingestion_assets,
                session_assets,
                feature_assets,
                training_assets,
                adaptation_assets,
                search_assets,
                evaluation_assets,
                serving_assets,
                monitoring_assets,
                *applications,
            ]
        ),
    )
    return dg.Definitions(
        assets=assets,
        asset_checks=dg.load_asset_checks_from_modules(
            [
                ingestion_checks,
                session_checks,
                feature_checks,
                training_checks,
                evaluation_checks,
                serving_checks,
                monitoring_checks,
                *applications,
            ]
        ),
        jobs=[
            ingest_job,
            features_job,
            retrain_job,
            adaptation_job,
            search_job,
            drift_job,
            rollback_job,
            erasure_job,
            applications_job,
            risk_lookback_job,
        ],
        schedules=[daily_ingestion, daily_features, daily_drift_check, daily_applications, daily_risk_lookback],
        sensors=[drift_sensor, erasure_sensor, failure_alert, freshness_alert],
        resources={
            "settings": settings,
            "tables": Tables(settings.tables),
            "feature_store": FeastStore(settings.home),
            "intent_service": IntentService(settings.service_url, settings.keys[0] if settings.keys else None),
            "alerts": Alerts(webhook=settings.alert_webhook),
        },
        # A run is one process: steps share the imports, which cost more than most of the work.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The code location for the settings in the environment."""
    return build_definitions(load_settings())
