"""What must hold for `validated_events`: the event contract of `docs/event-schema.md`, seen on the table."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite

REQUIRED = (
    "event_id",
    "event_name",
    "event_time",
    "received_time",
    "shopper_id",
    "source",
    "scene",
    "schema_version",
    "source_file",
    "source_line",
)


def suite() -> "ExpectationSuite":
    """Events are unique, placed in time, named by the contract and carry what their name requires."""
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    from intent_tracking.events.contract import REQUIRED_PARAM, EventName, Scene

    return gx.ExpectationSuite(
        name="validated_events",
        expectations=[
            *(gxe.ExpectColumnValuesToNotBeNull(column=column) for column in REQUIRED),
            gxe.ExpectColumnValuesToBeUnique(column="event_id", notes="a duplicate is counted, not kept"),
            gxe.ExpectColumnValuesToBeInSet(column="event_name", value_set=[name.value for name in EventName]),
            gxe.ExpectColumnValuesToBeInSet(column="scene", value_set=[scene.value for scene in Scene]),
            *(
                gxe.ExpectColumnValuesToNotBeNull(
                    column=column, row_condition=Column("event_name") == event.value, notes=f"{event} needs {column}"
                )
                for event, column in REQUIRED_PARAM.items()
            ),
            gxe.ExpectColumnValuesToNotBeNull(
                column="currency", row_condition=Column("value").is_not_null(), notes="value needs a currency"
            ),
            gxe.ExpectColumnValuesToMatchRegex(column="currency", regex="^[A-Z]{3}$", notes="ISO 4217"),
            gxe.ExpectColumnValueLengthsToBeBetween(column="text", min_value=1),
            gxe.ExpectColumnValueLengthsToBeBetween(column="search_term", min_value=1),
            gxe.ExpectColumnValuesToBeBetween(column="source_line", min_value=1),
            gxe.ExpectColumnValuesToBeBetween(column="record_count", min_value=1),
        ],
    )
