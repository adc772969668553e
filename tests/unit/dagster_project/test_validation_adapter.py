"""The adapter turns a broken expectation into something that a person can act on."""

import pyarrow as pa
import pytest

from dagster_project.resources.validation import columns_of, validate
from dagster_project.suite_checks import verdict_result

pytestmark = [
    pytest.mark.unit,
    # great_expectations 1.24 imports sre_constants, which Python 3.11 deprecates.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


def suite_of(*expectations):
    import great_expectations as gx

    return gx.ExpectationSuite(name="example", expectations=list(expectations))


def test_a_table_that_meets_its_suite_passes():
    import great_expectations.expectations as gxe

    verdict = validate(pa.table({"name": ["a", "b"]}), suite_of(gxe.ExpectColumnValuesToBeUnique(column="name")))

    assert verdict.passed
    assert (verdict.rows, verdict.expectations) == (2, 1)


def test_a_broken_expectation_names_column_count_share_and_sample():
    import great_expectations.expectations as gxe

    verdict = validate(
        pa.table({"name": ["a", "x", "a", "y"]}),
        suite_of(gxe.ExpectColumnValuesToBeInSet(column="name", value_set=["a"], notes="only a is known")),
    )

    (failure,) = verdict.failures
    assert failure.expectation == "expect_column_values_to_be_in_set"
    assert (failure.column, failure.failing, failure.share) == ("name", 2, 0.5)
    assert "x" in failure.sample
    result = verdict_result(verdict)
    assert not result.passed
    assert "only a is known" in result.metadata["failures"].md_str


def test_nested_columns_do_not_stand_in_the_way():
    import great_expectations.expectations as gxe

    table = pa.table({"name": ["a"], "items": pa.array([[{"id": "1"}]])})
    assert validate(table, suite_of(gxe.ExpectColumnValuesToNotBeNull(column="name"))).passed


def test_a_suite_reads_the_columns_that_it_names_wherever_it_names_them():
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    suite = suite_of(
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["a", "b"]),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="c", column_B="d"),
        gxe.ExpectColumnValuesToNotBeNull(column="a", row_condition=Column("e") == 1),
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
    )
    assert sorted(columns_of(suite)) == ["a", "b", "c", "d", "e"]


def test_a_suite_that_cannot_be_evaluated_is_an_error_and_no_verdict():
    import great_expectations.expectations as gxe

    with pytest.raises(RuntimeError, match="no_such_column"):
        validate(pa.table({"name": ["a"]}), suite_of(gxe.ExpectColumnValuesToNotBeNull(column="no_such_column")))
