"""Great Expectations behind one function: a table and a suite in, a verdict that a person can act on out."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite
    from great_expectations.core.batch_definition import BatchDefinition

SAMPLE = 5


@dataclass(frozen=True)
class Failure:
    """One expectation that the table does not meet."""

    expectation: str
    column: str
    failing: int
    share: float  # of the rows that the expectation looks at, 0..1
    sample: str
    notes: str


@dataclass(frozen=True)
class Verdict:
    """What a suite says about a table."""

    suite: str
    rows: int
    expectations: int
    failures: tuple[Failure, ...]

    @property
    def passed(self) -> bool:
        """Whether every expectation is met."""
        return not self.failures


@cache
def _batch_definition() -> "BatchDefinition[Any]":
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = gx.get_context(mode="ephemeral", project_config=config)
    return (
        context.data_sources.add_pandas("tables")
        .add_dataframe_asset("table")
        .add_batch_definition_whole_dataframe("all")
    )


def columns_of(suite: "ExpectationSuite") -> list[str]:
    """The columns that `suite` names, each once: all that has to be read to hold a table against it."""
    named: dict[str, None] = {}
    for expectation in suite.expectations:
        given = [getattr(expectation, name, None) for name in ("column", "column_A", "column_B")]
        condition = getattr(expectation, "row_condition", None)
        given += [*(getattr(expectation, "column_list", None) or ()), condition and condition.column.name]
        named |= dict.fromkeys(str(name) for name in given if name)
    return list(named)


def _failure(result: Mapping[str, Any]) -> Failure:
    config, found = result["expectation_config"], result["result"]
    kwargs = config["kwargs"]
    column = kwargs.get("column") or ", ".join(
        str(kwargs[name]) for name in ("column_A", "column_B", "column_list", "column_set") if name in kwargs
    )
    rows = found.get("element_count", 0) - found.get("missing_count", 0)
    failing = found.get("unexpected_count", 0)
    sample = found.get("partial_unexpected_list") or found.get("observed_value", "")
    return Failure(
        expectation=config["type"],
        column=column,
        failing=failing,
        share=failing / rows if rows else 0.0,
        sample=str(sample[:SAMPLE] if isinstance(sample, list) else sample),
        notes=str(config.get("notes") or ""),
    )


def validate(table: pa.Table, suite: "ExpectationSuite") -> Verdict:
    """Hold `table` against `suite`, which sees of its columns those alone that it names.

    Raises:
        RuntimeError: an expectation could not be evaluated, which is a fault of the suite and not of the data.
    """
    named = set(columns_of(suite))
    seen = table.select([name for name in table.column_names if name in named])
    batch = _batch_definition().get_batch(batch_parameters={"dataframe": seen.to_pandas()})
    result = batch.validate(suite, result_format={"result_format": "BASIC", "partial_unexpected_count": SAMPLE})
    results = [entry.to_json_dict() for entry in result.results]
    for entry in results:
        info = entry["exception_info"]
        for raised in [info] if "raised_exception" in info else info.values():
            if raised["raised_exception"]:
                raise RuntimeError(
                    f"suite {suite.name}: {entry['expectation_config']['type']} on "
                    f"{entry['expectation_config']['kwargs']} raised: {raised['exception_message']}"
                )
    failures = tuple(_failure(entry) for entry in results if not entry["success"])
    return Verdict(suite=suite.name, rows=table.num_rows, expectations=len(results), failures=failures)
