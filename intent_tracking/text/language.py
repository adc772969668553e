"""The language of a text, as far as the platform tells languages apart: English or Chinese."""

from __future__ import annotations

import re
from typing import Literal

Language = Literal["en", "zh"]

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")
_KANA = re.compile("[\u3041-\u30ff]")
_MARKUP = re.compile("<[^<>]*>")
_LATIN_WORD = re.compile("[A-Za-z\u00c0-\u024f]+")


def detect(text: str) -> Language:
    """`zh` where Chinese characters are at least as many as Latin words, else `en`.

    Code-switched chat keeps Chinese grammar around Latin brand names (我想买 iPhone 15), so characters are weighed
    against words; what stands in angle brackets (markup, placeholders) counts for neither. Text in any other language,
    Japanese included (known by its kana), and text without letters is `en`.
    """
    if text.isascii():
        return "en"
    text = _MARKUP.sub(" ", text)
    han = len(_HAN.findall(text))
    if not han or len(_KANA.findall(text)) * 4 > han:
        return "en"
    return "zh" if han >= len(_LATIN_WORD.findall(text)) else "en"
