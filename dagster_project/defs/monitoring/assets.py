"""Is today's traffic still what the live model learned from?"""

import dagster as dg
from pydantic import Field

from dagster_project.metadata import rows_as_markdown
from dagster_project.partitions import TABLES_POOL, daily_asset, days_of
from dagster_project.resources.tables import Tables
from intent_tracking.settings import Settings

OWNERS = ["team:machine-learning"]


class DriftConfig(dg.Config):
    """How drift is measured; see `intent_tracking.evaluation.drift_sample.DriftPolicy`."""

    reference_days: int = Field(default=7, ge=1, description="First days of the live model that are its normal.")
    sample_size: int = Field(default=500, description="Sessions drawn from each side.")
    min_samples: int = Field(default=200, description="Fewer sessions than this give no verdict.")
    min_columns: int = Field(default=2, description="Drifted columns that make a drifted day.")
    calibration_draws: int = Field(default=20, ge=0, description="Pairs without drift that measure the false alarms.")
    min_labels: int = Field(default=50, description="Labelled sessions that performance drift needs on each side.")


@daily_asset(
    deps=["served_predictions"],
    group_name="monitoring",
    kinds={"evidently", "python"},
    owners=OWNERS,
    pool=TABLES_POOL,
)
def drift_report(
    context: dg.AssetExecutionContext,
    config: DriftConfig,
    settings: dg.ResourceParam[Settings],
    tables: dg.ResourceParam[Tables],
) -> dg.MaterializeResult:
    """Whether the traffic of a UTC day differs from what the live model saw first: one report a day in `drift/<day>/`.

    From `served_predictions`: categories, numbers, text descriptors, unknown words, embedding, mix of predictions and
    confidence, each with its method and threshold; and the accuracy, where people's labels have arrived.
    """
    from dagster_project.defs.monitoring.measure import measure_day

    drifted = 0
    for day in days_of(context):
        summary, folder = measure_day(settings, tables, day, config)
        drifted += summary.drifted
        columns: list[dict[str, object]] = [
            {
                "column": column.name,
                "kind": column.kind,
                "method": column.method,
                "statistic": f"{column.statistic:.3f}",
                "threshold": f"{column.threshold:.3f}",
                "q": f"{column.q_value:.3f}",
                "drifted": column.drifted,
            }
            for column in sorted(summary.columns, key=lambda column: -column.statistic / column.threshold)
        ]
        performance = summary.performance
        context.add_asset_metadata(
            {
                "drifted": summary.drifted,
                "enough_samples": summary.enough,
                "reason": summary.reason,
                "drift_share": summary.share,
                "sessions": summary.current_size,
                "reference_sessions": summary.reference_size,
                "live_model": summary.model_version or "unknown",
                "columns": rows_as_markdown(columns),
                "report": dg.MetadataValue.path(folder / "report.html"),
                **({"false_alarm_rate": summary.false_alarm_rate} if summary.false_alarm_rate is not None else {}),
                **(
                    {"accuracy_by_labels": performance.current_accuracy}
                    if performance is not None and performance.current_accuracy is not None
                    else {}
                ),
            },
            partition_key=day.isoformat(),
        )
    return dg.MaterializeResult(metadata={"drifted_days_in_run": drifted})
