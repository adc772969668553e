"""A file of the shop: in place of what is shipped or over it, and every mistake told with its place."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import Field

from intent_tracking.applications.shop_file import Declared, ShopFile

pytestmark = pytest.mark.unit


class Hours(Declared):
    """When the shop is open."""

    opens: int = Field(ge=0, le=23)
    closes: int = Field(ge=0, le=23)


class HoursError(ValueError):
    """The hours cannot be read."""


@pytest.fixture
def file(tmp_path: Path) -> ShopFile[Hours]:
    shipped = tmp_path / "shipped.yaml"
    shipped.write_text("opens: 8\ncloses: 20\n")
    return ShopFile(Hours, shipped, HoursError)


def test_a_missing_file_leaves_what_is_shipped(file: ShopFile[Hours], tmp_path: Path) -> None:
    missing = tmp_path / "own.yaml"
    assert file.read_over(missing) == file.read_instead(missing) == file.read_shipped() == Hours(opens=8, closes=20)


def test_an_own_file_is_read_over_or_in_place_of_the_shipped_one(file: ShopFile[Hours], tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("opens: 9\n")
    assert file.read_over(own) == Hours(opens=9, closes=20)
    with pytest.raises(HoursError, match="closes: is missing"):
        file.read_instead(own)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"opens: 24\nclose: 20\n", "opens: must be at most 23; close: is no field that is known here"),
        (b"[8, 20]", "holds no entries"),
        (b"opens: [", "is no YAML"),
        (b"\xff\xfe", "is no YAML in UTF-8"),
    ],
)
def test_every_mistake_is_told_with_the_file_and_the_one_that_shows_the_form(
    file: ShopFile[Hours], tmp_path: Path, content: bytes, told: str
) -> None:
    own = tmp_path / "own.yaml"
    own.write_bytes(content)
    with pytest.raises(HoursError) as caught:
        file.read_over(own)
    assert told in str(caught.value)
    assert str(own) in str(caught.value)


class Codes(Declared):
    """What a person types into a till."""

    codes: tuple[str, ...]
    from_hour: int | None = None
    on: bool = True
    rate: float = 1.0


def test_a_long_file_is_read_in_a_moment(tmp_path: Path) -> None:
    # Cause: PyYAML's own reader takes some 60 microseconds a line: seconds for a shop that lists what it is out of.
    own = tmp_path / "own.yaml"
    own.write_text("codes:\n" + "".join(f"  - sku-{number}\n" for number in range(2_000)))

    def read() -> Codes:
        return ShopFile(Codes, own, HoursError).read_shipped()

    assert len(read().codes) == 2_000
    # The best of three: the collector may walk what other tests left.
    took = min(processor_seconds(read) for _ in range(3))
    assert 2 * took < processor_seconds(lambda: yaml.safe_load(own.read_text()))


def processor_seconds(read: Callable[[], object]) -> float:
    """What `read` takes."""
    began = time.thread_time()
    read()
    return time.thread_time() - began


def test_a_value_is_what_the_record_says_and_not_what_it_looks_like(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("codes: [0123, 1_0, NO, 12:30, 0x1F, ~text, 'null']\nfrom_hour: ~\non: false\nrate: 1e-1\n")
    read = ShopFile(Codes, own, HoursError).read_shipped()
    assert read.codes == ("0123", "1_0", "NO", "12:30", "0x1F", "~text", "null")
    assert (read.from_hour, read.on, read.rate) == (None, False, 0.1)
