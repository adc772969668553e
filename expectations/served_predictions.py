"""What must hold for `served_predictions`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

REQUIRED = ("prediction_id", "served_at", "kind", "scene", "confidence", "out_of_scope", "model_version")
KINDS = ("track", "intent")


def suite() -> "ExpectationSuite":
    """Each answer stands once and its probabilities are probabilities."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    from intent_tracking.events.contract import Scene

    return gx.ExpectationSuite(
        name="served_predictions",
        expectations=[
            *(gxe.ExpectColumnValuesToNotBeNull(column=column) for column in REQUIRED),
            gxe.ExpectColumnValuesToBeUnique(column="prediction_id"),
            gxe.ExpectColumnValuesToBeInSet(column="kind", value_set=list(KINDS)),
            gxe.ExpectColumnValuesToBeInSet(column="scene", value_set=[scene.value for scene in Scene]),
            *(
                gxe.ExpectColumnValuesToBeBetween(column=column, min_value=0, max_value=1)
                for column in ("confidence", "purchase_probability", "unknown_share", "non_letter_share")
            ),
            gxe.ExpectColumnValuesToBeBetween(column="text_length", min_value=0),
            gxe.ExpectColumnValuesToBeBetween(column="word_count", min_value=0),
            gxe.ExpectColumnValuesToBeBetween(column="event_count", min_value=0),
        ],
    )
