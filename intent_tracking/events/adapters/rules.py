"""Templates and line checks of a column mapping, compiled once to functions of a row."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

from intent_tracking.events.adapters.mapping import Condition, LineCheck, template_parts

Row = dict[str, Any]

_EMPTY: Final = frozenset({"", "nan", "NaN", "NULL", "null", "None"})


def is_empty(value: object) -> bool:
    """Whether a cell says nothing: absent, blank, or the text that pandas and SQL write for that."""
    return value is None or (isinstance(value, str) and (not value or value.strip() in _EMPTY))


def number(value: object) -> float | None:
    """A finite number, or `None`."""
    if not isinstance(value, str | float | int) or isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _integer(text: str) -> str:
    """`17850.0` as `17850`: identifiers that went through a float column."""
    whole, _, rest = text.partition(".")
    return whole if rest.strip("0") == "" else text


_FILTERS: Final[dict[str, Callable[[str], str]]] = {
    "absolute": lambda text: text.lstrip("-"),
    "integer": _integer,
    "lower": str.lower,
    "upper": str.upper,
}


def compile_template(template: str) -> Callable[[Row], str | None]:
    """The text of a template for a row; `None` where one of its columns is empty."""
    parts = [
        part if isinstance(part, str) else (part[0], [_FILTERS[name] for name in part[1]])
        for part in template_parts(template)
    ]

    if len(parts) == 1 and not isinstance(parts[0], str) and not parts[0][1]:
        return _cell(parts[0][0])

    def read(row: Row) -> str | None:
        out: list[str] = []
        for part in parts:
            if isinstance(part, str):
                out.append(part)
                continue
            value = row.get(part[0])
            if is_empty(value):
                return None
            text = str(value).strip()
            for change in part[1]:
                text = change(text)
            out.append(text)
        return "".join(out)

    return read


def _cell(column: str) -> Callable[[Row], str | None]:
    """The template `{column}`, which is most of them, without the loop over its parts."""

    def read(row: Row) -> str | None:
        value = row.get(column)
        return None if is_empty(value) else str(value).strip()

    return read


def compile_condition(condition: Condition) -> Callable[[Row], bool]:
    """Whether a row meets every part of a condition."""
    column = condition.column
    tests: list[Callable[[Any], bool]] = []
    if condition.empty is not None:
        wanted = condition.empty
        tests.append(lambda value: is_empty(value) is wanted)
    if condition.matches is not None:
        pattern = re.compile(condition.matches)
        tests.append(lambda value: value is not None and pattern.search(str(value)) is not None)
    if condition.equals is not None:
        tests.append(_equals(condition.equals))
    if condition.below is not None:
        limit = condition.below
        tests.append(lambda value: (found := number(value)) is not None and found < limit)
    if len(tests) == 1:
        only = tests[0]
        return lambda row: only(row.get(column))
    return lambda row: all(test(row.get(column)) for test in tests)


def _equals(wanted: float | str) -> Callable[[Any], bool]:
    if isinstance(wanted, str):
        return lambda value: value is not None and str(value).strip() == wanted
    return lambda value: number(value) == wanted


def compile_check(check: LineCheck) -> Callable[[Row], bool]:
    """Whether a line check takes a row out."""
    holds = compile_condition(check)
    if check.when is None:
        return holds
    applies = compile_condition(check.when)
    return lambda row: applies(row) and holds(row)
