"""The rules of recommendations in a file of the shop: read, refused, and followed while the service runs."""

from __future__ import annotations

import os
import re
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from intent_tracking.applications.recommendation.rules import LiveRules, RulesError, read_rules, shipped_rules

pytestmark = pytest.mark.unit


def test_the_file_of_the_shop_takes_the_place_of_shipped_entries(tmp_path: Path) -> None:
    file = tmp_path / "recommendation.yaml"
    assert read_rules(file) == shipped_rules()
    file.write_text("out_of_stock: [left-1]\nstrategy_of_intent: {hires_a_boat: discover}\n")
    read = read_rules(file)
    assert read.out_of_stock == {"left-1"}
    assert (read.strategy_for("hires_a_boat"), read.strategy_for("purchase")) == ("discover", "usual")
    assert read.strategies == shipped_rules().strategies


def test_ids_and_names_are_the_text_that_stands_in_the_file(tmp_path: Path) -> None:
    # Cause: YAML reads 0123 as 83 and NO as false, which is no text: the whole file, recalls included, was refused.
    file = tmp_path / "recommendation.yaml"
    file.write_text(
        "out_of_stock: [85123, 0123, 1e5, 2026-01-02]\nexclude: {items: [RECALLED-1], brands: [NO, 47]}\n"
        "boost: {items: {0123: 2}}\nprice: {least: 0.5, most:}\nleast_shoppers: 2\n"
    )
    read = read_rules(file)
    assert read.out_of_stock == {"85123", "0123", "1e5", "2026-01-02"}
    assert (read.exclude.items, read.exclude.brands) == ({"RECALLED-1"}, {"NO", "47"})
    assert (read.boost.items, read.price.least, read.price.most) == ({"0123": 2.0}, 0.5, None)
    assert read.least_shoppers == 2


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prize: {}", "prize"),
        ("default_strategy: best", "strategies best are named and not declared"),
        ("price: {least: cheap}", "price.least: must be a number"),
        ("out_of_stock: left-1", "out_of_stock: must be a list"),
        ("boosts: {}", "boosts: is no field that is known here"),
        ("[1, 2]", "holds no entries"),
        ("a: [", "no YAML"),
    ],
)
def test_a_file_of_rules_that_is_wrong_names_the_entry(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "recommendation.yaml"
    file.write_text(text)
    with pytest.raises(RulesError, match=re.escape(complaint)):
        read_rules(file)


def test_rules_are_followed_and_a_broken_file_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "recommendation.yaml"
    live = LiveRules(file)
    assert live.current() is shipped_rules()
    file.write_text("out_of_stock: [left-1]")
    assert live.current().out_of_stock == {"left-1"}
    file.write_text("out_of_stock: left-1, left-2")
    assert live.current().out_of_stock == {"left-1"}
    assert "a file of rules of recommendations is refused" in caplog.text
    file.unlink()
    file.mkdir()  # no file that can be read
    assert live.current().out_of_stock == {"left-1"}


def test_a_file_that_is_broken_from_the_start_is_not_taken_for_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Cause: after a restart the shipped rules held, by which nothing is excluded.
    file = tmp_path / "recommendation.yaml"
    file.write_text("exclude: {items: [RECALLED-1]}\nprize: 3\n")
    live = LiveRules(file)
    for _ in range(2):
        with pytest.raises(RulesError, match="prize"):
            live.current()
    assert len(caplog.records) == 1
    file.write_text("exclude: {items: [RECALLED-1]}\n")
    assert live.current().exclude.items == {"RECALLED-1"}


def test_a_file_is_read_once_until_it_changes_also_where_it_is_broken(tmp_path: Path) -> None:
    # Cause: a long file that was broken from the start was parsed at every request.
    file = tmp_path / "recommendation.yaml"
    live = LiveRules(file)
    for written, same_stamp in (
        ("least_shopper: 1\n", "least_shoppers: 1"),
        ("least_shoppers: 33", "least_shoppers: 44"),
    ):
        file.write_text(written)
        found = file.stat()
        first = read_or_refused(live)
        file.write_text(same_stamp)
        os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))
        assert read_or_refused(live) == first
    assert first == 33


def test_a_file_that_could_not_be_opened_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "recommendation.yaml"
    file.write_text("least_shoppers: 1\n")
    live = LiveRules(file)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        refused = [read_or_refused(live) for _ in range(2)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert refused == [f"{file}: cannot be read: Too many open files"] * 2
    assert len(caplog.records) == 1
    assert live.current().least_shoppers == 1


def read_or_refused(live: LiveRules) -> int | str:
    try:
        return live.current().least_shoppers
    except RulesError as error:
        return str(error)


def test_while_one_thread_reads_the_others_go_on_with_the_rules_before(tmp_path: Path) -> None:
    file = tmp_path / "recommendation.yaml"
    live = LiveRules(file)
    before = live.current()
    os.mkfifo(file)  # read as slowly as it is written
    with ThreadPoolExecutor(1) as threads:
        reads = threads.submit(live.current)
        with file.open("w") as writing:  # opens when the other end is open
            assert live.current() is before
            writing.write("out_of_stock: [left-1]\n")
        assert reads.result(30).out_of_stock == {"left-1"}
