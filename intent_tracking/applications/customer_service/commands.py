"""The commands `answer` and `handovers`: what the desk would say, and whom it handed over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from intent_tracking.applications.customer_service.handover import read_handovers
from intent_tracking.settings import Settings

_HOME: Final = "INTENT_HOME"


def _require_home(settings: Settings) -> None:
    if not settings.home.is_dir():
        raise ValueError(f"{settings.home}: there is no such home; name the folder of the platform with {_HOME}")


def answer_command(question: str, k: int, settings: Settings) -> dict[str, Any]:
    """What `/v1/answer` says to `question` by the live release, without an endpoint's wording and without handing over.

    Raises:
        ValueError: the question is blank, there is no home, or no intent model or no answer index is released.
        ArtifactError: one of them cannot be read.
    """
    from intent_tracking.applications.customer_service.answering import Confidences, answer, require_words
    from intent_tracking.applications.customer_service.making import live_index
    from intent_tracking.artifact import INTENT_MODEL
    from intent_tracking.inference import IntentPredictor
    from intent_tracking.release import component_directory, read_release
    from intent_tracking.sessions.render import render_utterance

    require_words(question)
    _require_home(settings)
    index, live = live_index(settings), read_release(settings.release_file)
    if index is None or live is None or INTENT_MODEL not in live.components:
        raise ValueError(
            f"{settings.release_file}: "
            + ("names no answer_index and intent_model" if live else "is not there: nothing is released in this home")
            + f"; materialize both first, or name another home with {_HOME}"
        )
    model = component_directory(settings.release_file, live.components[INTENT_MODEL])
    entry = render_utterance(question)
    (prediction,) = IntentPredictor.load(model, settings.device).predict([entry])
    known = [(each.name, each.value) for each in prediction.key_information]
    confidences = Confidences(settings.answer_intent_confidence, settings.answer_confidence)
    said = answer(index, entry, prediction, known, k, confidences)
    return {
        "answer": said.text,
        "source": said.source,
        "candidates": [
            {"text": found.passage.text, "score": round(found.score, 4), "id": found.passage.id}
            for found in said.candidates
        ],
        "intent": said.intent,
        "key_information": [{"name": name, "value": value} for name, value in known],
    }


def handovers_command(settings: Settings) -> Iterator[dict[str, Any]]:
    """Every conversation that was handed over, oldest day first.

    Raises:
        ValueError: there is no home.
        HandoverError: a line of the log is none.
    """
    _require_home(settings)
    return read_handovers(settings.handovers)
