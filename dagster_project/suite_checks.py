"""The Great Expectations suites as blocking asset checks: `<asset>_valid`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa

from dagster_project.metadata import rows_as_markdown
from dagster_project.partitions import days_checked
from dagster_project.resources.tables import Tables
from dagster_project.resources.validation import Verdict, columns_of, validate
from intent_tracking.tables import DayTable

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite


def verdict_result(verdict: Verdict) -> dg.AssetCheckResult:
    """The verdict as a check result; each broken expectation with its failing count and a sample in the metadata."""
    return _result([verdict], _broken(verdict))


def days_result(verdicts: Mapping[date, Verdict]) -> dg.AssetCheckResult:
    """The verdicts of days as one check result: passed where each day is; what is broken stands with its day."""
    broken = [{"day": day, **row} for day, verdict in verdicts.items() for row in _broken(verdict)]
    return _result(verdicts.values(), broken)


def suite_of(dataset: str, table: pa.Table) -> Verdict:
    """Hold `table` against the suite `expectations.<dataset>`."""
    return validate(table, _suite(dataset))


def day_verdicts(dataset: str, table: DayTable, days: Sequence[date]) -> dict[date, Verdict]:
    """Hold each of `days` against the suite of `dataset` by itself, one in memory at a time.

    A day is what is replaced as a whole, and what a suite speaks of: "unique" means within the day, so that the verdict
    does not depend on which other days a run has.
    """
    suite = _suite(dataset)
    columns = columns_of(suite)
    return {day: validate(table.read([day], columns), suite) for day in days}


def day_table_check(dataset: str, table_of: Callable[[Tables], DayTable]) -> dg.AssetChecksDefinition:
    """The suite of a day-partitioned dataset, over the days of the run."""

    @dg.asset_check(
        asset=dataset,
        name=f"{dataset}_valid",
        blocking=True,
        description=f"`{dataset}` meets its suite, `expectations/{dataset}.py`, on each day of the run.",
    )
    def check(context: dg.AssetCheckExecutionContext, tables: dg.ResourceParam[Tables]) -> dg.AssetCheckResult:
        table = table_of(tables)
        return days_result(day_verdicts(dataset, table, days_checked(context, table.days())))

    return check


def _suite(dataset: str) -> "ExpectationSuite":
    suite: ExpectationSuite = import_module(f"expectations.{dataset}").suite()
    return suite


def _broken(verdict: Verdict) -> list[dict[str, object]]:
    return [
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


def _result(verdicts: Iterable[Verdict], broken: Sequence[dict[str, object]]) -> dg.AssetCheckResult:
    held = list(verdicts)
    expectations = sum(verdict.expectations for verdict in held)
    return dg.AssetCheckResult(
        passed=not broken,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(broken)} of {expectations} expectations are broken" if broken else None,
        metadata={
            "rows": sum(verdict.rows for verdict in held),
            "expectations": expectations,
            "failed_expectations": len(broken),
            **({"failures": rows_as_markdown(broken)} if broken else {}),
        },
    )
