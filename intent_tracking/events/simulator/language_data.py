"""Reads the wording that the simulator speaks: package data, parsed once, on first use."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any, Final

import yaml

Part = tuple[str, str | None]
"""A stretch of an utterance: literal text and None, or an empty text and the name of the value that goes there."""

Parts = tuple[Part, ...]

_CHOICE: Final = re.compile(r"\[([^\[\]]*)\]")
_VALUE: Final = re.compile(r"\{(\w+)\}")


@cache
def read_language_file(name: str) -> dict[str, Any]:
    """The parsed content of `language/<name>.yaml`; shared, so read it only."""
    path = resources.files("intent_tracking.events.simulator") / "language" / f"{name}.yaml"
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def split_values(text: str) -> Parts:
    """`text` cut at its `{value}` marks."""
    parts: list[Part] = []
    position = 0
    for found in _VALUE.finditer(text):
        if found.start() > position:
            parts.append((text[position : found.start()], None))
        parts.append(("", found.group(1)))
        position = found.end()
    if position < len(text):
        parts.append((text[position:], None))
    return tuple(parts)


def expand(template: str) -> list[str]:
    """Each text that `template` can become; `[a|b]` is a choice."""
    found = _CHOICE.search(template)
    if found is None:
        return [template.replace("  ", " ")]
    before, after = template[: found.start()], template[found.end() :]
    return [text for choice in found.group(1).split("|") for text in expand(f"{before}{choice}{after}")]


def _compiled(templates: list[str]) -> tuple[tuple[Parts, ...], ...]:
    return tuple(tuple(split_values(text) for text in expand(template)) for template in templates)


@cache
def utterances(period: str, intent: str, language: str, group: str) -> tuple[tuple[Parts, ...], ...]:
    """Templates of one intent that make sense for products of `group`, each as the tuple of its variants.

    A line that begins with `@tech,home ` is for the products of these groups, any other line for all.
    """
    fitting = []
    for line in read_language_file(period)[intent][language].splitlines():
        groups, _, template = line.partition(" ") if line.startswith("@") else ("", "", line)
        if template.strip() and (not groups or group in groups[1:].split(",")):
            fitting.append(template)
    return _compiled(fitting)


@cache
def frame(*path: str) -> tuple[tuple[Parts, ...], ...]:
    """The list of templates that lies at `path` in frame.yaml, in the form of `utterances`."""
    node: Any = read_language_file("frame")
    for key in path:
        node = node[key]
    return _compiled(node)
