"""What sets a segment, or one shopper, apart from the shop; in words of `wording.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from intent_tracking.applications.profiles.space import stem
from intent_tracking.features.catalogue import USER_FEATURES

LANGUAGES: Final = ("en", "zh")
Level = Literal["high", "low", "usual", "likes"]
Text = dict[str, str]
"""By language: `en`, `zh`."""

HIGH: Final = 0.5
"""Standard units from the median of the shop from which a value is high, or low below it."""


@cache
def wording() -> Mapping[str, Any]:
    """The file of words."""
    found: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("wording.yaml").read_text(encoding="utf-8"))
    return found


@cache
def _stems() -> Mapping[str, str]:
    return {feature.name: stem(feature) for feature in USER_FEATURES}


def _of_feature(name: str) -> Mapping[str, Any]:
    """Words of a feature; one that is declared and has none is described by its own name."""
    found: Mapping[str, Any] | None = wording()["features"].get(_stems().get(name, name))
    if found is not None:
        return found
    own = _stems().get(name, name).replace("_", " ")
    plain = {
        level: {part: dict.fromkeys(LANGUAGES, f"{level} {own}") for part in ("words", "name")}
        for level in ("high", "low")
    }
    return {"group": own, "what": dict.fromkeys(LANGUAGES, own), **plain}


def group_of(feature: str) -> str:
    """Features of one group say the same of a shopper."""
    return str(_of_feature(feature)["group"])


def level_of(shift: float) -> Level:
    """What a distance from the shop's median in standard units is called."""
    return "high" if shift >= HIGH else "low" if shift <= -HIGH else "usual"


def what_of(feature: str) -> Text:
    """What a feature counts."""
    return dict(_of_feature(feature)["what"])


def words_of(trait: str, level: Level, label: str | None = None) -> Text:
    """A trait of one shopper in words.

    Args:
        trait: a feature, or a token where `level` is `likes`.
        level: see `level_of`.
        label: how people call the token.
    """
    if level == "likes":
        return _said(trait, "words", label)
    if level == "usual":
        return {language: text.format(what=what_of(trait)[language]) for language, text in wording()["usual"].items()}
    return dict(_of_feature(trait)[level]["words"])


def name_part(trait: str, level: Level, label: str | None = None) -> Text:
    """The part of a segment's name that a trait makes."""
    return _said(trait, "name", label) if level == "likes" else dict(_of_feature(trait)[level]["name"])


def _said(token: str, part: str, label: str | None) -> Text:
    kind, _, name = token.partition(":")
    shown = (label or name).replace("_", " ") if kind == "intent" else label or name
    return {language: text.format(label=shown) for language, text in wording()["taste"][kind][part].items()}


def joined(parts: list[Text]) -> Text:
    """The name that parts make together; that of the middle of the shop where there is none."""
    if not parts:
        return dict(wording()["middle"])
    named = {language: text.join(part[language] for part in parts) for language, text in wording()["joint"].items()}
    return named | {"en": named["en"][0].upper() + named["en"][1:]}
