"""What must hold for `raw_events`, before anything is known about the content of a line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

REQUIRED = ("raw", "adapter", "source_file", "source_line", "record_count", "received_time")


def suite() -> "ExpectationSuite":
    """Every line is kept with the position it came from, once."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    return gx.ExpectationSuite(
        name="raw_events",
        expectations=[
            *(gxe.ExpectColumnValuesToNotBeNull(column=column) for column in REQUIRED),
            gxe.ExpectColumnValuesToBeBetween(column="source_line", min_value=1),
            gxe.ExpectColumnValuesToBeBetween(column="record_count", min_value=1),
            gxe.ExpectCompoundColumnsToBeUnique(
                column_list=["source_file", "source_line"], notes="a line that is read twice would count twice"
            ),
        ],
    )
