"""What a shop decides in a YAML file of its home, beside what is shipped: read and checked in one way.

Every mistake is told with the file, the entry and the shipped file that shows the form.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from intent_tracking.events.problems import problems_in_words


class _AsWritten(yaml.SafeLoader):
    """Plain scalars as the text that stands there: the record says what is a number, and `0123` may be an item."""


_AsWritten.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if tag in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

if yaml.__with_libyaml__:

    class _AsWrittenFast(yaml.CSafeLoader):
        """The same by libyaml, ten times as fast: a shop may list every item that it is out of."""

        yaml_implicit_resolvers = _AsWritten.yaml_implicit_resolvers


def _parsed(text: str) -> Any:
    if yaml.__with_libyaml__:
        # PyYAML itself takes more, such as {most:}, and tells more of what it does not take.
        with suppress(yaml.YAMLError):
            return yaml.load(text, Loader=_AsWrittenFast)  # noqa: S506 - a SafeLoader
    return yaml.load(text, Loader=_AsWritten)  # noqa: S506 - a SafeLoader


class Declared(BaseModel):
    """A part of what a shop declares: an entry that is not known is a mistake, not a note."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Record = TypeVar("Record", bound=Declared)


@dataclass(frozen=True)
class ShopFile(Generic[Record]):
    """One kind of file.

    Attributes:
        record: what it declares.
        shipped: the file that holds where the shop has none.
        error: what is raised where a file is not of the form.
    """

    record: type[Record]
    shipped: Path
    error: type[ValueError]

    def read_shipped(self) -> Record:
        """What holds for a shop that has decided nothing."""
        return self.check(self.entries(self.shipped), self.shipped)

    def read_instead(self, path: Path) -> Record:
        """What `path` declares in place of all that is shipped, which holds where there is no such file.

        Raises:
            ValueError: of the kind `error`: the file cannot be read or is not of the form.
        """
        return self.check(self.entries(path), path) if path.exists() else self.read_shipped()

    def read_over(self, path: Path) -> Record:
        """What is shipped, with the top-level entries of `path` in their place.

        Raises:
            ValueError: as of `read_instead`.
        """
        own = self.entries(path) if path.exists() else {}
        return self.check(self.entries(self.shipped) | own, path)

    def entries(self, path: Path) -> dict[str, Any]:
        """The top-level entries of a file, numbers in them as text; an empty one has none.

        Raises:
            ValueError: of the kind `error`: it cannot be read, or is no YAML mapping.
        """
        try:
            written = _parsed(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise self.error(f"{path}: cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise self.error(f"{path}: is no YAML in UTF-8: {error}") from error
        if not isinstance(written, dict | None):
            known = ", ".join(self.record.model_fields)
            raise self.error(f"{path}: holds no entries: it is a mapping that must hold {known}; {self._remedy}")
        return written or {}

    def check(self, entries: Mapping[str, Any], path: Path) -> Record:
        """The record of `entries`, which came from `path`.

        Raises:
            ValueError: of the kind `error`, with every entry that is wrong.
        """
        try:
            return self.record.model_validate(entries)
        except ValidationError as error:
            problems = "; ".join(problems_in_words(error))
            raise self.error(f"{path}: {problems}; {self._remedy}") from error

    @property
    def _remedy(self) -> str:
        return f"the shipped {self.shipped.name} shows the form: {self.shipped}"
