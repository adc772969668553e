"""The words by which questions and passages are matched, in both languages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Final

import yaml

from intent_tracking.text.linguistics import SHIPPED
from intent_tracking.text.segmentation import Segmenter
from intent_tracking.text.simplified import simplified

_HAN_CLASS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_RUN = re.compile(f"[{_HAN_CLASS}]+|[^\\W_{_HAN_CLASS}]+")
_HAN = re.compile(f"[{_HAN_CLASS}]")
_SEGMENTER: Final = SHIPPED / "zh" / "tokenizer"
_ENDINGS: Final = (("ies", "y"), ("ing", ""), ("ed", ""), ("ss", "ss"), ("s", ""))
_SHORTEST_STEM: Final = 3


def terms(texts: Sequence[str]) -> list[list[str]]:
    """The terms of each text, with repeats: English words without their endings; Chinese words and pairs of characters.

    Words that say nothing of what is asked are none. Pairs stand beside words because a segmenter may cut the question
    otherwise than the passage. Give many texts in one call: Chinese runs go through the segmenter together.
    """
    without = function_words()
    found: list[list[str]] = []
    runs: list[str] = []
    waiting: list[tuple[list[str], int]] = []
    for text in texts:
        parts: list[str] = []
        for match in _RUN.finditer(simplified(text.lower())):
            run = match.group()
            if _HAN.match(run):
                waiting.append((parts, len(parts)))
                runs.append(run)
                parts.append(run)
            elif run not in without:
                parts.append(_stem(run))
        found.append(parts)
    if runs:
        cut = _segmenter().words(runs)
        # From the end, so that the places before stay.
        for (parts, place), run, words in reversed(list(zip(waiting, runs, cut, strict=True))):
            pairs = [run[at : at + 2] for at in range(len(run) - 1)]
            pairs = [pair for pair in pairs if pair not in words and without.isdisjoint(pair)]
            parts[place : place + 1] = [word for word in (*words, *pairs) if word not in without]
    return found


def _stem(word: str) -> str:
    """`word` without a frequent English ending, so that sizes, size and sized meet; no more than that is needed."""
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            word = word[: -len(ending)] + instead
            break
    return word[:-1] if word.endswith("e") and len(word) > _SHORTEST_STEM else word


@cache
def _segmenter() -> Segmenter:
    return Segmenter.load(_SEGMENTER)


@cache
def function_words() -> frozenset[str]:
    """Words that are no terms; an index holds for the list that it was made with."""
    path = resources.files("intent_tracking.applications.customer_service") / "function_words.yaml"
    listed: dict[str, str] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return frozenset(word for words in listed.values() for word in words.split())
