"""What must hold for `sessions`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

REQUIRED = ("session_id", "shopper_id", "started_at", "ended_at", "scene", "language", "purchased")
LANGUAGES = ("en", "zh")


def suite() -> "ExpectationSuite":
    """Each session stands once, has at least one event, and ends no earlier than it starts."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    from intent_tracking.events.contract import Scene

    return gx.ExpectationSuite(
        name="sessions",
        expectations=[
            *(gxe.ExpectColumnValuesToNotBeNull(column=column) for column in REQUIRED),
            gxe.ExpectColumnValuesToBeUnique(column="session_id"),
            gxe.ExpectColumnValuesToBeBetween(column="event_count", min_value=1),
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="ended_at", column_B="started_at", or_equal=True),
            gxe.ExpectColumnValuesToBeInSet(column="scene", value_set=[scene.value for scene in Scene]),
            gxe.ExpectColumnValuesToBeInSet(column="language", value_set=list(LANGUAGES)),
        ],
    )
