"""Which days a training set covers."""

from datetime import UTC, date, datetime, timedelta

import pytest

from dagster_project.defs.training.examples import TrainingWindowError, training_window

pytestmark = pytest.mark.unit

WRITTEN = [date(2026, 3, 1) + timedelta(days=n) for n in range(20)]


def test_it_ends_with_the_newest_day_that_no_late_event_can_change():
    window = training_window(WRITTEN, until=None, window_days=10)
    assert (window.first, window.last) == (date(2026, 3, 8), date(2026, 3, 17))
    assert len(window.days) == 10
    assert window.end == datetime(2026, 3, 18, tzinfo=UTC)


def test_a_younger_end_is_refused_with_the_day_that_can_be_given():
    with pytest.raises(TrainingWindowError, match="give 2026-03-17 or earlier"):
        training_window(WRITTEN, until=date(2026, 3, 18), window_days=10)


def test_an_older_end_is_taken():
    assert training_window(WRITTEN, until=date(2026, 3, 5), window_days=3).first == date(2026, 3, 3)


def test_an_end_before_all_data_is_refused():
    with pytest.raises(TrainingWindowError, match="oldest is 2026-03-01"):
        training_window(WRITTEN, until=date(2026, 2, 1), window_days=3)


def test_no_data_at_all_is_refused_with_the_job_to_run():
    with pytest.raises(TrainingWindowError, match="ingest_job"):
        training_window([], until=None, window_days=3)
