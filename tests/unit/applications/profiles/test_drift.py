"""Segments over the days, in figures and pictures."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.applications.profiles.drift import Move, population_stability, segment_drift
from intent_tracking.applications.profiles.pictures import from_mean
from intent_tracking.applications.profiles.report import write_day_report, write_segment_report
from intent_tracking.applications.profiles.segments import Segments, Trait
from intent_tracking.features.derived import USER_SEGMENT
from intent_tracking.tables import DayTable
from tests.fakes.released_applications import two_segments
from tests.fakes.shopper_groups import DAY

pytestmark = pytest.mark.unit

LATER = DAY + timedelta(days=7)
counts = st.dictionaries(st.sampled_from("abcd"), st.integers(0, 1000), min_size=1).filter(
    lambda each: any(each.values())
)


def write(table: DayTable, day, segments: dict[str, str], version: str = "v1") -> None:
    values = {
        field.name: [version if field.dtype == "string" else 0.0] * len(segments) for field in USER_SEGMENT.fields
    }
    table.write(day, USER_SEGMENT.rows(day, list(segments), values | {"segment": list(segments.values())}))


@given(counts, counts)
def test_the_index_is_symmetric_never_negative_and_nothing_for_equal_shares(before, now) -> None:
    assert population_stability(before, now) >= 0
    assert population_stability(before, now) == pytest.approx(population_stability(now, before))
    assert population_stability(before, before) == 0


def test_shares_members_that_move_and_the_index(tmp_path: Path) -> None:
    table = DayTable(tmp_path, USER_SEGMENT.table, USER_SEGMENT.schema)
    write(table, DAY, {f"u{n}": "a" if n < 50 else "b" for n in range(100)})
    write(table, LATER, {f"u{n}": "a" if n < 30 else "b" if n < 90 else "c" for n in range(10, 110)})
    drift = segment_drift(table, LATER)
    assert (drift.shoppers, drift.common) == (100, 90)
    assert drift.shares == {"b": 0.6, "a": 0.2, "c": 0.2}
    assert drift.stayed == pytest.approx((20 + 40) / 90)
    assert drift.moves == (Move("a", "b", 20), Move("b", "c", 10))
    assert drift.reading == "shifted"
    first = segment_drift(table, DAY)
    assert (first.before, first.psi, first.stayed, first.reading) == (None, None, None, "unknown")


def test_names_that_browsers_chose_are_text_in_the_reports(tmp_path: Path) -> None:
    # Cause: labels of brands were written as they came, with links and pictures of strangers.
    plain = Segments.load(two_segments(tmp_path))
    hostile = "![](http://evil) <b> | #"
    likes = Trait("brand:x", "likes", 0.5, 0.1, label=hostile)
    first = replace(plain.segments[0], name={"en": hostile, "zh": hostile}, traits=(likes,))
    segments = replace(plain, segments=(first, *plain.segments[1:]))
    page = (write_segment_report(tmp_path, segments) / "segments.md").read_text()
    table = DayTable(tmp_path / "tables", USER_SEGMENT.table, USER_SEGMENT.schema)
    write(table, LATER, {"u1": first.id, "u2": segments.ids[1]})
    write_day_report(tmp_path, table, segments, LATER)
    page += (tmp_path / "profiles" / LATER.isoformat() / "drift.md").read_text()
    assert page.count("evil") == 6  # a heading, a trait and a row in two languages
    assert page.count(r"\!\[\](http\://evil) \<b\> \| \#") == page.count("evil")


def test_reports_hold_a_picture_a_segment_and_no_shopper(tmp_path: Path) -> None:
    segments = Segments.load(two_segments(tmp_path))
    pages = write_segment_report(tmp_path, segments)
    wanted = {"segments.md", "segments.png", *(f"segment-{name}.png" for name in segments.ids)}
    assert {path.name for path in pages.iterdir()} == wanted
    text = (pages / "segments.md").read_text()
    for segment in segments.segments:
        assert all(name in text for name in segment.name.values())

    table = DayTable(tmp_path / "tables", USER_SEGMENT.table, USER_SEGMENT.schema)
    write(table, DAY, {"u1": segments.ids[0], "u2": segments.ids[1], "u3": segments.ids[1]})
    write(table, LATER, {"u1": segments.ids[0], "u2": segments.ids[0], "u3": "long-gone"}, "v2")
    drift = write_day_report(tmp_path, table, segments, LATER)
    folder = tmp_path / "profiles" / LATER.isoformat()
    assert orjson.loads((folder / "drift.json").read_bytes())["moves"][0]["shoppers"] == 1
    assert drift.stayed == pytest.approx(1 / 3, abs=1e-6)
    page = (folder / "drift.md").read_text()
    assert "long-gone" in page
    # Another model moves shoppers too, and a page that is silent about it takes them for movers.
    assert "learned again in between" in page
    assert not write_day_report(tmp_path, table, segments, DAY).is_learned_again
    assert "u1" not in page
    first = (tmp_path / "profiles" / DAY.isoformat() / "drift.md").read_text()
    assert [line.rsplit("|", 2)[1].strip() for line in first.splitlines() if "%" in line] == ["–", "–"]
    # Members of the shop's mean are nowhere: what a picture shows is what names go by.
    apart = from_mean(segments)
    for at in range(len(segments.space.features)):
        assert sum(each.share * apart[each.id][at] for each in segments.segments) == pytest.approx(0, abs=1e-6)
    assert (folder / "segments-by-day.png").stat().st_size > 5_000
