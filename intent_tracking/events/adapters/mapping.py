"""The YAML that maps the columns of a shop's own logs to the event contract, checked when it is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from intent_tracking.events.contract import EventName, Item, Params, Scene
from intent_tracking.events.problems import problems_in_words

FILTERS: Final = ("absolute", "integer", "lower", "upper")
_PLACE: Final = re.compile(r"\{([^{}|]+)(?:\|([^{}]*))?\}")
_ITEM_FIELDS: Final = frozenset(Item.model_fields)
_PARAM_FIELDS: Final = frozenset(Params.model_fields) - {"items", "custom"}


def template_parts(template: str) -> list[tuple[str, tuple[str, ...]] | str]:
    """`"C-{Invoice|lower}"` as `["C-", ("Invoice", ("lower",))]`.

    Raises:
        ValueError: a filter does not exist.
    """
    parts: list[tuple[str, tuple[str, ...]] | str] = []
    end = 0
    for found in _PLACE.finditer(template):
        if found.start() > end:
            parts.append(template[end : found.start()])
        filters = tuple(name.strip() for name in (found[2] or "").split("|") if name.strip())
        for name in filters:
            if name not in FILTERS:
                raise ValueError(f"no filter {name!r} in {template!r}: take one of {', '.join(FILTERS)}")
        parts.append((found[1].strip(), filters))
        end = found.end()
    if end < len(template):
        parts.append(template[end:])
    return parts


def _checked_template(template: str) -> str:
    template_parts(template)
    return template


def _checked_pattern(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    return pattern


Template = Annotated[str, AfterValidator(_checked_template), Field(min_length=1)]
Pattern = Annotated[str, AfterValidator(_checked_pattern)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(_Part):
    """A test of one column: every key that is given must hold."""

    column: str
    empty: bool | None = None
    matches: Pattern | None = None
    equals: float | str | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if self.empty is None and self.matches is None and self.equals is None and self.below is None:
            raise ValueError("give one of empty, matches, equals, below")
        return self


class LineCheck(Condition):
    """A log line that meets the condition (and `when`, if given) is quarantined with `reason`."""

    reason: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    when: Condition | None = None


class EventTime(_Part):
    """How a column tells the time: ISO 8601 or a `strptime` format in the mapping's time zone, or an epoch `unit`."""

    column: str
    format: str | None = None
    unit: Literal["s", "ms", "us"] | None = None


class NamePattern(_Part):
    """One rule for the event name, tried in order."""

    matches: Pattern
    name: EventName


class EventNames(_Part):
    """The event name from a column: by exact value or by the first pattern that matches."""

    column: str
    values: dict[str, EventName] = {}
    patterns: tuple[NamePattern, ...] = ()

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if not self.values and not self.patterns:
            raise ValueError("give values or patterns")
        return self


class ColumnMapping(_Part):
    """How log lines of a shop become events. Text fields are templates: `{Column}`, `{Column|filter}`, or plain text.

    A template is empty where one of its columns is empty. Values of `params` may differ by event name.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    description: str = ""
    encoding: str = "utf-8"
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    timezone: str = "UTC"
    unnest: str | None = Field(default=None, description="Column that holds a list: each entry is a log line.")
    group_by: tuple[str, ...] = Field(default=(), description="Lines of a file with the same values are one event.")
    event_name: EventName | EventNames
    event_time: EventTime
    event_id: Template | None = None
    user_id: Template | None = None
    anonymous_id: Template | None = None
    guest_id: Template | None = Field(default=None, description="The anonymous id of lines without a user.")
    session_id: Template | None = None
    scene: Scene | None = None
    items: dict[str, Template] = {}
    params: dict[str, Template | dict[EventName, Template]] = {}
    value_from_items: bool = Field(default=False, description="value = sum of price x quantity.")
    custom: dict[str, Template] = {}
    free_text: tuple[str, ...] = Field(default=(), description="Columns whose text is scrubbed of personal data.")
    checks: tuple[LineCheck, ...] = ()

    @property
    def columns(self) -> frozenset[str]:
        """Every column that the mapping names."""
        templates = [*self.items.values(), *self.custom.values()]
        for chosen in self.params.values():
            templates += [chosen] if isinstance(chosen, str) else chosen.values()
        own = (self.event_id, self.user_id, self.anonymous_id, self.guest_id, self.session_id)
        templates += [template for template in own if template is not None]
        named = {self.event_time.column, *self.group_by, *self.free_text}
        named.update(*map(_columns_of, templates))
        if isinstance(self.event_name, EventNames):
            named.add(self.event_name.column)
        for check in self.checks:
            named.update(condition.column for condition in (check, check.when) if condition is not None)
        return frozenset(named)

    @field_validator("items", "params")
    @classmethod
    def _known(cls, fields: dict[str, Any], info: Any) -> dict[str, Any]:
        known = _ITEM_FIELDS if info.field_name == "items" else _PARAM_FIELDS
        if unknown := sorted(set(fields) - known):
            raise ValueError(f"{', '.join(unknown)} is no field of the contract; known: {', '.join(sorted(known))}")
        return fields

    @field_validator("timezone")
    @classmethod
    def _zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{name!r} is no IANA time zone") from error
        return name

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if self.user_id is None and self.anonymous_id is None and self.guest_id is None:
            raise ValueError("give user_id, anonymous_id or guest_id: an event needs a shopper")
        return self


def _columns_of(template: str) -> set[str]:
    return {part[0] for part in template_parts(template) if not isinstance(part, str)}


def shipped_mappings() -> Mapping[str, Path]:
    """Mappings that come with the library, by name."""
    folder = Path(str(files("intent_tracking.events"))) / "mappings"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def mapping_path(name_or_path: str) -> Path:
    """The file of a shipped mapping or of a path.

    Raises:
        ValueError: there is no such mapping.
    """
    shipped = shipped_mappings()
    path = shipped.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        raise ValueError(f"no mapping {name_or_path!r}: give a YAML file or one of {', '.join(shipped)}")
    return path


def load_mapping(name_or_path: str) -> ColumnMapping:
    """The checked mapping of a shipped name or a YAML file.

    Raises:
        ValueError: the file is missing or wrong; the message names the file and each wrong field.
    """
    path = mapping_path(name_or_path)
    try:
        return ColumnMapping.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(problems_in_words(error, "mapping"))
        raise ValueError(f"{path}: {wrong}") from error
