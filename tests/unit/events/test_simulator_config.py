"""What a simulation may be asked for."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from intent_tracking.events.simulator import FaultRates, SimulationConfig

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"days": 0}, "days"),
        ({"shoppers": 0}, "shoppers"),
        ({"first_day": -1}, "first_day"),
        ({"first_day": 30}, "later_from"),
        ({"sessions_per_day": 400_001}, "sessions_per_day"),
        ({"languages": ("en", "fr")}, "languages"),
        ({"languages": ()}, "languages"),
        ({"faults": FaultRates(duplicate=1.5)}, "FaultRates.duplicate"),
        ({"bot_sessions": 0.4, "fraud_sessions": 0.3}, "half of the sessions"),
    ],
)
def test_impossible_wishes_are_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SimulationConfig(**wrong)


def test_drift_may_be_named_by_day_or_by_date() -> None:
    by_day = SimulationConfig(start=date(2026, 3, 1), drift_from=4)
    by_date = SimulationConfig(start=date(2026, 3, 1), drift_from=date(2026, 3, 5))
    assert by_day.drift_day == by_date.drift_day == 4
    assert [by_date.period(day) for day in (3, 4)] == ["early", "drift"]


def test_the_later_wording_takes_the_last_three_tenths() -> None:
    config = SimulationConfig(days=30)
    assert [day for day in range(30) if config.period(day) == "later"] == list(range(21, 30))


def test_a_continued_stretch_keeps_the_later_wording_where_it_began() -> None:
    config = SimulationConfig(days=30).continued(7, drift_from=32)
    assert (config.first_day, config.last_day, config.later_day) == (30, 36, 21)
    assert [config.period(day) for day in (30, 31, 32)] == ["later", "later", "drift"]
