"""What a release may name beside the intent model, and how each is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from bentos.intent_service.releases import Application
from intent_tracking.applications.artifacts import ANSWER_INDEX, ITEM_INDEX, RISK_MODEL, USER_SEGMENTS


def _answer_index(folder: Path) -> Application:
    from intent_tracking.applications.customer_service.answer_index import AnswerIndex

    return AnswerIndex.load(folder)


def _risk_model(folder: Path) -> Application:
    from intent_tracking.applications.risk.model import RiskModel

    return RiskModel.load(folder)


def _user_segments(folder: Path) -> Application:
    from intent_tracking.applications.profiles.segments import Segments

    return Segments.load(folder)


def _item_index(folder: Path) -> Application:
    from intent_tracking.applications.recommendation.files import LiveIndex

    return LiveIndex(folder)


LOADERS: Final[Mapping[str, Callable[[Path], Application]]] = {
    ANSWER_INDEX: _answer_index,
    ITEM_INDEX: _item_index,
    RISK_MODEL: _risk_model,
    USER_SEGMENTS: _user_segments,
}
