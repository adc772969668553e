from pathlib import Path

import pytest

from intent_tracking.client.errors import OutboxError, OutboxFullError
from intent_tracking.client.outbox import DiskOutbox, MemoryOutbox, Outbox

pytestmark = pytest.mark.unit


def lines(begin: int, end: int) -> list[bytes]:
    return [f"line {number:04d}".encode() for number in range(begin, end)]


def drained(outbox: Outbox, most: int = 7) -> list[bytes]:
    found: list[bytes] = []
    while batch := outbox.oldest(most):
        found += batch
        outbox.remove(len(batch))
    return found


@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_lines_come_out_in_the_order_they_went_in_while_more_go_in(kind: str, tmp_path: Path) -> None:
    outbox: Outbox = MemoryOutbox(10_000) if kind == "memory" else DiskOutbox(tmp_path, 10_000, segment_bytes=64)
    for line in lines(0, 50):
        outbox.append(line)
    first = outbox.oldest(3)
    outbox.remove(3)
    for line in lines(50, 60):
        outbox.append(line)
    assert len(outbox) == 57
    assert [*first, *drained(outbox)] == lines(0, 60)
    assert (len(outbox), outbox.oldest(5)) == (0, ())
    outbox.append(b"again")
    assert outbox.oldest(5) == ([b"again"] if kind == "disk" else (b"again",))
    outbox.close()


def test_a_folder_is_taken_over_at_the_position_of_the_last_delivery(tmp_path: Path) -> None:
    first = DiskOutbox(tmp_path, 10_000, segment_bytes=64)
    for line in lines(0, 30):
        first.append(line)
    first.oldest(4)
    first.remove(4)
    first.close()
    second = DiskOutbox(tmp_path, 10_000, segment_bytes=64)
    assert len(second) == 26
    second.append(b"new")
    assert drained(second) == [*lines(4, 30), b"new"]
    second.close()
    third = DiskOutbox(tmp_path, 10_000)
    assert len(third) == 0
    third.close()


def test_delivered_files_are_removed(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path, 100_000, segment_bytes=64)
    for line in lines(0, 200):
        outbox.append(line)
    assert len(list(tmp_path.glob("*.jsonl"))) > 20
    drained(outbox)
    assert list(tmp_path.glob("*.jsonl")) == []
    outbox.close()


def test_a_line_that_a_kill_cut_short_is_not_read_and_spoils_no_other(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path, 10_000)
    outbox.append(b"whole")
    outbox.close()
    (segment,) = tmp_path.glob("*.jsonl")
    segment.write_bytes(segment.read_bytes() + b"cut sh")
    again = DiskOutbox(tmp_path, 10_000)
    again.append(b"next")
    assert drained(again) == [b"whole", b"next"]
    again.close()


def test_a_damaged_position_sends_everything_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = DiskOutbox(tmp_path, 10_000)
    for line in lines(0, 5):
        outbox.append(line)
    outbox.remove(2)
    outbox.close()
    (tmp_path / "position.json").write_bytes(b"")
    again = DiskOutbox(tmp_path, 10_000)
    assert drained(again) == lines(0, 5)
    assert "sent again" in caplog.text
    again.close()


def test_files_that_somebody_removed_are_an_error_and_not_the_end(tmp_path: Path) -> None:
    outbox = DiskOutbox(tmp_path, 10_000)
    outbox.append(b"one")
    (segment,) = tmp_path.glob("*.jsonl")
    segment.unlink()
    with pytest.raises(OutboxError, match="1 events that waited here are gone"):
        outbox.oldest(5)
    assert outbox.oldest(5) == ()
    outbox.close()


def test_what_was_there_before_counts_against_the_limit(tmp_path: Path) -> None:
    first = DiskOutbox(tmp_path, 100)
    first.append(b"x" * 80)
    first.close()
    second = DiskOutbox(tmp_path, 100)
    with pytest.raises(OutboxFullError, match="81 bytes of events wait"):
        second.append(b"x" * 20)
    second.remove(1)
    second.append(b"x" * 20)
    assert len(second) == 1
    second.close()
