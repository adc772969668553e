"""Who answers a question: a template, a passage of the shop, or a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from intent_tracking.applications.customer_service.answer_index import AnswerIndex
from intent_tracking.applications.customer_service.retrieval import Found
from intent_tracking.applications.customer_service.templates import values_of
from intent_tracking.inference import OUT_OF_SCOPE_LABEL, Prediction
from intent_tracking.sessions.render import ModelInput
from intent_tracking.text.cleaning import clean

HANDOVER: Final = "handover"
TEMPLATE: Final = "template"
PASSAGE: Final = "passage"
MAX_GROUNDS: Final = 4


def require_words(question: str) -> None:
    """Raise a ValueError where a question holds nothing but blanks and what is invisible."""
    if not clean(question):
        raise ValueError("holds no words: give what the shopper asks")


@dataclass(frozen=True)
class Confidences:
    """From which probability on the desk answers by itself.

    Attributes:
        intent: the intent of a question is sure from here on.
        passage: a passage answers from here on.
        instead_of_asking: a passage answers from here on where the template would only ask for what it lacks.
    """

    intent: float = 0.6
    passage: float = 0.3
    instead_of_asking: float = 0.9


@dataclass(frozen=True)
class Answer:
    """What is said, who says it, and what else was found.

    Attributes:
        text: for the shopper.
        source: `template:<intent>`, `passage:<id>`, `generated:<id>,<id>` or `handover`.
        candidates: passages with their confidence, best first.
        intent: what the question was taken for; None where nothing was sure.
        grounds: the passages that a model may word the answer from; empty where the answer is no passage.
    """

    text: str
    source: str
    candidates: tuple[Found, ...]
    intent: str | None
    grounds: tuple[Found, ...] = ()

    @property
    def hands_over(self) -> bool:
        """Whether a person has to go on."""
        return self.source == HANDOVER


def answer(
    index: AnswerIndex,
    entry: ModelInput,
    prediction: Prediction,
    key_information: Sequence[tuple[str, str]],
    k: int,
    confidences: Confidences,
) -> Answer:
    """Answer one question.

    A sure intent answers by its template, unless that says to search first, or would ask for what it lacks although a
    passage all but certainly answers. Then the best passage answers if it is probable enough, then the template of the
    sure intent, and where nothing does, a person.

    Args:
        index: passages and templates.
        entry: the question as the model read it: clean, without personal data.
        prediction: what the model says of it.
        key_information: names and values as the shopper wrote them, for the slots of a template.
        k: how many candidates to give.
        confidences: from where on something is sure enough.
    """
    question = entry.text[entry.utterance_start : entry.utterance_end]
    found = tuple(index.search(question, max(k, MAX_GROUNDS)))
    candidates = found[:k]
    name = _taken_for(prediction, confidences.intent)
    template = index.templates.intents.get(name) if name is not None else None
    known = values_of(key_information)
    if name is None or template is None:
        said = Answer(index.templates.handover.of(entry.language), HANDOVER, candidates, name)
    else:
        text = index.templates.say(name, entry.language, known)
        said = Answer(text, HANDOVER if template.handover else f"{TEMPLATE}:{name}", candidates, name)
    least = confidences.passage
    if name is not None and template is not None and not template.search_first:
        if template.handover or not index.templates.missing(name, entry.language, known):
            return said
        least = max(least, confidences.instead_of_asking)
    grounds = tuple(each for each in found[:MAX_GROUNDS] if each.score >= least)
    if not grounds:
        return said
    best = grounds[0].passage
    return Answer(best.text, f"{PASSAGE}:{best.id}", candidates, name, grounds)


def _taken_for(prediction: Prediction, least: float) -> str | None:
    """The sure intent, or `oos`; None where the model is not sure."""
    if prediction.out_of_scope:
        return OUT_OF_SCOPE_LABEL
    best = prediction.intents[0] if prediction.intents else None
    return best.name if best is not None and best.probability >= least else None
