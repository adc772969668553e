from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.modeling.session_keys import labelled_sessions, session_example_id
from intent_tracking.modeling.splits import Sample, ShopperSplits, Split, Windows, split_utterance

pytestmark = pytest.mark.unit

UNTIL = datetime(2026, 2, 1, tzinfo=UTC)
_TIME = pa.timestamp("us", tz="UTC")
_VISITS = st.lists(st.tuples(st.integers(0, 12), st.integers(-3, 20 * 24)), max_size=80)


def _split(
    shoppers: list[str], times: list[datetime], windows: Windows, *, seed: int, most_held_out: int
) -> list[Split | None]:
    rows = pa.RecordBatch.from_arrays([pa.array(shoppers, pa.string()), pa.array(times, _TIME)], ["shopper_id", "time"])
    batches = [rows.slice(start, 7) for start in range(0, len(rows), 7)]
    splits = ShopperSplits.drawn(batches, windows, seed=seed, most_held_out=most_held_out)
    return splits.of(rows["shopper_id"], rows["time"])


@settings(max_examples=150)
@given(_VISITS, st.integers(0, 5), st.integers(1, 30))
def test_no_shopper_stands_on_both_sides_and_training_is_older(
    visits: list[tuple[int, int]], seed: int, most: int
) -> None:
    shoppers = [f"s{shopper}" for shopper, _ in visits]
    times = [UNTIL - timedelta(hours=hours) for _, hours in visits]
    windows = Windows.ending(UNTIL, 2, 3)
    splits = _split(shoppers, times, windows, seed=seed, most_held_out=most)
    sides = {name: {s for s, split in zip(shoppers, splits, strict=True) if split == name} for name in set(splits)}
    for one, other in (("train", "test"), ("validation", "test")):
        assert not sides.get(one, set()) & sides.get(other, set())
    for time, split in zip(times, splits, strict=True):
        if split == "train":
            assert time < windows.test_from
        if split == "validation":
            assert windows.validation_from <= time < windows.test_from
        if split == "test":
            assert windows.test_from <= time < UNTIL


def test_what_validation_does_not_need_is_trained_on_up_to_the_test_window() -> None:
    shoppers = [f"s{place}" for place in range(200)]
    times = [UNTIL - timedelta(days=1, hours=1)] * 200
    splits = _split(shoppers, times, Windows.ending(UNTIL, 1, 1), seed=0, most_held_out=1000)
    assert (splits.count("validation"), splits.count("train")) == (20, 180)


def test_held_out_shoppers_are_no_more_than_needed() -> None:
    shoppers = [f"s{place}" for place in range(100)]
    times = [UNTIL - timedelta(hours=1)] * 100
    splits = _split(shoppers, times, Windows.ending(UNTIL, 1, 1), seed=0, most_held_out=10)
    assert splits.count("test") == 10


@given(st.lists(st.integers(0, 999).map(str), max_size=40, unique=True), st.integers(0, 12))
def test_a_sample_depends_on_what_is_offered_and_not_on_its_order(names: list[str], size: int) -> None:
    one, other = Sample(size, 3), Sample(size, 3)
    for name, later in zip(names, sorted(names), strict=True):
        one.offer(name)
        other.offer(later)
    assert one.names() == other.names() <= set(names)
    assert len(one.names()) == min(size, len(names))
    assert one.offered == len(names)


def test_a_sample_takes_each_as_likely() -> None:
    sample = Sample(400, 0)
    for place in range(4000):
        sample.offer(f"session-{place}")
    drawn = sorted(int(name.removeprefix("session-")) for name in sample.names())
    assert all(60 < sum(start <= place < start + 1000 for place in drawn) < 140 for start in range(0, 4000, 1000))


@given(st.integers(0, 10**16))
def test_a_session_has_one_name_by_row_and_by_column(microseconds: int) -> None:
    cutoff = UNTIL + timedelta(microseconds=microseconds)
    row = {"session_id": "s1", "shopper_id": "u1", "kind": "session", "cutoff_time": cutoff}
    row |= {"behaviour_intent": "find", "outcome": None}
    [batch] = labelled_sessions(ds.dataset(pa.Table.from_pylist([row]).cast(pa.schema([
        ("session_id", pa.string()), ("shopper_id", pa.string()), ("kind", pa.string()), ("cutoff_time", _TIME),
        ("behaviour_intent", pa.string()), ("outcome", pa.bool_()),
    ]))), (), cutoff + timedelta(days=1))  # fmt: skip
    assert batch["example_id"].to_pylist() == [session_example_id("s1", cutoff)]


def test_an_utterance_is_on_one_side_whatever_its_case_and_spaces() -> None:
    assert split_utterance("Where is  my parcel", 3) == split_utterance("where is my parcel", 3)
    names = [split_utterance(f"text {place}", 0) for place in range(2000)]
    assert 150 < names.count("test") < 250
    assert 150 < names.count("validation") < 250


def test_negative_days_are_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative"):
        Windows.ending(UNTIL, -1, 1)
