"""What must hold for `training_examples`."""

from typing import TYPE_CHECKING

from expectations.sessions import LANGUAGES

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

REQUIRED = ("example_id", "text", "scene", "language", "weight", "kind", "split", "time")
KINDS = ("annotated", "behaviour", "utterance")
SPLITS = ("train", "validation", "test")


def suite() -> "ExpectationSuite":
    """Examples are unique, lie in one split, and teach an intent, an outcome or both."""
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    from intent_tracking.sessions.vocabulary import SCENE_NAME

    return gx.ExpectationSuite(
        name="training_examples",
        expectations=[
            gxe.ExpectTableRowCountToBeBetween(min_value=1, notes="nothing to learn from: ingest days first"),
            *(gxe.ExpectColumnValuesToNotBeNull(column=column) for column in REQUIRED),
            gxe.ExpectColumnValuesToBeUnique(column="example_id"),
            gxe.ExpectColumnValuesToMatchRegex(column="scene", regex=f"^{SCENE_NAME}$"),
            gxe.ExpectColumnValuesToBeInSet(column="language", value_set=list(LANGUAGES)),
            gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=list(KINDS)),
            gxe.ExpectColumnValuesToBeInSet(column="split", value_set=list(SPLITS)),
            gxe.ExpectColumnDistinctValuesToContainSet(column="split", value_set=list(SPLITS)),
            gxe.ExpectColumnValuesToBeBetween(column="weight", min_value=0, strict_min=True),
            gxe.ExpectColumnValueLengthsToBeBetween(column="text", min_value=1),
            gxe.ExpectColumnValuesToNotBeNull(
                column="outcome", row_condition=Column("intent").is_null(), notes="an example teaches something"
            ),
        ],
    )
