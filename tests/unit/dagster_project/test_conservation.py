"""Every record that was read is accounted for, on every day."""

from datetime import date

import pytest

from dagster_project.defs.ingestion.conservation import DayCount, conservation_result

pytestmark = pytest.mark.unit

WHOLE = DayCount(date(2026, 3, 1), read=10, accepted=7, duplicate=2, quarantined=1)


def test_days_that_add_up_pass_with_their_sums():
    result = conservation_result([WHOLE, WHOLE])
    assert result.passed
    assert result.metadata["read"].value == 20


@pytest.mark.parametrize("accepted", [6, 8])
def test_a_day_that_loses_or_doubles_a_record_is_named_even_where_the_sum_is_right(accepted):
    wrong = DayCount(date(2026, 3, 2), read=10, accepted=accepted, duplicate=2, quarantined=1)
    other = DayCount(date(2026, 3, 3), read=10, accepted=14 - accepted, duplicate=2, quarantined=1)
    result = conservation_result([WHOLE, wrong, other])
    assert not result.passed
    assert "2026-03-02" in result.metadata["broken_days"].md_str
    assert "2026-03-01" not in result.metadata["broken_days"].md_str


def test_a_day_without_records_has_no_quarantined_share_to_divide_by():
    assert DayCount(date(2026, 3, 1), 0, 0, 0, 0).quarantined_share == 0.0
