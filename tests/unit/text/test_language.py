"""English or Chinese, by the weight of characters against words."""

from __future__ import annotations

import pytest

from intent_tracking.text.language import detect

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("where is my order", "en"),
        ("我的订单在哪里", "zh"),
        ("我想买 iPhone 15 Pro Max", "zh"),
        ("is the 旗袍 dress still available in size M", "en"),
        ("", "en"),
        ("12345 !!", "en"),
        ("où est ma commande", "en"),
        ("注文はどこですか", "en"),
        ("배송 조회", "en"),
        ("买衣服の人", "zh"),
        ("怎么退货？<img src=x onerror=alert(1)>", "zh"),
        ("where is it <b title='退货退货退货'>", "en"),
    ],
)
def test_the_language_of_a_text(text: str, language: str) -> None:
    assert detect(text) == language
