"""The Great Expectations suites as blocking asset checks: `<asset>_valid`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING, Final

import dagster as dg
import pyarrow as pa

from dagster_project.metadata import rows_as_markdown
from dagster_project.partitions import days_checked
from dagster_project.resources.tables import Tables
from dagster_project.resources.validation import Verdict, columns_of, validate
from intent_tracking.tables import DayTable

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

# Of validation most is spent on each call: a year of a small shop is some calls, a day of a large one is one.
ROWS_TOGETHER: Final = 50_000


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
    """Hold each of `days` against the suite of `dataset` by itself.

    A day is what is replaced as a whole, and what a suite speaks of: "unique" means within the day, so that the verdict
    does not depend on which other days a run has. What is true of every row of several days is true of each day: small
    days are looked at together, and one by one where something is broken.
    """
    suite = _suite(dataset)
    strict = _of_every_row(suite)
    verdicts: dict[date, Verdict] = {}
    for part in _parts(table, days, columns_of(suite), ROWS_TOGETHER if strict else 0):
        together = validate(pa.concat_tables(part.values()), strict) if strict and len(part) > 1 else None
        for day, rows in part.items():
            alone = together if together and together.passed else validate(rows, suite)
            verdicts[day] = replace(alone, rows=rows.num_rows)
    return verdicts


def _of_every_row(suite: "ExpectationSuite") -> "ExpectationSuite | None":
    """`suite` without a share of rows that may break it; None where it speaks of more than rows, such as their number.

    A table that meets it meets `suite` in each of its parts.
    """
    import great_expectations as gx

    if any(getattr(each, "mostly", None) is None for each in suite.expectations):
        return None
    return gx.ExpectationSuite(
        name=suite.name, expectations=[each.copy(update={"mostly": 1}) for each in suite.expectations]
    )


def _parts(table: DayTable, days: Sequence[date], columns: list[str], most: int) -> Iterator[dict[date, pa.Table]]:
    """The days in turn, as many at once as have together fewer than `most` rows, at least one."""
    part: dict[date, pa.Table] = {}
    for day in days:
        rows = table.read([day], columns)
        if part and sum(each.num_rows for each in part.values()) + rows.num_rows >= most:
            yield part
            part = {}
        part[day] = rows
    if part:
        yield part


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
