"""Reasons in words, in the languages of `wording.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import yaml

from intent_tracking.applications.risk.model import Reason

DEFAULT_LANGUAGE: Final = "en"
_FILE: Final = Path(__file__).with_name("wording.yaml")


@lru_cache(maxsize=1)
def _wording() -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return found


def languages() -> tuple[str, ...]:
    """What reasons can be worded in."""
    return tuple(_wording()["feature"])


def in_words(reasons: Iterable[Reason], language: str) -> list[str]:
    """Each reason as a sentence; in DEFAULT_LANGUAGE where `language` is none of `languages()`."""
    spoken = language if language in languages() else DEFAULT_LANGUAGE
    return [_rule(reason, spoken) if reason.is_rule else _feature(reason, spoken) for reason in reasons]


def _rule(reason: Reason, language: str) -> str:
    words = reason.words or _wording()["rules"].get(reason.name)
    shown = {name: number(value) for name, value in reason.seen.items()}
    if words is None:
        # A rule of the shop's own without words: what it looked at speaks for itself.
        names = _wording()["features"]
        return "; ".join(f"{names[name][language]}: {value}" for name, value in shown.items())
    sentence: str = words.get(language) or words.get(DEFAULT_LANGUAGE) or next(iter(words.values()))
    for name, value in shown.items():
        sentence = sentence.replace("{" + name + "}", value)
    return sentence


def _feature(reason: Reason, language: str) -> str:
    ((name, value),) = reason.seen.items()
    sentence: str = _wording()["feature"][language]
    label = _wording()["features"][name][language]
    return (
        sentence.replace("{label}", label)
        .replace("{seen}", number(value))
        .replace("{usual}", number(reason.usual or 0.0))
    )


def number(value: float) -> str:
    """A figure as people write it: whole where it is large or whole, else two digits that count."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 1 else f"{value:.2g}"
