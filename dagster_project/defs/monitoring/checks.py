"""Drift as a check that people see in the catalogue. It warns: what to do about it is the sensor's decision."""

import dagster as dg

from dagster_project.metadata import rows_as_markdown
from dagster_project.partitions import days_checked
from intent_tracking.settings import Settings


@dg.asset_check(asset="drift_report")
def drift_report_calm(
    context: dg.AssetCheckExecutionContext, settings: dg.ResourceParam[Settings]
) -> dg.AssetCheckResult:
    """No day of the run has drifted."""
    from dagster_project.defs.monitoring.windows import measured_days
    from dagster_project.resources.drift_report import read_summary

    days = days_checked(context, measured_days(settings.drift))
    found = [(day, read_summary(settings.drift / day.isoformat())) for day in days]
    drifted = [
        {"day": day, "share": f"{summary.share:.2f}", "why": summary.reason}
        for day, summary in found
        if summary.drifted
    ]
    return dg.AssetCheckResult(
        passed=not drifted,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"days": len(found), "drifted_days": len(drifted), "drifted": rows_as_markdown(drifted)},
    )
