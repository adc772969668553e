"""Requests that nobody means well with: what hypothesis draws to find one that the service does not answer properly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from bentos.intent_service.app import OPERATIONS
from bentos.intent_service.limits import MAX_BODY_BYTES, MAX_EVENTS, MAX_TEXT_CHARACTERS, MAX_TEXTS
from intent_tracking.events.contract import PARAM_NAMES, EventName

JSON_TYPE = "application/json"
TEN_MEGABYTES = 10 * 2**20
EVENT_FIELDS = (
    *("event_id", "event_name", "event_time", "received_time", "user_id", "anonymous_id", "session_id", "source"),
    *("scene", "schema_version", "params"),
)
# Each path that takes a body, with one that is right, from which the wrong ones are made.
BODIES: dict[str, dict[str, Any]] = {
    operation.path: json.loads(json.dumps(operation.example))
    for operation in OPERATIONS
    if operation.request is not None
}
# An event of today is stored.
BODIES["/v1/track"]["events"][0]["event_time"] = datetime.now(UTC).isoformat(timespec="seconds")
# Numbers as text, since Python's own JSON would not write most of them.
_NUMBERS = (
    *("1e999", "-1e999", "1e308", "1e-400", "-0", "-0.0", "9" * 5_000, "0." + "1" * 5_000, "1E+400", "1e" + "9" * 50),
    *(str(2**31), str(2**53 + 1), str(2**63), str(-(2**63) - 1), str(2**64), "1" + "0" * 400, "NaN", "Infinity"),
    *("-Infinity", "nan", "0x10", "01", "1.", ".5", "+1", "1_000", "１２"),
)
_TEXTS = (
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\ufeff"', '"\\uffff"', '"\u202e\u2066\u200f"', '""', '" "'),
    *('"' + "e\u0301" * 1_500 + '"', '"' + "\u0300" * 3_000 + '"', '"' + "👩‍👩‍👧" * 500 + '"', '"' + "ﷺ" * 3_999 + '"'),
    *('"' + "1-" * 1_999 + '"', '"' + "a@" * 1_999 + '"', '"' + "@" * 3_999 + '"', '"' + "+1 (2) " * 500 + '"'),
    *(
        '"' + "1.2.3." * 600 + '"',
        '"' + "a.b@c." * 600 + '"',
        '"<search>' + "<cart>" * 500 + '"',
        '"' + "\\n" * 999 + '"',
    ),
    *('"' + "4111 1111 1111 1111 " * 190 + '"', '"' + "x" * (MAX_TEXT_CHARACTERS + 1) + '"', '"' + "中" * 4_000 + '"'),
)
_TIMES = (
    *("0000-00-00T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "10000-01-01T00:00:00Z"),
    *("2026-02-30T25:61:61Z", "2026-06-30T23:59:60Z", "2026-01-01T00:00:00+99:99", "2026-01-01", "1e20", "-1", "now"),
    *("2026-01-01T00:00:00." + "1" * 3_000 + "Z", "2026-01-01T00:00:00", "२०२६-०१-०१T00:00:00Z", "1735689600000000"),
)
_RAW_BYTES = (
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\x80",
)
_PLACE = "\ue000"


@dataclass(frozen=True)
class HostileRequest:
    """One request as it goes onto the wire; `kind` says what is wrong with it."""

    kind: str
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    chunked: bool = False


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def hostile_requests() -> st.SearchStrategy[HostileRequest]:
    """Requests to every POST path, and to paths, methods and media types that there are not."""
    makers: tuple[Callable[[st.DrawFn, str], HostileRequest], ...] = (
        _wrong_type,
        _literal,
        _deep,
        _duplicate_keys,
        _damaged,
        _bytes,
        _large,
        _headers,
        _elsewhere,
    )
    return st.composite(lambda draw: draw(st.sampled_from(makers))(draw, draw(st.sampled_from(tuple(BODIES)))))()


def _post(kind: str, path: str, body: bytes, *, media_type: str = JSON_TYPE, chunked: bool = False) -> HostileRequest:
    return HostileRequest(kind, "POST", path, (("content-type", media_type),), body, chunked)


def _placed(draw: st.DrawFn, path: str, value: Any) -> dict[str, Any]:
    """The right body of `path` with `value` in one of its fields."""
    body = json.loads(json.dumps(BODIES[path]))
    if path != "/v1/track":
        field = draw(st.sampled_from(sorted(body)))
        body[field] = [value] if field == "texts" and draw(st.booleans()) else value
        return dict(body)
    event = body["events"][0]
    event["event_name"] = draw(st.sampled_from(sorted(EventName)))
    event["event_id"] = draw(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=12))
    field = draw(st.sampled_from((*EVENT_FIELDS, *sorted(PARAM_NAMES), "item", "custom")))
    if field in EVENT_FIELDS:
        event[field] = value
    elif field == "item":
        named = draw(st.sampled_from(("item_id", "item_name", "price", "quantity", "index", "discount", "x")))
        event["params"]["items"] = [{"item_id": "i-1", named: value}]
    elif field == "custom":
        event["params"]["custom"] = {draw(st.text(max_size=70)): value}
    else:
        event["params"][field] = value
    return dict(body)


def _wrong_type(draw: st.DrawFn, path: str) -> HostileRequest:
    value = draw(json_values)
    whole = draw(st.integers(0, 9)) == 0
    return _post("wrong type", path, json.dumps(value if whole else _placed(draw, path, value)).encode())


def _literal(draw: st.DrawFn, path: str) -> HostileRequest:
    times = st.sampled_from(_TIMES).map(json.dumps)
    literal = draw(st.sampled_from(_NUMBERS) | st.sampled_from(_TEXTS) | times)
    body = json.dumps(_placed(draw, path, _PLACE)).replace(json.dumps(_PLACE), literal)
    return _post("number, text or time", path, body.encode("utf-8", "surrogatepass"))


def _deep(draw: st.DrawFn, path: str) -> HostileRequest:
    levels = draw(st.sampled_from((3, 15, 16, 17, 200, 1_000, 1_100, 100_000)))
    opens, closes = draw(st.sampled_from((("[", "]"), ('{"a":', "}"), ('[{"a":', "}]"))))
    inner = opens * levels + "1" + (closes * levels if draw(st.booleans()) else "")
    if draw(st.booleans()):
        return _post("deep", path, inner.encode())
    return _post("deep", path, json.dumps(_placed(draw, path, _PLACE)).replace(json.dumps(_PLACE), inner).encode())


def _duplicate_keys(draw: st.DrawFn, path: str) -> HostileRequest:
    body = json.dumps(BODIES[path])
    other = json.dumps(_placed(draw, path, draw(json_values)))
    doubled = draw(st.sampled_from((body[:-1] + ", " + other[1:], other[:-1] + ", " + body[1:])))
    if draw(st.booleans()):
        field = draw(st.sampled_from(("event_id", "text", "texts", "params")))
        doubled = doubled.replace(f'"{field}":', f'"{field}": null, "{field}":')
    return _post("duplicate keys", path, doubled.encode())


def _damaged(draw: st.DrawFn, path: str) -> HostileRequest:
    body = bytearray(json.dumps(BODIES[path], ensure_ascii=draw(st.booleans())).encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(body)))
        change = draw(st.integers(0, 2))
        if change == 0:
            body[at:at] = draw(st.sampled_from(_RAW_BYTES) | st.binary(min_size=1, max_size=4))
        elif change == 1:
            del body[at:]
        else:
            del body[at : at + draw(st.integers(1, 5))]
    return _post("damaged", path, bytes(body), chunked=draw(st.booleans()))


def _bytes(draw: st.DrawFn, path: str) -> HostileRequest:
    return _post("bytes", path, draw(st.binary(max_size=200)), chunked=draw(st.booleans()))


def _large(draw: st.DrawFn, path: str) -> HostileRequest:
    # Few of them: each takes as long as hundreds of the others.
    if draw(st.integers(0, 9)):
        return _wrong_type(draw, path)
    event = BODIES["/v1/track"]["events"][0]
    body = draw(
        st.sampled_from(
            (
                lambda: b" " * TEN_MEGABYTES,
                lambda: b'{"texts": ["' + b"a" * TEN_MEGABYTES + b'"]}',
                lambda: b"[" + b"0," * (TEN_MEGABYTES // 2) + b"0]",
                lambda: b'{"events": [' + b"{}," * (MAX_BODY_BYTES // 3 - 10) + b"{}]}",
                lambda: b"[" * (MAX_BODY_BYTES - 1),
                lambda: json.dumps({"events": [{}] * (MAX_EVENTS + 1)}).encode(),
                lambda: json.dumps({"events": [{**event, "event_id": f"l-{n}"} for n in range(MAX_EVENTS)]}).encode(),
                lambda: json.dumps({"texts": ["a1@b.c " * 20] * MAX_TEXTS}).encode(),
                lambda: json.dumps({f"k{n}": n for n in range(200_000)}).encode(),
            )
        )
    )()
    return _post("large", path, body, chunked=draw(st.booleans()))


def _headers(draw: st.DrawFn, path: str) -> HostileRequest:
    body = json.dumps(BODIES[path]).encode()
    media_type = st.sampled_from(
        (
            *("application/vnd.bentoml+pickle", "application/octet-stream", "text/plain", "multipart/form-data", ""),
            *(
                "application/json; charset=utf-16",
                "APPLICATION/JSON",
                "application/json, text/html",
                "application/jsonp",
            ),
            *(JSON_TYPE, f"{JSON_TYPE};" + "x" * 4_000),
        )
    )
    odd = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)
    name = st.sampled_from(
        (
            "authorization",
            "accept",
            "content-encoding",
            "origin",
            "cookie",
            "x-request-id",
            "traceparent",
            "range",
            "host",
        )
    )
    extra = draw(st.lists(st.tuples(name, odd | st.sampled_from(("gzip", "null", "*/*", "Bearer"))), max_size=3))
    headers = (("content-type", draw(media_type)), *extra)
    return HostileRequest("headers", "POST", path, headers, body, draw(st.booleans()))


def _elsewhere(draw: st.DrawFn, path: str) -> HostileRequest:
    method = draw(st.sampled_from(("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "POST", "BREW")))
    odd = st.text(st.sampled_from("/%.?&=;#~abv1\\{}[]<>'\"@:*"), max_size=30).map(lambda text: f"/{text}")
    known = (*BODIES, "/v1/release", "/livez", "/readyz", "/metrics", "/docs.json")
    altered = st.sampled_from(known).flatmap(
        lambda found: st.sampled_from(
            (found, found + "/", "/" + found, found + "?a=b&a", found.upper(), found + "%00", found + "/../livez")
        )
    )
    target = draw(altered | odd).replace("#", "%23").replace(" ", "%20")
    body = b"" if method in ("GET", "HEAD", "TRACE", "OPTIONS") else json.dumps(BODIES[path]).encode()
    return HostileRequest("path and method", method, target, (("content-type", JSON_TYPE),), body)
