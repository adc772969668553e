"""Why a log record was not accepted: one vocabulary of reasons, and the row that keeps the record for a replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import pyarrow as pa
from pydantic import ValidationError

from intent_tracking.events.problems import problems_in_words

MAX_DETAIL_LENGTH: Final = 500


class QuarantineReason(StrEnum):
    """Reasons that the platform itself gives. A column mapping adds its own names by its line checks."""

    UNREADABLE = "unreadable"
    UNKNOWN_EVENT = "unknown_event"
    OUTSIDE_CONTRACT = "outside_contract"
    MISSING_FIELD = "missing_field"
    MISSING_IDENTITY = "missing_identity"
    UNEXPECTED_FIELD = "unexpected_field"
    INVALID_VALUE = "invalid_value"
    UNSUPPORTED_VERSION = "unsupported_version"
    TOO_LATE = "too_late"
    FROM_THE_FUTURE = "from_the_future"
    TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One refusal: of a whole record, or of the log line `source_line` of a grouped record, whose own text is `raw`."""

    reason: str
    detail: str
    raw: str | None = None
    source_line: int | None = None
    record_count: int | None = None


_RAW_COLUMNS: Final[Mapping[str, pa.DataType]] = {
    "raw": pa.string(),
    "adapter": pa.string(),
    "source_file": pa.string(),
    "source_line": pa.int64(),
    "record_count": pa.int64(),
    "received_time": pa.timestamp("us", tz="UTC"),
    "event_time": pa.timestamp("us", tz="UTC"),
}
RAW_SCHEMA: Final = pa.schema(list(_RAW_COLUMNS.items()))
QUARANTINE_SCHEMA: Final = pa.schema([*_RAW_COLUMNS.items(), ("reason", pa.string()), ("detail", pa.string())])


def storable(text: str) -> str:
    """`text` without lone surrogates, which neither UTF-8 nor Arrow can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def refuse(reason: QuarantineReason | str, detail: str) -> Quarantined:
    """A refusal of a whole record."""
    return Quarantined(reason=str(reason), detail=storable(detail[:MAX_DETAIL_LENGTH]))


def from_validation_error(error: ValidationError) -> Quarantined:
    """The refusal that a contract violation means: the first error decides, the detail names them all by field.

    Values are left out of the detail: they may be personal data.
    """
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = first["loc"][0] if first["loc"] else ""
    match first["type"]:
        case "missing_identity":
            reason = QuarantineReason.MISSING_IDENTITY
        case "missing" | "missing_field":
            reason = QuarantineReason.MISSING_FIELD
        case "extra_forbidden":
            reason = QuarantineReason.UNEXPECTED_FIELD
        case "enum" if field == "event_name":
            reason = QuarantineReason.UNKNOWN_EVENT
        case "literal_error" if field == "schema_version":
            reason = QuarantineReason.UNSUPPORTED_VERSION
        case _:
            reason = QuarantineReason.INVALID_VALUE
    return refuse(reason, "; ".join(problems_in_words(error)[:5]))
