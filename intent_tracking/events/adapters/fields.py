"""Small readers of foreign JSON: what a source calls a field, in the type that the contract wants.

A value of the wrong type is passed on as it is, so that the contract names it in its error; nothing is dropped in
silence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from intent_tracking.events.adapters.base import utc_time
from intent_tracking.events.contract import MAX_CUSTOM, MAX_NAME_LENGTH, PARAM_NAMES

_ABSENT: Final = frozenset({"", "(not set)", "(not provided)", "undefined", "null"})
_EXACT_INTEGER: Final = 2**53
_MICROSECONDS_SINCE: Final = (
    10**14
)  # 1973 in microseconds, the year 5138 in seconds: below it a number is no microsecond


def first(source: Mapping[str, Any], *names: str) -> Any:
    """The first value among `names` that says something."""
    for name in names:
        value = source.get(name)
        if value is not None and not (isinstance(value, str) and value.strip() in _ABSENT):
            return value
    return None


def text(source: Mapping[str, Any], *names: str) -> Any:
    """As `first`; a number becomes its text, because shops number their products and orders."""
    value = first(source, *names)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def upper(source: Mapping[str, Any], *names: str) -> Any:
    """As `text`, in capitals: currencies."""
    value = text(source, *names)
    return value.strip().upper() if isinstance(value, str) else value


def mapping(value: object) -> Mapping[str, Any]:
    """`value` where it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: object, read: Callable[[Mapping[str, Any]], dict[str, Any]]) -> list[Any]:
    """Each object of a list by `read`; what is no object stays as it is, for the contract to name."""
    if isinstance(value, Mapping):
        return [read(value)]
    if not isinstance(value, list):
        return [] if value is None else [value]
    return [read(each) if isinstance(each, Mapping) else each for each in value]


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` without those that say nothing."""
    return {name: value for name, value in fields.items() if value is not None}


def with_currency(params: dict[str, Any]) -> dict[str, Any]:
    """`params` that keep the contract's rule "value needs currency": a lone value moves to `custom`, marked as such."""
    if "value" in params and "currency" not in params:
        params = dict(params)
        params["custom"] = {**params.get("custom", {}), "value_without_currency": params.pop("value")}
    return params


def event_time(value: object) -> datetime | None:
    """A time with an offset, or one without that its source states to be UTC; `None` where it is neither."""
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            return utc_time(value)
        return utc_time(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return utc_time(value)


def microseconds(value: object) -> datetime | None:
    """A time given in microseconds since 1970, as a number or as its text (BigQuery writes INT64 as text)."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        count = int(value)
    except ValueError:
        return None
    if not _MICROSECONDS_SINCE <= count < _MICROSECONDS_SINCE * 100:
        return None
    seconds, rest = divmod(count, 1_000_000)
    return utc_time(datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest))


def custom(source: Mapping[str, Any], used: Iterable[str]) -> dict[str, Any]:
    """What the contract has no field for: scalars as they are, nested values as JSON text.

    A name that belongs to the contract gets the prefix `source.`. What is over a limit of the contract stays in the raw
    log alone.
    """
    kept: dict[str, Any] = {}
    skip = frozenset(used)
    for name in sorted(key for key in source if isinstance(key, str)):
        value = source[name]
        key = f"source.{name}" if name in PARAM_NAMES else name
        if name in skip or value is None or not 0 < len(key.strip()) <= 64 or len(kept) == MAX_CUSTOM:
            continue
        if isinstance(value, dict | list):
            value = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
        elif isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT_INTEGER:
            value = str(value)
        if not (isinstance(value, str) and len(value) > MAX_NAME_LENGTH):
            kept[key] = value
    return kept


def stable_id(prefix: str, *parts: object) -> str:
    """An event id from what an event is made of: the same parts give the same id in every run."""
    blob = orjson.dumps(parts, default=str, option=orjson.OPT_SORT_KEYS)
    return f"{prefix}-{hashlib.sha256(blob).hexdigest()[:32]}"
