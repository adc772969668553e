"""What must hold for `user_features`."""

from typing import TYPE_CHECKING

from expectations.feature_snapshot import snapshot_suite
from intent_tracking.features.declaration import Entity

if TYPE_CHECKING:
    from great_expectations import ExpectationSuite


def suite() -> "ExpectationSuite":
    """The bounds of the features that describe one user."""
    return snapshot_suite("user_features", Entity.USER)
