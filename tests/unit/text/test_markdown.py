"""What others wrote stays text in a Markdown page."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.text.markdown import escaped

pytestmark = pytest.mark.unit


@given(st.text(alphabet="ab \n\\`*_[]<>|#~&!()", max_size=40))
def test_no_mark_stands_alone_and_without_its_backslash_the_text_is_what_it_was(text: str) -> None:
    shown = escaped(text)
    assert not re.search(r"[`*_\[\]<>|#~&!\n]", re.sub(r"\\.", "", shown))
    assert re.sub(r"\\(.)", r"\1", shown) == " ".join(text.split())


def test_a_reader_makes_no_link_and_loads_no_picture() -> None:
    shown = escaped("![x](https://evil.example) <img src=x> www.evil.example")
    assert shown == r"\!\[x\](https\://evil.example) \<img src=x\> www\.evil.example"
