"""`POST /v1/recommend`: items for one shopper at this moment, chosen by what the shopper wants."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from bentos.intent_service.errors import ErrorCode, RequestError
from bentos.intent_service.openapi import Operation
from bentos.intent_service.runtime import Runtime
from bentos.intent_service.schemas import Record
from bentos.intent_service.shopper import Shopper
from intent_tracking.access.keys import Scope
from intent_tracking.applications.artifacts import ITEM_INDEX
from intent_tracking.applications.recommendation.files import LiveIndex
from intent_tracking.applications.recommendation.history import History
from intent_tracking.applications.recommendation.interactions import REACH_OF_EVENT, Reach
from intent_tracking.applications.recommendation.recommender import MOST_ITEMS, Question
from intent_tracking.applications.recommendation.rules import Rules, RulesError, live_rules
from intent_tracking.events.contract import Identifier
from intent_tracking.features.derived import USER_ITEMS
from intent_tracking.inference import Prediction

MAX_CONTEXT_ITEMS: Final = 50


class RecommendRequest(Record):
    """Whom to recommend to, and where: each field adds to what is known, and none is needed.

    `items` are the items of the page, newest last. Without `language` a reason is in the language of its item's name.
    """

    user_id: Identifier | None = None
    session_id: Identifier | None = None
    items: Annotated[list[Identifier], Field(max_length=MAX_CONTEXT_ITEMS, default_factory=list)]
    k: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = 10
    language: Literal["en", "zh"] | None = None


class RecommendedItem(Record):
    """An item, its name (null: unknown), its score before open items and variety had their say, and why it is shown."""

    item_id: str
    name: str | None
    score: Annotated[float, Field(ge=0)]
    reason: str


class RecommendAnswer(Record):
    """Items, best first; `intent` is what the model says the shopper wants, null where it says nothing."""

    items: list[RecommendedItem]
    strategy: str
    intent: str | None


async def answer_recommend(runtime: Runtime, request: RecommendRequest) -> RecommendAnswer:
    """Recommendations from the live index.

    Raises:
        RequestError: no model or no item_index is released, or the shop's rules cannot be used.
        OSError, sqlite3.Error: the session state, the online store or the home cannot be read.
    """
    live = runtime.application(ITEM_INDEX, LiveIndex)
    shopper = await runtime.shoppers.now(request.session_id, request.user_id)
    row = await runtime.shoppers.derived(USER_ITEMS, shopper.shopper_id) if shopper.shopper_id is not None else None
    history = History.from_json(str(row.values["items"])) if row is not None else History()
    rules = await _rules(runtime)
    question = _question(shopper, history, request, rules.least_probability)
    answer = await runtime.in_thread(live.recommender.recommend, question, rules)
    return RecommendAnswer(
        items=[RecommendedItem(item_id=i.item_id, name=i.name, score=i.score, reason=i.reason) for i in answer.items],
        strategy=answer.strategy,
        intent=question.intent,
    )


async def _rules(runtime: Runtime) -> Rules:
    path = runtime.settings.recommendation_rules
    try:
        return await runtime.in_storage(live_rules(path).current)
    except RulesError as error:
        raise RequestError(
            503,
            ErrorCode.NOT_CONFIGURED,
            f"{path.name} cannot be used: mend it; the log of the service says what is wrong in it",
            headers={"Retry-After": "5"},
        ) from error


def _sure_intent(prediction: Prediction | None, least_probability: float) -> str | None:
    """The intent that chooses; a complaint that is as likely as not must not keep everything from being shown."""
    if prediction is None or prediction.out_of_scope or not prediction.intents:
        return None
    best = prediction.intents[0]
    return best.name if best.probability >= least_probability else None


def _question(shopper: Shopper, history: History, request: RecommendRequest, least_probability: float) -> Question:
    session = shopper.session
    seen = [
        (item.item_id or item.item_name or "", REACH_OF_EVENT[event.event_name])
        for event in (session.events if session is not None else ())
        if event.event_name in REACH_OF_EVENT
        for item in event.items
    ]
    return Question(
        history=history,
        session=[*seen, *((item, Reach.LOOKED) for item in request.items)],
        intent=_sure_intent(shopper.prediction, least_probability),
        # Archived traffic has a clock of its own.
        day=(session.last_event_at if session is not None else datetime.now(UTC)).date(),
        count=request.k,
        language=request.language,
    )


OPERATION: Final = Operation(
    path="/v1/recommend",
    method="post",
    name="recommend",
    summary="Recommend items to a shopper at this moment.",
    description=(
        "What the shopper wants, as the live model reads the session, chooses the strategy: who is about to buy gets "
        "the item and what goes with it, who compares gets alternatives, who explores gets something new, and who "
        "complains gets nothing. The shop's rules say which intent has which strategy, and what is never shown. The "
        "session is that of `session_id`, else the one of `user_id` that is under way; earlier purchases are those of "
        "the shopper up to the day before. A shopper of whom nothing is known gets what is popular. The order "
        "is the answer: open items come first and variety moves others, whatever their score. Scores of two answers do "
        "not compare."
    ),
    request=RecommendRequest,
    answer=RecommendAnswer,
    scope=Scope.READ,
    example={"user_id": "u-1842", "items": ["sku-7"], "k": 4},
    errors=(400, 408, 413, 415, 422, 503),
)
