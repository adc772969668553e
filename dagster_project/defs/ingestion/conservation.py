"""Nothing is dropped silently: what was read is accounted for, per day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import dagster as dg

from dagster_project.metadata import rows_as_markdown


@dataclass(frozen=True)
class DayCount:
    """Records of one day, counted from the files that were written."""

    day: date
    read: int
    accepted: int
    duplicate: int
    quarantined: int

    @property
    def missing(self) -> int:
        """Records read that are neither accepted, nor a duplicate, nor quarantined; negative where some count twice."""
        return self.read - self.accepted - self.duplicate - self.quarantined

    @property
    def quarantined_share(self) -> float:
        """Quarantined records per record read, 0..1."""
        return self.quarantined / self.read if self.read else 0.0


def conservation_result(day_counts: Sequence[DayCount]) -> dg.AssetCheckResult:
    """Passed when no day has records missing; the days that do stand in the metadata."""
    broken = [count for count in day_counts if count.missing]
    rows: list[dict[str, object]] = [
        {
            "day": count.day,
            "read": count.read,
            "accepted": count.accepted,
            "duplicate": count.duplicate,
            "quarantined": count.quarantined,
            "missing": count.missing,
        }
        for count in broken
    ]
    return dg.AssetCheckResult(
        asset_key="validated_events",
        check_name="validated_events_conserved",
        passed=not broken,
        description=f"{len(broken)} days have records unaccounted for" if broken else None,
        metadata={
            "read": sum(count.read for count in day_counts),
            "accepted": sum(count.accepted for count in day_counts),
            "duplicate": sum(count.duplicate for count in day_counts),
            "quarantined": sum(count.quarantined for count in day_counts),
            **({"broken_days": rows_as_markdown(rows)} if broken else {}),
        },
    )
