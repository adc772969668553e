"""Questions and answers as JSON documents: what golden answers are written as."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

from intent_tracking.applications.artifacts import Document
from intent_tracking.applications.recommendation.history import History, Visit
from intent_tracking.applications.recommendation.interactions import Reach, day_of
from intent_tracking.applications.recommendation.item_index import ItemIndex
from intent_tracking.applications.recommendation.recommender import Question, Recommendations

_GOLDEN_COUNT: Final = 10


def question_of(document: Document) -> Question:
    """The question of `document_of`."""
    return Question(
        history=History.from_json(document["history"]),
        session=tuple((item, Reach(reach)) for item, reach in document["session"]),
        intent=document["intent"],
        day=date.fromisoformat(document["day"]),
        count=document["count"],
        language=document["language"],
    )


def document_of(question: Question) -> dict[str, Any]:
    """A question as JSON."""
    return {
        "history": question.history.to_json(),
        "session": [[item, int(reach)] for item, reach in question.session],
        "intent": question.intent,
        "day": question.day.isoformat(),
        "count": question.count,
        "language": question.language,
    }


def answer_document(answer: Recommendations) -> dict[str, Any]:
    """An answer as JSON."""
    return {
        "strategy": answer.strategy,
        "items": [[each.item_id, each.score, each.reason] for each in answer.items],
    }


def golden_questions(index: ItemIndex) -> Sequence[Question]:
    """Questions that no real shopper asked, about popular items: a newcomer, one with a past, and each intent of it."""
    ids = [index.catalogue.ids[item] for item in index.popular[:12]]
    today = day_of(index.day)
    past = History(
        (
            Visit(today - timedelta(days=40), dict.fromkeys(ids[:6], Reach.BOUGHT)),
            Visit(today - timedelta(days=9), dict.fromkeys(ids[3:8], Reach.BOUGHT)),
        )
    )
    session = [(item, Reach.LOOKED) for item in ids[8:11]]
    return [
        Question(History(), [], None, today, _GOLDEN_COUNT, "en"),
        Question(past, [], None, today, _GOLDEN_COUNT, "en"),
        *(Question(past, session, intent, today, _GOLDEN_COUNT, "zh") for intent in ("purchase", "compare", "explore")),
    ]
