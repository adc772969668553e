"""The words of a report in one language, from `wording.yaml`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from intent_tracking.text.language import Language


class Wording:
    """The texts of one language; `wording("rising.title")`, with values for what stands in braces."""

    def __init__(self, language: Language) -> None:
        self.language: Language = language
        self._texts: dict[str, Any] = _texts()[language]

    def __call__(self, key: str, **values: object) -> str:
        return str(self._found(key)).format(**values)

    def header(self, key: str) -> tuple[str, ...]:
        """The names of the columns of a table."""
        return tuple(str(name) for name in self._found(key))

    def name(self, label: str) -> str:
        """What people call an intent or a scene; a shop's own is called as it is."""
        return str(self._texts["names"].get(label, label))

    def language_name(self, language: str) -> str:
        """What people call a language."""
        return str(self._texts["languages"].get(language, language))

    def _found(self, key: str) -> Any:
        found: Any = self._texts
        for part in key.split("."):
            found = found[part]
        return found


@cache
def _texts() -> dict[str, dict[str, Any]]:
    source = (files("intent_tracking.applications.insights") / "wording.yaml").read_text(encoding="utf-8")
    texts: dict[str, dict[str, Any]] = yaml.safe_load(source)
    return texts
