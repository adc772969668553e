"""The answers of the service as frozen records. A field that a newer service adds is left aside."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from intent_tracking.client.errors import UnexpectedAnswerError

Record = TypeVar("Record")


@dataclass(frozen=True)
class Intent:
    """One thing the shopper may want, with its calibrated probability."""

    name: str
    probability: float


@dataclass(frozen=True)
class KeyInformation:
    """A value that the shopper named: `text[start:end]`."""

    name: str
    value: str
    start: int
    end: int


@dataclass(frozen=True)
class Rejected:
    """Why the event at `index` of the call was not accepted."""

    index: int
    reason: str


@dataclass(frozen=True)
class Session:
    """What one session looks like after its new events."""

    session_id: str
    scene: str
    intents: tuple[Intent, ...]
    out_of_scope: bool
    key_information: tuple[KeyInformation, ...]
    purchase_probability: float | None
    actions: tuple[str, ...]


@dataclass(frozen=True)
class TrackAnswer:
    """What was stored, and what the sessions that it belongs to look like now."""

    accepted: int
    duplicates: int
    rejected: tuple[Rejected, ...]
    sessions: tuple[Session, ...]
    model_version: str | None


@dataclass(frozen=True)
class TextPrediction:
    """What one text says."""

    intents: tuple[Intent, ...]
    out_of_scope: bool
    key_information: tuple[KeyInformation, ...]


@dataclass(frozen=True)
class IntentAnswer:
    """One prediction for each text, in the order given."""

    predictions: tuple[TextPrediction, ...]
    model_version: str


@dataclass(frozen=True)
class WordWeight:
    """What a word counts for the intent, as probability: `text[start:end]` of the text sent; below 0 speaks against."""

    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class BehaviourWeight:
    """What the scene, or the kind of event, counts for the intent."""

    text: str
    weight: float


@dataclass(frozen=True)
class Explanation:
    """Why a text has its intent."""

    intent: str
    probability: float
    words: tuple[WordWeight, ...]
    behaviour: tuple[BehaviourWeight, ...]
    method: str
    model_version: str


@dataclass(frozen=True)
class Words:
    """The same in English and Chinese."""

    en: str
    zh: str


@dataclass(frozen=True)
class ProfileTrait:
    """What sets a shopper apart, with the shopper's value, what is typical of the shop, and what it was read from."""

    level: str
    words: Words
    what: Words
    value: float
    typical: float
    percentile: float | None
    source: str


@dataclass(frozen=True)
class Profile:
    """Who a shopper is; `stale` names what is older than it should be."""

    segment: str
    name: Words
    traits: Mapping[str, ProfileTrait]
    features: Mapping[str, float | None]
    as_of: datetime
    stale: tuple[str, ...]
    segment_version: str


@dataclass(frozen=True)
class RecommendedItem:
    """An item, its name (None: unknown), its score before open items and variety had their say, and why it is shown."""

    item_id: str
    name: str | None
    score: float
    reason: str


@dataclass(frozen=True)
class Recommendations:
    """Items, best first, the strategy that chose them, and the intent that chose the strategy, None where unknown."""

    items: tuple[RecommendedItem, ...]
    strategy: str
    intent: str | None


@dataclass(frozen=True)
class Candidate:
    """A passage that the shop wrote; `score` is the probability that it answers."""

    text: str
    score: float
    id: str


@dataclass(frozen=True)
class DeskAnswer:
    """What to say; `source` is `template:<intent>`, `passage:<id>`, `generated:<id>,<id>`, or `handover`."""

    answer: str
    source: str
    candidates: tuple[Candidate, ...]
    intent: str | None
    key_information: tuple[KeyInformation, ...]


@dataclass(frozen=True)
class Risk:
    """How risky something is (0 to 1), what to do (allow, review or block), and why."""

    score: float
    decision: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ErasedPlace:
    """What was removed from one place; `complete` is false where the erasure job goes on."""

    place: str
    records: int
    complete: bool


@dataclass(frozen=True)
class Erasure:
    """What was removed at once, and where the erasure job goes on; `request` names its record and its proof."""

    request: str
    until: datetime
    removed: tuple[ErasedPlace, ...]
    left_to_job: tuple[str, ...]


@dataclass(frozen=True)
class ReleasedComponent:
    """The exact version of one live artifact."""

    version: str
    manifest_sha256: str


@dataclass(frozen=True)
class Release:
    """Which release the process that answered serves, and what it could not load."""

    number: int
    model_version: str
    created_at: datetime
    loaded_at: datetime
    reason: str
    components: Mapping[str, ReleasedComponent]
    refused: str | None


def merged(answers: Sequence[TrackAnswer], counts: Sequence[int]) -> TrackAnswer:
    """One answer for the calls that a long list was sent in, `counts` events each: indices count in the whole list."""
    rejected: list[Rejected] = []
    begin = 0
    for answer, count in zip(answers, counts, strict=True):
        rejected += [Rejected(begin + each.index, each.reason) for each in answer.rejected]
        begin += count
    return TrackAnswer(
        accepted=sum(answer.accepted for answer in answers),
        duplicates=sum(answer.duplicates for answer in answers),
        rejected=tuple(rejected),
        # A session that several calls moved is as the last of them left it.
        sessions=tuple({session.session_id: session for answer in answers for session in answer.sessions}.values()),
        model_version=answers[-1].model_version,
    )


def decode(form: type[Record], value: object) -> Record:
    """`value`, decoded from JSON, as the record `form`.

    Raises:
        UnexpectedAnswerError: a field is missing or of another type; the message names it.
    """
    return cast("Record", _decoded(form, value, form.__name__))


def _decoded(form: Any, value: object, where: str) -> object:
    if is_dataclass(form):
        return _record(cast("type", form), value, where)
    origin, arguments = get_origin(form), get_args(form)
    if origin in (types.UnionType, Union):
        return None if value is None else _decoded(arguments[0], value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_decoded(arguments[0], each, f"{where}[{index}]") for index, each in enumerate(value))
    if origin is Mapping and isinstance(value, dict):
        return {name: _decoded(arguments[1], each, f"{where}.{name}") for name, each in value.items()}
    if form is datetime and isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError as error:
            raise UnexpectedAnswerError(f"{where} is no time: {value[:40]!r}") from error
    if form is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is form:
        return value
    raise UnexpectedAnswerError(f"{where} is a {type(value).__name__}, not as this client knows the answer")


def _record(form: type, value: object, where: str) -> object:
    if not isinstance(value, dict):
        raise UnexpectedAnswerError(f"{where} is a {type(value).__name__}, not an object")
    found: dict[str, object] = {}
    hints = _hints(form)
    for each in fields(form):
        if each.name in value:
            found[each.name] = _decoded(hints[each.name], value[each.name], f"{where}.{each.name}")
        elif each.default is MISSING and each.default_factory is MISSING:
            raise UnexpectedAnswerError(f"{where}.{each.name} is missing")
    return form(**found)


@cache
def _hints(form: type) -> dict[str, Any]:
    return get_type_hints(form)
