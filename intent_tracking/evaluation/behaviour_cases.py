"""Behavioural cases from a file of templates: the packaged one, and one of a shop with labels of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from intent_tracking.evaluation.behavioural import Case, CaseKind
from intent_tracking.text.language import Language

CASES_FILE = "behaviour_cases.yaml"
# Texts that a template of the minimum functionality and of the direction makes at most: none shall outweigh the others.
TEXTS_EACH = 3
_BRACES = re.compile(r"\{(\w+)\}")
_JOINT: dict[Language, str] = {"en": ", ", "zh": "，"}

T = TypeVar("T")
ByLanguage = dict[Language, list[T]]


class BehaviourCasesError(ValueError):
    """A file of cases is not as described; the message names file and place."""


class Changes(BaseModel):
    """What must not move an answer: each utterance goes through each change that fits it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    utterances: dict[str, ByLanguage[str]]
    typos: ByLanguage[tuple[str, str]] = {}
    politeness: ByLanguage[str] = {}
    punctuation: ByLanguage[str] = {}


class CaseFile(BaseModel):
    """The content of `behaviour_cases.yaml`; every part may be left out.

    Attributes:
        values: what stands for a name in braces, by name and language.
        minimum_functionality: utterances that must get an intent, by intent and language.
        invariance: utterances by intent and language, and changes that must not matter.
        direction: by intent and language [said, added]: the second must raise the probability of the intent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: dict[str, ByLanguage[str]] = {}
    minimum_functionality: dict[str, ByLanguage[str]] = {}
    invariance: Changes | None = None
    direction: dict[str, ByLanguage[tuple[str, str]]] = {}


def shop_cases() -> list[Case]:
    """The cases of the packaged file: its templates, filled with its values."""
    text = resources.files("intent_tracking.evaluation").joinpath(CASES_FILE).read_text("utf-8")
    return _cases(text, CASES_FILE)


def own_cases(path: Path) -> list[Case]:
    """The cases of a shop's own file, written as the packaged one is.

    Raises:
        BehaviourCasesError: the file is not YAML, holds something else, or a name in braces has no values.
    """
    return _cases(path.read_text(encoding="utf-8"), str(path))


def _cases(text: str, where: str) -> list[Case]:
    try:
        given = CaseFile.model_validate(yaml.safe_load(text) or {})
        cases = _functions(given) + _invariances(given) + _directions(given)
    except yaml.YAMLError as error:
        raise BehaviourCasesError(f"{where}: is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "file"
        raise BehaviourCasesError(f"{where}, {place}: {first['msg']}; write it as the packaged {CASES_FILE}") from error
    except KeyError as error:
        raise BehaviourCasesError(f"{where}, values: {error.args[0]} stands in braces and has no values") from error
    return cases


def _functions(given: CaseFile) -> list[Case]:
    return [
        Case(CaseKind.MINIMUM_FUNCTIONALITY, intent, language, intent, "", utterance)
        for intent, language, template in _rows(given.minimum_functionality)
        for utterance in filled(template, language, given.values)[:TEXTS_EACH]
    ]


def _invariances(given: CaseFile) -> list[Case]:
    changes, cases = given.invariance, list[Case]()
    if changes is None:
        return cases
    for intent, language, template in _rows(changes.utterances):
        first, *others = filled(template, language, given.values)
        changed = [("values", other) for other in others]
        changed += [("typos", first.replace(right, wrong)) for right, wrong in changes.typos.get(language, ())]
        for name, frames in (("politeness", changes.politeness), ("punctuation", changes.punctuation)):
            changed += [(name, frame.replace("{text}", first)) for frame in frames.get(language, ())]
        changed.append(("case", first.upper()))
        cases += [
            Case(CaseKind.INVARIANCE, name, language, intent, first, after) for name, after in changed if after != first
        ]
    return cases


def _directions(given: CaseFile) -> list[Case]:
    return [
        Case(CaseKind.DIRECTION, f"towards {intent}", language, intent, before, before + _JOINT[language] + added)
        for intent, language, (said, added) in _rows(given.direction)
        for before in filled(said, language, given.values)[:TEXTS_EACH]
    ]


def _rows(by_intent: Mapping[str, ByLanguage[Any]]) -> list[tuple[str, Language, Any]]:
    return [
        (intent, language, entry)
        for intent, languages in by_intent.items()
        for language, entries in languages.items()
        for entry in entries
    ]


def filled(template: str, language: str, values: Mapping[str, Mapping[Any, Sequence[str]]]) -> list[str]:
    """`template` with its braces filled: one text for each value of the longest list, the shorter ones go round.

    Raises:
        KeyError: a name in braces has no values in this language.
    """
    names = _BRACES.findall(template)
    if not names:
        return [template]
    for name in names:
        if not values.get(name, {}).get(language):
            raise KeyError(f"{name!r} ({language})")
    lists = {name: values[name][language] for name in names}
    return [
        _BRACES.sub(lambda found: lists[found[1]][turn % len(lists[found[1]])], template)  # noqa: B023 - used at once
        for turn in range(max(map(len, lists.values())))
    ]
