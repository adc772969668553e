"""Each operation of the service as a request and the reading of its answer, without a word of how either travels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

from intent_tracking.client.answers import (
    DeskAnswer,
    Erasure,
    Explanation,
    IntentAnswer,
    Profile,
    Recommendations,
    Release,
    Risk,
    TrackAnswer,
    decode,
)
from intent_tracking.client.errors import ServiceError, UnexpectedAnswerError
from intent_tracking.client.events import body_of

Answer = TypeVar("Answer")
# The longest wait that an answer may ask for: the date of a proxy whose clock is wrong must not end all calls.
MOST_SECONDS: Final = 86_400.0


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """One request: POST with a body, GET without."""

    path: str
    answer: type[Answer]
    body: bytes | None = None

    @property
    def method(self) -> str:
        """The HTTP method."""
        return "GET" if self.body is None else "POST"


def track(lines: Sequence[bytes]) -> Call[TrackAnswer]:
    """Record encoded events."""
    return Call("/v1/track", TrackAnswer, body_of(lines))


def intent(texts: Sequence[str], scene: str) -> Call[IntentAnswer]:
    """Say what texts want."""
    return Call("/v1/intent", IntentAnswer, _json({"texts": list(texts), "scene": scene}))


def explain(text: str, scene: str, intent_name: str | None) -> Call[Explanation]:
    """Say which words of a text speak for its intent."""
    named = {} if intent_name is None else {"intent": intent_name}
    return Call("/v1/explain", Explanation, _json({"text": text, "scene": scene, **named}))


def profile(user_id: str) -> Call[Profile]:
    """Say who a shopper is."""
    return Call("/v1/profile", Profile, _json({"user_id": user_id}))


def recommend(
    user_id: str | None, session_id: str | None, items: Sequence[str], k: int, language: str | None
) -> Call[Recommendations]:
    """Recommend items to a shopper."""
    asked = {"user_id": user_id, "session_id": session_id, "items": list(items), "k": k, "language": language}
    return Call("/v1/recommend", Recommendations, _json({n: value for n, value in asked.items() if value is not None}))


def answer(question: str, session_id: str | None, k: int) -> Call[DeskAnswer]:
    """Answer a question at the desk."""
    session = {} if session_id is None else {"session_id": session_id}
    return Call("/v1/answer", DeskAnswer, _json({"question": question, "k": k, **session}))


def risk(user_id: str | None, session_id: str | None, transaction: Mapping[str, Any] | None) -> Call[Risk]:
    """Judge a session, a shopper or an order."""
    asked = {"user_id": user_id, "session_id": session_id, "transaction": transaction}
    return Call("/v1/risk", Risk, _json({name: value for name, value in asked.items() if value is not None}))


def erase(user_id: str) -> Call[Erasure]:
    """Remove one person."""
    return Call("/v1/erase", Erasure, _json({"user_id": user_id}))


def release() -> Call[Release]:
    """Name the release that is served."""
    return Call("/v1/release", Release)


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def read_answer(call: Call[Answer], status: int, headers: Mapping[str, str], content: bytes) -> Answer:
    """The answer of `call`; names in `headers` are looked up in lower case.

    Raises:
        ServiceError: the service refused.
        UnexpectedAnswerError: this is no answer of the operation.
    """
    if not 200 <= status < 300:
        raise _service_error(status, headers, content)
    try:
        value = json.loads(content)
    except ValueError as error:
        raise UnexpectedAnswerError(f"{call.method} {call.path} answered {status} without JSON: {error}") from error
    return decode(call.answer, value)


def _service_error(status: int, headers: Mapping[str, str], content: bytes) -> ServiceError:
    retry_after = _seconds(headers.get("retry-after", ""))
    try:
        detail = json.loads(content)["error"]
        return ServiceError(status, str(detail["code"]), str(detail["message"]), detail.get("field"), retry_after)
    except (ValueError, KeyError, TypeError, AttributeError):
        # A proxy or a load balancer before the service answered in its own words.
        phrase = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "unknown status"
        return ServiceError(status, f"http_{status}", f"{phrase}, in no form of the service", None, retry_after)


def _seconds(retry_after: str) -> float | None:
    """The header in both of its forms (RFC 9110, 10.2.3); None where it is absent or neither."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MOST_SECONDS)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), MOST_SECONDS)
