"""The prediction log: what was answered is there to be read, by day."""

from __future__ import annotations

import resource
import time
import tracemalloc
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.prediction_log import (
    PREDICTION_SCHEMA,
    PredictionLog,
    PredictionLogError,
    ServedPrediction,
    describe_text,
    prediction_batches,
    prediction_days,
    read_predictions,
)

pytestmark = pytest.mark.unit

MONDAY = date(2026, 3, 2)


def prediction(day: date = MONDAY, *, text: str = "where is my parcel", hour: int = 9) -> ServedPrediction:
    return ServedPrediction(
        event_time=datetime(day.year, day.month, day.day, hour, tzinfo=UTC),
        kind="track",
        session_id="s1",
        shopper_id="anonymous:a1",
        scene="customer_service",
        language="en",
        text=text,
        intent="track_order",
        confidence=0.75,
        out_of_scope=False,
        purchase_probability=0.25,
        unknown_share=0.0,
        event_count=3,
        embedding=[0.123456, -1.0],
        model_version="m1",
    )


def test_what_is_appended_can_be_read_after_close(tmp_path: Path) -> None:
    with PredictionLog(tmp_path) as log:
        log.append([prediction(hour=10), prediction(hour=9)])
    table = read_predictions(tmp_path, [MONDAY])
    assert table.schema == PREDICTION_SCHEMA
    assert [time.hour for time in table["event_time"].to_pylist()] == [9, 10]
    row = table.to_pylist()[0]
    assert row["embedding"] == pytest.approx([0.1235, -1.0])
    assert (row["intent"], row["confidence"], row["text_length"], row["word_count"]) == ("track_order", 0.75, 18, 4)
    assert row["served_at"] is not None


def test_predictions_are_written_without_close_after_the_flush_interval(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, flush_seconds=0.02) as log:
        log.append([prediction()])
        deadline = time.monotonic() + 60
        while read_predictions(tmp_path, [MONDAY]).num_rows == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_only_the_days_asked_for_are_read(tmp_path: Path) -> None:
    tuesday, wednesday = date(2026, 3, 3), date(2026, 3, 4)
    with PredictionLog(tmp_path) as log:
        log.append([prediction(MONDAY), prediction(tuesday), prediction(tuesday)])
    assert read_predictions(tmp_path, [tuesday]).num_rows == 2
    assert read_predictions(tmp_path, [MONDAY, tuesday, wednesday]).num_rows == 3
    assert read_predictions(tmp_path, [wednesday]).schema == PREDICTION_SCHEMA
    assert prediction_days(tmp_path) == [MONDAY, tuesday]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    with PredictionLog(tmp_path) as log:
        log.append([prediction(), prediction()])
    segment = next(tmp_path.glob("day=*/*.jsonl"))
    segment.write_bytes(segment.read_bytes()[:-20])
    assert read_predictions(tmp_path, [MONDAY]).num_rows == 1


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n", b'{"event_time": "tomorrow"}\n', b"[]\n"])
def test_a_whole_line_that_is_no_prediction_is_named(tmp_path: Path, line: bytes) -> None:
    with PredictionLog(tmp_path) as log:
        log.append([prediction()])
    segment = next(tmp_path.glob("day=*/*.jsonl"))
    segment.write_bytes(segment.read_bytes() + line)
    with pytest.raises(PredictionLogError, match=r"\.jsonl:2: is no prediction"):
        read_predictions(tmp_path, [MONDAY])


def test_a_missing_outcome_is_null_not_a_number(tmp_path: Path) -> None:
    without = prediction()
    with PredictionLog(tmp_path) as log:
        log.append([ServedPrediction(**{**_fields(without), "purchase_probability": float("nan")})])
    assert read_predictions(tmp_path, [MONDAY])["purchase_probability"].to_pylist() == [None]


def test_more_than_the_buffer_holds_is_dropped_and_counted(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, flush_seconds=60, max_buffered=2) as log:
        log.append([prediction()] * 5)
        assert log.dropped == 3
    assert read_predictions(tmp_path, [MONDAY]).num_rows == 2


def test_a_full_segment_is_followed_by_the_next(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, flush_seconds=60, segment_bytes=1) as log:
        for _ in range(3):
            log.append([prediction()])
            log.flush()
    assert len(list(tmp_path.glob("day=*/*.jsonl"))) == 3
    assert read_predictions(tmp_path, [MONDAY]).num_rows == 3


def test_a_disk_that_refuses_is_counted_and_said(tmp_path: Path) -> None:
    root = tmp_path / "log"
    root.write_text("a file where the folder should be")
    log = PredictionLog(root, flush_seconds=60)
    log.append([prediction()])
    with pytest.raises(OSError, match="log"):
        log.close()
    assert log.dropped == 1


def test_a_write_that_fails_half_way_spoils_nothing_that_is_written_after_it(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path, flush_seconds=60)
    log.append([prediction(hour=1)])
    log.flush()
    (segment,) = tmp_path.glob("day=*/*.jsonl")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Files may grow by half a line more: the kernel then takes a part of the block and refuses the rest.
    resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size * 3 // 2, hard))
    try:
        log.append([prediction(hour=2), prediction(hour=3)])
        with pytest.raises(OSError, match="File too large"):
            log.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not segment.read_bytes().endswith(b"\n")
    log.append([prediction(hour=4)])
    log.close()
    assert log.dropped == 2
    assert [each.hour for each in read_predictions(tmp_path, [MONDAY])["event_time"].to_pylist()] == [1, 4]


@pytest.mark.parametrize(
    ("text", "length", "words", "share"),
    [("", 0, 0, 0.0), ("ab 12", 5, 2, 0.5), ("退货 iPhone15", 11, 3, 0.2), ("?!", 2, 0, 1.0)],
)
def test_text_is_described_by_length_words_and_what_is_not_a_letter(
    text: str, length: int, words: int, share: float
) -> None:
    described = describe_text(text)
    assert (described.text_length, described.word_count) == (length, words)
    assert described.non_letter_share == pytest.approx(share)


def _fields(served: ServedPrediction) -> dict[str, object]:
    return {name: getattr(served, name) for name in ServedPrediction.__dataclass_fields__}


def write_lines(root: Path, rows: list[dict[str, Any]], segments: int) -> None:
    """`rows` as the service would have logged them, dealt out over `segments` files."""
    folder = root / f"day={MONDAY.isoformat()}"
    folder.mkdir(parents=True)
    for number in range(segments):
        lines = [orjson.dumps(row, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n" for row in rows[number::segments]]
        (folder / f"{number:04d}.jsonl").write_bytes(b"".join(lines))


@settings(max_examples=30)
@given(
    hours=st.lists(st.integers(0, 23), max_size=12),
    segments=st.integers(1, 4),
    at_a_time=st.integers(1, 5),
)
def test_batches_of_any_size_hold_the_day_in_its_order(hours: list[int], segments: int, at_a_time: int) -> None:
    rows = [prediction(hour=hour).as_row(datetime(2026, 3, 2, tzinfo=UTC)) for hour in hours]
    with TemporaryDirectory() as folder:
        write_lines(Path(folder), rows, segments)
        batches = list(prediction_batches(Path(folder), MONDAY, at_a_time))

    assert all(batch.schema == PREDICTION_SCHEMA and 0 < batch.num_rows <= at_a_time for batch in batches)
    found = [row for batch in batches for row in batch.to_pylist()]
    assert [row["prediction_id"] for row in found] == [
        row["prediction_id"] for row in sorted(rows, key=lambda row: (row["event_time"], row["prediction_id"]))
    ]


def test_a_day_is_read_without_holding_its_embeddings(tmp_path: Path) -> None:
    """A day of a million answers was fifteen gigabytes of Python numbers before the first row was written."""
    row = {**prediction().as_row(datetime(2026, 3, 2, tzinfo=UTC)), "embedding": np.ones(384, np.float32)}
    write_lines(tmp_path, [{**row, "prediction_id": f"{number:032d}"} for number in range(300)], 2)
    tracemalloc.start()
    try:
        rows = sum(batch.num_rows for batch in prediction_batches(tmp_path, MONDAY, 10))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 300
    assert peak < 1e6  # the rows as Python objects: 4.5 MB
