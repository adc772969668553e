"""What is said where the intent is sure: wording by intent and language, filled with the key information found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from intent_tracking.applications.customer_service.passages import TEMPLATES_FILE
from intent_tracking.events.problems import problems_in_words
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


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InBoth(_Record):
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


class Templates(_Record):
    """The templates of a shop, with the words around them."""

    slots: dict[str, InBoth]
    ask: InBoth
    handover: InBoth
    intents: dict[str, Template]

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
    path = resources.files("intent_tracking.applications.customer_service") / TEMPLATES_FILE
    return Templates.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def read_templates(folder: Path) -> Templates:
    """The templates of the shop in `folder` over those shipped, intent by intent; those shipped where it has no file.

    Raises:
        TemplateError: the file is not of the form.
    """
    shipped = shipped_templates()
    path = folder / TEMPLATES_FILE
    if not path.is_file():
        return shipped
    try:
        own = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TemplateError(f"{path}: is no YAML in UTF-8: {error}") from error
    if not isinstance(own, dict):
        raise TemplateError(f"{path}: must hold intents, slots, ask or handover; see templates.yaml of the platform")
    try:
        return Templates.model_validate(_over(shipped.model_dump(), own))
    except ValidationError as error:
        raise TemplateError(f"{path}: {problems_in_words(error)[0]}") from error


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
