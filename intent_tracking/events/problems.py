"""What is wrong with a record, in words for the person who sent it: pydantic's own speak of Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_TIME: Final = "must be a time with an offset, such as 2026-01-03T10:15:30Z"
_WORDS: Final[Mapping[str, str]] = {
    "missing": "is missing",
    "extra_forbidden": "is no field that is known here",
    "string_type": "must be text",
    "string_unicode": "must be text",
    "string_sub_type": "must be text",
    "string_too_short": "must not be empty",
    "string_too_long": "has more than {max_length} characters",
    "string_pattern_mismatch": "has a form that is not allowed",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be above {gt}",
    "less_than": "must be below {lt}",
    "union_tag_invalid": "its {discriminator} must be one of {expected_tags}",
    "union_tag_not_found": "{discriminator} is missing",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "set_type": "must be a list",
    "frozen_set_type": "must be a list",
    "iteration_error": "must be a list",
    "dict_type": "must be an object",
    "mapping_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "too_long": "has more than {max_length} entries",
    "too_short": "needs at least {min_length}",
    "enum": "must be one of {expected}",
    "literal_error": "must be {expected}",
    "datetime_type": _TIME,
    "datetime_parsing": _TIME,
    "datetime_from_date_parsing": _TIME,
    "datetime_object_invalid": _TIME,
    "timezone_aware": _TIME,
}
# What a field of the contract wants, where that says more than the kind of its mistake.
_FIELDS: Final[Mapping[tuple[str, str], str]] = {
    ("event_name", "enum"): "is no event name of the contract (docs/event-schema.md lists them)",
    ("currency", "string_pattern_mismatch"): "must be three capitals of ISO 4217, such as EUR",
    ("language", "string_pattern_mismatch"): "must be a BCP 47 tag, such as en or zh-CN",
    **{
        (name, "string_pattern_mismatch"): "must not hold control characters"
        for name in (
            "event_id", "user_id", "anonymous_id", "session_id", "source", "item_id", "transaction_id", "promotion_id",
            "item_list_id",
        )
    },
}  # fmt: skip
_CUSTOM_VALUE: Final = "must be text of at most 1,000 characters, a finite number, true, false or null"
_CUSTOM_NAME: Final = "its name must have 1 to 64 characters"


def problems_in_words(error: ValidationError, whole: str = "") -> list[str]:
    """Each problem once as `field: what is wrong`; `whole` is the name of the record itself.

    Values are left out: they may be personal data.
    """
    return list(
        dict.fromkeys(
            ": ".join(filter(None, (field_of(problem) or whole, in_words(problem))))
            for problem in error.errors(include_url=False, include_input=False)
        )
    )


def field_of(problem: ErrorDetails) -> str:
    """The path of the field, as `params.items.0.price`; empty for the record as a whole."""
    place = problem["loc"]
    # What follows the name of a custom field is which of the kinds of value was tried.
    return ".".join(map(str, place[:3] if place[:2] == ("params", "custom") else place))


def in_words(problem: ErrorDetails) -> str:
    """What is wrong with the field; our own messages stay as they are."""
    place, kind = problem["loc"], problem["type"]
    if place[:2] == ("params", "custom") and len(place) > 3:
        return _CUSTOM_NAME if place[3] == "[key]" else _CUSTOM_VALUE
    words = _FIELDS.get((str(place[-1]) if place else "", kind)) or _WORDS.get(kind)
    if words is not None:
        return words.format(**{name: _plain(limit) for name, limit in problem.get("ctx", {}).items()})
    return problem["msg"].removeprefix("Value error, ")


def _plain(limit: object) -> str:
    """`1e12` as `1,000,000,000,000`."""
    return f"{int(limit):,}" if isinstance(limit, int | float) and limit == int(limit) else str(limit)
