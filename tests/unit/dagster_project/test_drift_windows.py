"""What a day is held against: a model's first days are its normal, weekdays included, and a lasting drift is not."""

from datetime import UTC, date, datetime, timedelta
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from dagster_project.defs.monitoring.measure import read_compared
from dagster_project.defs.monitoring.windows import has_passed, reference_of
from dagster_project.resources.drift_report import SUMMARY_FILE
from dagster_project.resources.tables import Tables
from intent_tracking.evaluation.drift import Calibration, DriftSummary, calibrate, drift_decision
from intent_tracking.evaluation.drift_sample import DriftPolicy
from intent_tracking.evaluation.report import write_report
from intent_tracking.settings import Settings
from tests.fakes.prediction_tables import START, served

pytestmark = pytest.mark.unit

FIRST = START.date()
SATURDAY = 5
# p-values as coarse as two drifted columns of sixteen allow: what is at stake is which days are in the reference.
POLICY = DriftPolicy(permutations=299)


def window(number: int, verdict: str, left_out: dict[str, str] | None = None) -> DriftSummary:
    """The window of day `number`: `D` drifted, `.` calm, `?` without a verdict."""
    start = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=UTC) + timedelta(days=number)
    end, enough, drifted = start + timedelta(days=1), verdict != "?", verdict == "D"
    return DriftSummary(start, end, "v1", enough, drifted, "", 0.0, 500, 500, (), left_out or {})


@pytest.mark.parametrize(
    ("verdicts", "passed"),
    [
        ("D", False),
        ("DD.", False),
        ("DD..", True),
        ("DDDDD..", True),  # five working days after a first weekend
        ("D.?.", True),
        ("D.D.D.D.", False),
        ("DDDDDD.DDDDDD.", False),  # a lasting drift, missed one day a week
        ("DDDDDDDD..", False),  # over, but not within a week
    ],
)
def test_a_drift_has_passed_when_two_days_in_a_row_within_a_week_are_calm(verdicts: str, passed: bool) -> None:
    history = [window(number, verdict) for number, verdict in enumerate(verdicts)]
    assert has_passed(FIRST, history) is passed


def test_calm_against_the_answers_of_another_model_is_no_sign_that_a_drift_has_passed() -> None:
    other = {"intent": "answered by another model version"}
    assert not has_passed(FIRST, [window(0, "D"), window(1, ".", other), window(2, ".", other)])


def day_of_the_week(number: int, drift: float = 0.0) -> pa.Table:
    """A day of a shop whose weekends have longer visits and other scenes, week after week."""
    table = served(220, seed=number, day=number, drift=drift)
    if (FIRST + timedelta(days=number)).weekday() < SATURDAY:
        return table
    generator = np.random.default_rng(number)
    campaign = {name: generator.random() < 0.25 for name in sorted(set(table["session_id"].to_pylist()))}
    scenes = [
        "marketing" if campaign[session] else scene
        for session, scene in zip(table["session_id"].to_pylist(), table["scene"].to_pylist(), strict=True)
    ]
    counts = [count + 1 for count in table["event_count"].to_pylist()]
    for name, values in (("scene", scenes), ("event_count", counts)):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    return table


class Shop:
    """Days of one model, each decided on the morning after."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tables = Tables(settings.tables)
        self._calibrations: dict[tuple[date, ...], Calibration | None] = {}

    def drifted(self, number: int, drift: float = 0.0) -> bool:
        """The verdict on a day, which is kept."""
        day, current = FIRST + timedelta(days=number), day_of_the_week(number, drift)
        self._tables.served_predictions.write(day, current)
        reference = reference_of(self._settings, self._tables, day, reference_days=7)
        complete = partial(read_compared, self._tables.served_predictions)
        days = tuple(sorted({moment.date() for moment in reference["event_time"].to_pylist()}))
        if days not in self._calibrations:
            self._calibrations[days] = (
                calibrate(reference, POLICY, draws=1, complete=complete) if len(days) >= 3 else None
            )
        calibration = self._calibrations[days]
        summary = drift_decision(reference, current, day, POLICY, calibration=calibration, complete=complete)
        write_report(self._settings.drift / day.isoformat() / SUMMARY_FILE, summary.to_dict())
        return summary.drifted


# Working days first, and the weekend first; START is a Thursday.
@pytest.mark.parametrize(("live_from", "unlike"), [(4, {9, 10}), (2, {4, 5, 6, 7, 8})])
def test_weekdays_unlike_those_that_a_model_saw_first_alarm_for_one_week_and_a_later_drift_is_found(
    tmp_path, live_from: int, unlike: set[int]
) -> None:
    """A reference of calm days alone shut out for good what it had not seen: every weekend alarmed, or every week."""
    shop = Shop(Settings(home=tmp_path, first_day=FIRST))
    alarms = {number for number in range(live_from, live_from + 14) if shop.drifted(number)}
    assert alarms == unlike
    assert all(shop.drifted(number, drift=0.4) for number in range(live_from + 14, live_from + 16))
