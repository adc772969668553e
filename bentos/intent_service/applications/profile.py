"""`POST /v1/profile`: who a shopper is, with what it was read from."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Final, Literal

import orjson
from pydantic import ConfigDict, Field

from bentos.intent_service.errors import ErrorCode, RequestError
from bentos.intent_service.openapi import Operation
from bentos.intent_service.runtime import Runtime
from bentos.intent_service.schemas import Record
from intent_tracking.access.keys import Scope
from intent_tracking.applications.artifacts import USER_SEGMENTS
from intent_tracking.applications.profiles.segments import Segments, Trait
from intent_tracking.applications.profiles.traits import what_of, words_of
from intent_tracking.events.contract import Identifier
from intent_tracking.features.derived import USER_SEGMENT
from intent_tracking.features.online import DerivedRow, OnlineRow

_TASTE_SOURCE: Final = "validated_events and served_predictions of the last 30 days"


class Words(Record):
    """The same in two languages."""

    en: str
    zh: str


class ProfileRequest(Record):
    """Whom to describe, as events name the shopper: a user id, or `anonymous:` and an anonymous id."""

    model_config = ConfigDict(str_strip_whitespace=True)

    user_id: Identifier


class ProfileTrait(Record):
    """One trait with its evidence.

    Of a feature `value` is the shopper's and `typical` the shop's median, and `percentile` percent of the shop lie
    below the value. Of something liked `value` says how often the shopper dealt with it, and `typical` which share of
    the shop did at all.
    """

    level: Literal["high", "low", "usual", "likes"]
    words: Words
    what: Words
    value: float
    typical: float
    percentile: Annotated[float, Field(ge=0, le=100)] | None
    source: str


class ProfileAnswer(Record):
    """Who a shopper is.

    `features` are the values online now, null where nothing is stored or it is too old. `stale` names what is older
    than it should be: `segment`, or features.
    """

    segment: str
    name: Words
    traits: dict[str, ProfileTrait]
    features: dict[str, float | None]
    as_of: datetime
    stale: list[str]
    segment_version: str


async def answer_profile(runtime: Runtime, request: ProfileRequest) -> ProfileAnswer:
    """The profile of one shopper.

    Raises:
        RequestError: no segments are released, or none is stored for the shopper.
        sqlite3.Error: the online store cannot be read.
    """
    segments = runtime.application(USER_SEGMENTS, Segments)
    row = await runtime.shoppers.derived(USER_SEGMENT, request.user_id)
    if row is None:
        raise RequestError(
            HTTPStatus.NOT_FOUND,
            ErrorCode.NOT_FOUND,
            "no profile of this shopper is stored: profiles are made once a day, of shoppers seen in the last 30 days",
            "user_id",
        )
    return _answer(segments, row, await runtime.shoppers.online_features(request.user_id))


async def profile_of_session(runtime: Runtime, session_id: str) -> ProfileAnswer:
    """The profile of whom a live session is of, for one who knows no name of the shopper.

    Raises:
        RequestError: as `answer_profile`, or nobody knows the session.
    """
    runtime.application(USER_SEGMENTS, Segments)
    shopper = await runtime.shoppers.now(session_id, None)
    if shopper.shopper_id is None:
        raise RequestError(HTTPStatus.NOT_FOUND, ErrorCode.NOT_FOUND, "this session is over", "session_id")
    return await answer_profile(runtime, ProfileRequest(user_id=shopper.shopper_id))


def _answer(segments: Segments, row: DerivedRow, online: OnlineRow | None) -> ProfileAnswer:
    identifier = str(row.values["segment"])
    # Its row may be of a version before, whose segment the live one has retired; of one it never had, the id is left.
    name = segments.name_of(identifier) or {"en": identifier, "zh": identifier}
    traits = [Trait(**each) for each in orjson.loads(str(row.values["traits"]))]
    unusable = {*online.missing, *online.stale} if online else set()
    features = {
        feature: None if feature in unusable else float(value)
        for feature, value in (online.values if online else {}).items()
    }
    return ProfileAnswer(
        segment=identifier,
        name=Words(**name),
        traits={trait.trait: _trait(trait) for trait in traits},
        features=features,
        as_of=row.written.astimezone(UTC),
        stale=[*(["segment"] if row.stale else []), *(online.stale if online else ())],
        segment_version=str(row.values["segment_version"]),
    )


def _trait(trait: Trait) -> ProfileTrait:
    liked = trait.level == "likes"
    what = {"en": "times", "zh": "次数"} if liked else what_of(trait.trait)
    return ProfileTrait(
        level=trait.level,
        words=Words(**words_of(trait.trait, trait.level, trait.label)),
        what=Words(**what),
        value=trait.value,
        typical=trait.typical,
        percentile=trait.percentile,
        source=_TASTE_SOURCE if liked else f"user_features.{trait.trait}",
    )


OPERATION: Final = Operation(
    path="/v1/profile",
    method="post",
    name="profile",
    summary="Say who a shopper is, with the evidence.",
    description=(
        "The segment of the shopper, whose id and name stay when the segments are learned again, and the traits that "
        "speak for it: each with the shopper's value, what is typical of the shop, and what it was read from. "
        "Profiles are made once a day; `as_of` is the moment that this one holds for, and `stale` names what is older "
        "than it should be. A shopper without one, such as one who came today for the first time, is a 404."
    ),
    request=ProfileRequest,
    answer=ProfileAnswer,
    scope=Scope.READ,
    example={"user_id": "u-1842"},
    errors=(400, 404, 408, 413, 415, 422, 503),
)
