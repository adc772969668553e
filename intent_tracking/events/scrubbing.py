"""Personal data out of raw log records before they are stored.

Only fields that hold what people write are touched, so that identifiers, prices and times stay as they are. A record
that is no JSON, or nested too deep to be walked, has no fields that we know, so all of it is scrubbed.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from intent_tracking.events.contract import Event
from intent_tracking.events.nesting import TooDeepError, loads
from intent_tracking.text.cleaning import clean
from intent_tracking.text.personal_data import scrub

FREE_TEXT_FIELDS: Final = frozenset(
    {
        "text", "message", "messages", "query", "search_term", "search_query", "q", "comment", "comments", "review",
        "review_body", "body", "subject", "note", "notes", "feedback", "question", "answer", "utterance", "content",
        "reason", "email", "e_mail", "mail", "phone", "mobile", "telephone", "address", "street", "ip", "ip_address",
        "$ip", "unreadable_line", "searchterm", "searchquery", "reviewbody", "messagebody", "message_body",
        "share_message", "phone_number", "phonenumber", "email_address", "emailaddress", "mobile_number",

    }
)  # fmt: skip
"""Names of fields that hold free text or nothing but personal data, in any source."""


def scrub_text(text: str) -> str:
    """`text` without personal data; also without what invisible characters hide."""
    scrubbed = scrub(text)
    cleaned = clean(text)
    if cleaned == text:
        return scrubbed.text
    uncovered = scrub(cleaned)
    # A number that only cleaning lays open was hidden by zero-width or full-width characters: keep the clean form then.
    return uncovered.text if sum(uncovered.found.values()) > sum(scrubbed.found.values()) else scrubbed.text


def scrubbed_line(event: Event) -> bytes:
    """`event` as one line of JSON without personal data, as `scrub_record` would leave it."""
    params = event.params
    if params.custom:
        return scrub_record(event.model_dump_json(exclude_none=True))[0].encode()
    # Of the fields of the contract itself these two alone are free text, and most events have neither.
    texts = {
        name: scrub_text(text)
        for name, text in (("search_term", params.search_term), ("text", params.text))
        if text is not None
    }
    if texts:
        event = event.model_copy(update={"params": params.model_copy(update=texts)})
    return event.model_dump_json(exclude_none=True).encode()


def scrub_record(raw: str, further_fields: frozenset[str] = frozenset()) -> tuple[str, object]:
    """`raw` without personal data, and its decoded JSON (`None` where it is unreadable: no JSON, or too deep)."""
    try:
        document = loads(raw)
    except (orjson.JSONDecodeError, TooDeepError):
        return scrub_text(raw), None
    fields = FREE_TEXT_FIELDS | further_fields
    if not _holds(document, fields):
        return raw, document
    scrubbed = _scrub_fields(document, fields)
    # Written anew even where nothing was found: of two equal keys JSON readers see the last, the text keeps both.
    return orjson.dumps(scrubbed).decode(), scrubbed


def _holds(value: object, fields: frozenset[str]) -> bool:
    """Whether one of `fields` occurs anywhere in a decoded document. Runs for every record, so it copies nothing."""
    if isinstance(value, list):
        return any(_holds(each, fields) for each in value)
    if not isinstance(value, dict):
        return False
    if not fields.isdisjoint(value):
        return True
    for key, each in value.items():
        kind = type(each)
        if (kind is dict or kind is list) and _holds(each, fields):
            return True
        if not key.islower() and key.lower() in fields:
            return True
    name = value.get("key")
    return isinstance(name, str) and name.lower() in fields


def _scrub_fields(value: object, fields: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_scrub_fields(each, fields) for each in value]
    if not isinstance(value, dict):
        return value
    out = {
        key: _scrub_value(each, fields) if key.lower() in fields else _scrub_fields(each, fields)
        for key, each in value.items()
    }
    # GA4 keeps parameters as {"key": name, "value": {"string_value": ...}}.
    if isinstance(name := out.get("key"), str) and name.lower() in fields and "value" in out:
        out["value"] = _scrub_value(out["value"], fields)
    return out


def _scrub_value(value: object, fields: frozenset[str]) -> Any:
    """All text under a free-text field, however it is nested. A number is text here: phones are written as numbers."""
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, list):
        return [_scrub_value(each, fields) for each in value]
    if isinstance(value, dict):
        return {key: _scrub_value(each, fields) for key, each in value.items()}
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**6:
        text = scrub_text(str(value))
        return value if text == str(value) else text
    return value
