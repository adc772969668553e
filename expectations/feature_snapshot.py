"""The suite of a feature snapshot, compiled from the feature declarations."""

from typing import TYPE_CHECKING

from intent_tracking.features.declaration import Entity

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite


def snapshot_suite(name: str, entity: Entity) -> "ExpectationSuite":
    """One row an entity and time, values within the bounds that each feature declares."""
    import great_expectations as gx
    import great_expectations.expectations as gxe

    from intent_tracking.features.catalogue import feature_bounds
    from intent_tracking.features.schema import CREATED_TIMESTAMP, EVENT_TIMESTAMP

    bounds = feature_bounds(entity)
    return gx.ExpectationSuite(
        name=name,
        expectations=[
            *(gxe.ExpectColumnValuesToNotBeNull(column=c) for c in (entity.key, EVENT_TIMESTAMP, CREATED_TIMESTAMP)),
            gxe.ExpectCompoundColumnsToBeUnique(column_list=[entity.key, EVENT_TIMESTAMP]),
            gxe.ExpectColumnPairValuesAToBeGreaterThanB(
                column_A=CREATED_TIMESTAMP,
                column_B=EVENT_TIMESTAMP,
                or_equal=True,
                notes="a value cannot be known before the time that it describes",
            ),
            *(gxe.ExpectColumnValuesToNotBeNull(column=b.column) for b in bounds if not b.nullable),
            *(
                gxe.ExpectColumnValuesToBeBetween(column=b.column, min_value=b.minimum, max_value=b.maximum)
                for b in bounds
                if b.minimum is not None or b.maximum is not None
            ),
        ],
    )
