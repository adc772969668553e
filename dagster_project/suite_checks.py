"""The Great Expectations suites as blocking asset checks: `<asset>_valid`."""

from collections.abc import Callable
from importlib import import_module

import dagster as dg
import pyarrow as pa

from dagster_project.metadata import rows_as_markdown
from dagster_project.partitions import days_checked
from dagster_project.resources.tables import Tables
from dagster_project.resources.validation import Verdict, validate
from intent_tracking.tables import DayTable


def verdict_result(verdict: Verdict) -> dg.AssetCheckResult:
    """The verdict as a check result; each broken expectation with its failing count and a sample in the metadata."""
    broken = [
        {
            "expectation": failure.expectation,
            "column": failure.column,
            "failing": failure.failing,
            "share": f"{failure.share:.2%}",
            "sample": failure.sample,
            "why": failure.notes,
        }
        for failure in verdict.failures
    ]
    return dg.AssetCheckResult(
        passed=verdict.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=None if verdict.passed else f"{len(broken)} of {verdict.expectations} expectations are broken",
        metadata={
            "rows": verdict.rows,
            "expectations": verdict.expectations,
            "failed_expectations": len(broken),
            **({"failures": rows_as_markdown(broken)} if broken else {}),
        },
    )


def suite_of(dataset: str, table: pa.Table) -> Verdict:
    """Hold `table` against the suite `expectations.<dataset>`."""
    return validate(table, import_module(f"expectations.{dataset}").suite())


def day_table_check(dataset: str, table_of: Callable[[Tables], DayTable]) -> dg.AssetChecksDefinition:
    """The suite of a day-partitioned dataset, over the days of the run."""

    @dg.asset_check(
        asset=dataset,
        name=f"{dataset}_valid",
        blocking=True,
        description=f"`{dataset}` meets its suite, `expectations/{dataset}.py`, on the days of the run.",
    )
    def check(context: dg.AssetCheckExecutionContext, tables: dg.ResourceParam[Tables]) -> dg.AssetCheckResult:
        table = table_of(tables)
        return verdict_result(suite_of(dataset, table.read(days_checked(context, table.days()))))

    return check
