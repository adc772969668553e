"""From predictions of the model to the answers of the interface and the rows of the prediction log."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Literal

from bentos.intent_service.actions import recommended_actions
from bentos.intent_service.schemas import (
    BehaviourWeight,
    ExplainAnswer,
    Intent,
    KeyInformation,
    SessionAnswer,
    WordWeight,
)
from bentos.intent_service.tracking import Touched
from intent_tracking.events.contract import Scene
from intent_tracking.inference import OUT_OF_SCOPE_LABEL, ModelInput, Prediction
from intent_tracking.modeling.explaining import Explanation
from intent_tracking.prediction_log import ServedPrediction
from intent_tracking.sessions.render import free_text_with_offsets


def intents_of(prediction: Prediction) -> list[Intent]:
    """Intents as answered, most probable first."""
    return [Intent(name=score.name, probability=probability_of(score.probability)) for score in prediction.intents]


def purchase_probability_of(prediction: Prediction) -> float | None:
    """The probability that the session buys; None where the model was trained without outcomes."""
    probability = prediction.purchase_probability
    return None if math.isnan(probability) else probability_of(probability)


def key_information_of(prediction: Prediction) -> list[KeyInformation]:
    """Key information with offsets in the utterance as the model read it: clean and without personal data."""
    return [
        KeyInformation(name=span.name, value=span.value, start=span.start, end=span.end)
        for span in prediction.key_information
    ]


def key_information_in(original: str, entry: ModelInput, prediction: Prediction) -> list[KeyInformation]:
    """Key information with offsets in the text that the caller sent, `original[start:end] == value`.

    The model reads a clean text without personal data; the caller knows the one that was typed. A span that cleaning
    made out of nothing visible is left out.
    """
    if entry.text[entry.utterance_start : entry.utterance_end] == original:
        # Nothing was cleaned away, as in most texts: the offsets are those of the text that was typed.
        return key_information_of(prediction)
    back = free_text_with_offsets(original).map_span.inverted()
    found: list[KeyInformation] = []
    for span in prediction.key_information:
        start, end = back(span.start, span.end)
        if start < end:
            found.append(KeyInformation(name=span.name, value=original[start:end], start=start, end=end))
    return found


def text_answer(text: str, entry: ModelInput, prediction: Prediction) -> dict[str, Any]:
    """A `TextPrediction` as plain values: a call may have 256 of them, whose records would be checked for nothing."""
    return {
        "intents": [
            {"name": score.name, "probability": probability_of(score.probability)} for score in prediction.intents
        ],
        "out_of_scope": prediction.out_of_scope,
        "key_information": (
            [found.model_dump() for found in key_information_in(text, entry, prediction)]
            if prediction.key_information
            else []
        ),
    }


def session_answer(session: Touched, prediction: Prediction) -> SessionAnswer:
    """What the session looks like after its new events."""
    scene = Scene(session.entry.scene)
    return SessionAnswer(
        session_id=session.session_id,
        scene=scene,
        intents=intents_of(prediction),
        out_of_scope=prediction.out_of_scope,
        key_information=key_information_of(prediction),
        purchase_probability=purchase_probability_of(prediction),
        actions=recommended_actions(prediction.intents, out_of_scope=prediction.out_of_scope, scene=scene),
    )


def explain_answer(text: str, explanation: Explanation, model_version: str) -> ExplainAnswer:
    """Why `text` has its intent, with offsets in it as it was sent."""
    back = free_text_with_offsets(text).map_span.inverted()
    words = [(*back(word.start, word.end), word.weight) for word in explanation.words]
    return ExplainAnswer(
        intent=explanation.intent,
        probability=probability_of(explanation.probability),
        words=[
            WordWeight(text=text[start:end], start=start, end=end, weight=weight)
            for start, end, weight in words
            if start < end
        ],
        behaviour=[BehaviourWeight(text=part.text, weight=part.weight) for part in explanation.behaviour],
        method=explanation.method,
        model_version=model_version,
    )


def served(
    kind: Literal["track", "intent"],
    entry: ModelInput,
    prediction: Prediction,
    *,
    event_time: datetime,
    model_version: str,
    event_count: int,
    session_id: str | None = None,
    shopper_id: str | None = None,
) -> ServedPrediction:
    """The row of the prediction log; the text is what the model read, without personal data."""
    best = prediction.intents[0] if prediction.intents else None
    return ServedPrediction(
        event_time=event_time,
        kind=kind,
        session_id=session_id,
        shopper_id=shopper_id,
        scene=str(entry.scene),
        language=entry.language,
        text=entry.text,
        intent=best.name if best else OUT_OF_SCOPE_LABEL,
        confidence=best.probability if best else 0.0,
        out_of_scope=prediction.out_of_scope,
        purchase_probability=prediction.purchase_probability,
        unknown_share=prediction.unknown_share,
        event_count=event_count,
        embedding=prediction.embedding,
        model_version=model_version,
    )


def probability_of(value: float) -> float:
    """`value` within 0 and 1."""
    # float32 softmax may end a hair above 1.
    return 1.0 if value > 1.0 else 0.0 if value < 0.0 else value
