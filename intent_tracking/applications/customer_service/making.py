"""From the folder of the shop to an index that is judged: what the asset, and a person at the command line, call."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

from intent_tracking.applications.artifacts import ANSWER_INDEX, judged, verified
from intent_tracking.applications.customer_service.answer_index import AnswerIndex, build_answer_index
from intent_tracking.applications.customer_service.golden import Judgement, judge, read_golden
from intent_tracking.applications.customer_service.passages import Problem, read_answers
from intent_tracking.applications.customer_service.ranking import shipped_ranker
from intent_tracking.applications.customer_service.templates import read_templates
from intent_tracking.artifact import ArtifactError
from intent_tracking.modeling.encoder import find_encoder
from intent_tracking.release import component_directory, read_release
from intent_tracking.settings import Settings

logger = logging.getLogger(__name__)

NO_ENCODER: Final = "none"
# Of a shop that has written nothing yet.
_FIRST_DAY: Final = date(2026, 1, 1)


@dataclass(frozen=True)
class Made:
    """An index in its folder, how it was judged, and what of the shop's files could not be read."""

    folder: Path
    passages: int
    problems: tuple[Problem, ...]
    judgement: Judgement


def make_answer_index(settings: Settings) -> Made:
    """Index what the shop wrote, and judge it against the live index; one that may not go live is marked so.

    Raises:
        TemplateError, GoldenError: such a file of the shop is not of its form.
        EncoderError: the encoder of the settings cannot be had.
    """
    reading = read_answers(settings.answers)
    templates, golden = read_templates(settings.answers), read_golden(settings.answers)
    base = None if settings.answer_encoder == NO_ENCODER else find_encoder(settings.answer_encoder)
    folder = build_answer_index(
        settings.applications, reading.passages, templates, shipped_ranker(), base, _newest_day(settings.answers)
    )
    metrics = verified(folder, ANSWER_INDEX).metrics
    judgement = judge(AnswerIndex.load(folder), metrics.get("own_title_in_three"), _to_beat(settings), golden)
    judged(folder, judgement.reasons)
    return Made(folder, len(reading.passages), reading.problems, judgement)


def live_index(settings: Settings) -> AnswerIndex | None:
    """What answers now; None where no answer index is released.

    Raises:
        ArtifactError: it cannot be read.
    """
    live = read_release(settings.release_file)
    component = live.components.get(ANSWER_INDEX) if live else None
    return None if component is None else AnswerIndex.load(component_directory(settings.release_file, component))


def _to_beat(settings: Settings) -> AnswerIndex | None:
    """The live index; None also where it is damaged or of an older form: no service serves it, and it must go."""
    try:
        return live_index(settings)
    except ArtifactError as error:
        logger.warning("the new index is judged alone, the live one cannot be read: %s", error)
        return None


def _newest_day(folder: Path) -> date:
    """The UTC day on which the newest file was written: equal files give an equal version."""
    times = [path.stat().st_mtime for path in folder.rglob("*") if path.is_file()]
    return datetime.fromtimestamp(max(times), UTC).date() if times else _FIRST_DAY
