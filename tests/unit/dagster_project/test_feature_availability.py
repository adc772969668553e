"""The training join takes a snapshot for served only when the nightly job has brought it online."""

from datetime import timedelta

import pytest

from dagster_project.defs.features.jobs import daily_features
from intent_tracking.features.batch import AVAILABLE_AFTER

pytestmark = pytest.mark.unit


def test_the_features_job_starts_before_its_snapshots_count_as_online():
    minute, hour, *_ = daily_features.cron_schedule.split()
    assert timedelta(hours=int(hour), minutes=int(minute)) < AVAILABLE_AFTER
