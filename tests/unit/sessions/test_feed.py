"""The tape of newest answers: order, limits, what a reader is told, and what is gone from the file."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from intent_tracking.sessions.feed import Moment, SessionFeed

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def moments(*names: str, shopper: str = "ann", at: datetime = NOW) -> list[Moment]:
    return [Moment(at, shopper, name.encode()) for name in names]


@pytest.fixture
def feed(tmp_path: Path) -> SessionFeed:
    return SessionFeed(tmp_path / "feed.sqlite", max_moments=5)


def test_a_reader_goes_on_where_it_stopped(feed: SessionFeed) -> None:
    feed.append(moments("a", "b", "c"))
    first = feed.read(None, 2)
    assert first.moments == ((2, b"b"), (3, b"c"))
    assert first.position == 3
    assert feed.read(3, 10).moments == ()
    assert feed.read(3, 10).position == 3
    feed.append(moments("d"))
    assert feed.read(3, 10).moments == ((4, b"d"),)


def test_an_empty_tape_has_a_place_to_wait_at(feed: SessionFeed) -> None:
    waiting = feed.read(None, 10)
    assert (waiting.moments, waiting.position) == ((), 0)
    feed.append(moments("a"))
    assert feed.read(waiting.position, 10).moments == ((1, b"a"),)


def test_a_slow_reader_learns_how_much_it_missed(feed: SessionFeed) -> None:
    feed.append(moments("a"))
    position = feed.read(None, 10).position
    feed.append(moments(*"bcdefgh"))
    late = feed.read(position, 10)
    assert [body for _, body in late.moments] == [b"d", b"e", b"f", b"g", b"h"]
    assert late.missed == 2
    assert not late.reset


def test_a_tape_that_begins_anew_says_so(feed: SessionFeed) -> None:
    feed.append(moments("a"))
    again = feed.read(900, 10)
    assert again.reset
    assert again.moments == ((1, b"a"),)
    assert again.missed == 0


def test_workers_share_one_tape(tmp_path: Path, feed: SessionFeed) -> None:
    program = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC\n"
        "from intent_tracking.sessions.feed import Moment, SessionFeed\n"
        "feed = SessionFeed(Path(sys.argv[1]))\n"
        "feed.append([Moment(datetime.now(UTC), 'bob', b'from another process')]); feed.close()"
    )
    feed.append(moments("a"))
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "feed.sqlite")], check=True, timeout=240)
    feed.append(moments("b"))
    assert [body for _, body in feed.read(0, 10).moments] == [b"a", b"from another process", b"b"]


def test_a_new_file_that_another_process_is_about_to_make_is_waited_for(tmp_path: Path) -> None:
    """Of two workers that started on a new home one ended: SQLite does not wait while it holds a lock already."""
    path = tmp_path / "feed.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.3, other.execute, ["COMMIT"]).start()
    feed = SessionFeed(path)
    feed.append(moments("a"))
    assert [body for _, body in feed.read(0, 10).moments] == [b"a"]
    feed.close()
    other.close()


def test_an_erased_shopper_is_gone_from_the_file_and_numbers_go_on(tmp_path: Path, feed: SessionFeed) -> None:
    feed.append(moments("words of bob", shopper="bob") + moments("words of ann"))
    feed.append(moments("more of bob", shopper="anonymous:tablet"))
    assert feed.erase(["bob", "anonymous:tablet", "nobody"]) == 2
    assert [body for _, body in feed.read(0, 10).moments] == [b"words of ann"]
    feed.append(moments("later"))
    assert feed.read(3, 10).moments == ((4, b"later"),)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"words of ann" in written
    assert b"of bob" not in written


def test_old_moments_are_forgotten(feed: SessionFeed) -> None:
    feed.append(moments("old", at=NOW - timedelta(days=8)) + moments("new"))
    assert feed.expire(NOW - timedelta(days=7)) == 1
    assert [body for _, body in feed.read(0, 10).moments] == [b"new"]


def test_moments_up_to_an_erasure_are_gone_from_the_file_and_later_ones_stay(tmp_path: Path, feed: SessionFeed) -> None:
    feed.append(moments("early of bob", shopper="bob") + moments("words of ann"))
    feed.append(moments("late of bob", shopper="bob", at=NOW + timedelta(hours=1)))
    assert feed.forget(lambda shopper, at: shopper == "bob" and at <= NOW) == 1
    assert [body for _, body in feed.read(0, 10).moments] == [b"words of ann", b"late of bob"]
    assert b"early of bob" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_a_feed_that_does_not_open_says_so_with_each_use_until_it_does(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file where a folder should be")
    feed = SessionFeed(tmp_path / "folder" / "feed.sqlite")
    for _ in range(2):
        with pytest.raises(sqlite3.Error, match="folder"):
            feed.append(moments("a"))
    (tmp_path / "folder").unlink()
    feed.append(moments("b"))
    assert feed.read(0, 10).moments == ((1, b"b"),)
    feed.close()
