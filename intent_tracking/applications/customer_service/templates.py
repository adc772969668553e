"""What is said where the intent is sure: wording by intent and language, filled with the key information found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from intent_tracking.applications.customer_service.passages import TEMPLATES_FILE
from intent_tracking.applications.shop_file import Declared, ShopFile
from intent_tracking.text.cleaning import clean
from intent_tracking.text.language import Language

# What is longer than this is no order number and no size, whatever the model says.
MAX_VALUE_CHARACTERS: Final = 120

_SLOT = re.compile(r"\{(\w+)\}")
_BRACE = re.compile(r"\{(?!\w+\})|(?<!\w)\}")
LANGUAGES: Final[tuple[Language, ...]] = ("en", "zh")
_JOINED: Final[Mapping[Language, str]] = {"en": ", ", "zh": "、"}

Wording = Annotated[str, Field(min_length=1, max_length=2000)]


class TemplateError(ValueError):
    """A file of templates is not of the form; the message says where and what to do."""


class InBoth(Declared):
    """The same in both languages."""

    en: Wording
    zh: Wording

    def of(self, language: Language) -> str:
        """The wording of one language."""
        return self.zh if language == "zh" else self.en


class Template(InBoth):
    """What is said about one intent; see `templates.yaml`."""

    search_first: bool = False
    handover: bool = False
    needs: tuple[str, ...] = ()

    def slots(self, language: Language) -> tuple[str, ...]:
        """The key information that this wording cannot do without, in the order of its words."""
        return tuple(dict.fromkeys([*_SLOT.findall(self.of(language)), *self.needs]))


class Templates(Declared):
    """The templates of a shop, with the words around them."""

    intents: dict[str, Template]
    slots: dict[str, InBoth]
    ask: InBoth
    handover: InBoth

    @model_validator(mode="after")
    def _slots_have_names(self) -> Templates:
        for intent, template in self.intents.items():
            for language in LANGUAGES:
                unnamed = sorted(set(template.slots(language)) - self.slots.keys())
                if unnamed:
                    raise ValueError(f"intents.{intent}.{language} asks for {{{unnamed[0]}}}; name it under slots")
                if _BRACE.search(template.of(language)):
                    raise ValueError(f"intents.{intent}.{language} has a brace without a name; write {{order_id}}")
        for language in LANGUAGES:
            if _SLOT.findall(self.ask.of(language)) != ["missing"]:
                raise ValueError(f"ask.{language} must hold {{missing}} once")
        return self

    def missing(self, intent: str, language: Language, known: Mapping[str, str]) -> list[str]:
        """The names of what the wording of `intent` cannot do without and `known` lacks."""
        values = _usable(known)
        return [name for name in self.intents[intent].slots(language) if name not in values]

    def say(self, intent: str, language: Language, known: Mapping[str, str]) -> str:
        """The filled wording of `intent`, or the question for what it lacks.

        Args:
            intent: one of `intents`.
            language: of the shopper.
            known: values by name of the key information.
        """
        template, values = self.intents[intent], _usable(known)
        if missing := [self.slots[name].of(language) for name in self.missing(intent, language, known)]:
            # Not `str.format`: a value must not be read as a format.
            return self.ask.of(language).replace("{missing}", _JOINED[language].join(missing))
        return _SLOT.sub(lambda found: values[found[1]], template.of(language))


def _usable(known: Mapping[str, str]) -> dict[str, str]:
    values = {name: clean(value) for name, value in known.items()}
    return {name: value for name, value in values.items() if value and len(value) <= MAX_VALUE_CHARACTERS}


def shipped_templates() -> Templates:
    """The templates that come with the platform, for the intents of the simulated shop."""
    return _FILE.read_shipped()


def read_templates(folder: Path) -> Templates:
    """The templates of the shop in `folder` over those shipped, intent by intent; those shipped where it has no file.

    Raises:
        TemplateError: the file is not of the form.
    """
    path = folder / TEMPLATES_FILE
    if not path.is_file():
        return shipped_templates()
    return _FILE.check(_over(_FILE.entries(_FILE.shipped), _FILE.entries(path)), path)


_FILE: Final = ShopFile(Templates, Path(__file__).with_name(TEMPLATES_FILE), TemplateError)


def _over(shipped: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(shipped) | dict(own)
    for name in ("slots", "intents"):
        if isinstance(own.get(name), dict):
            merged[name] = {**shipped[name], **own[name]}
    return merged


def values_of(found: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names and values of key information as `Templates.say` takes them: the first value of a name counts."""
    values: dict[str, str] = {}
    for name, value in found:
        values.setdefault(name, value)
    return values
