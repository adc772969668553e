"""Why the model gave an intent: how much each word, and each step of the behaviour, counts for it.

A part of the text counts as much as the probability of the intent falls without it. Only predictions are asked for, so
that any runtime of the network can be explained, int8 included, and the service needs no gradients.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Final, Protocol

from intent_tracking.modeling.prediction import Prediction
from intent_tracking.sessions.render import ModelInput
from intent_tracking.sessions.vocabulary import EVENT_TOKENS, GAP_TOKENS, PLACEHOLDER_TOKENS
from intent_tracking.text.cleaning import CUT
from intent_tracking.text.spans import replace_spans

MAX_PARTS: Final = 64
"""Words of a longer input are joined into runs: it bounds the predictions that one explanation takes."""

# Characters: a cut lies nearer to the middle of what is left.
_NEAR_THE_MIDDLE: Final = 150

METHOD: Final = "first and last Shapley terms"


def _any_of(tokens: Collection[str]) -> str:
    return "|".join(map(re.escape, tokens))


# Any that `scene_token` makes: a shop may have scenes of its own.
_SCENE: Final = re.compile("<scene:[a-z0-9_]+>")
_CUT: Final = CUT.strip()
# A silence belongs to the event that ended it.
_STEP: Final = re.compile(f"{_SCENE.pattern}|(?:(?:{_any_of(GAP_TOKENS)}) )?(?:{_any_of(EVENT_TOKENS.values())})")
_IDEOGRAPH: Final = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# A placeholder, the mark of a cut, one ideograph, a word with what joins it ("don't", "e-mail", "19.90"), or any other
# visible character.
_WORD: Final = re.compile(
    rf"{_any_of((*PLACEHOLDER_TOKENS, _CUT))}|[{_IDEOGRAPH}]|[^\W{_IDEOGRAPH}]+(?:['’.,\-][^\W{_IDEOGRAPH}]+)*|\S"
)
_EXTRA_SPACES: Final = re.compile(r"(?<= ) +|^ +| +$")


class UnknownIntentError(ValueError):
    """The model does not know the intent that is to be explained."""


class PartKind(StrEnum):
    """What a part of the model's text stands for."""

    WORD = "word"
    SCENE = "scene"
    EVENT = "event"


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the model's text that is taken away as a whole: `entry.text[start:end] == text`."""

    kind: PartKind
    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Attribution:
    """What one part counts for the intent, in probability: above 0 it speaks for the intent, below 0 against it.

    Offsets of a word are relative to the utterance, `utterance[start:end] == text`; of the rest, to the model's text.
    """

    kind: PartKind
    text: str
    start: int
    end: int
    weight: float


@dataclass(frozen=True)
class Explanation:
    """Why `intent` has its `probability`.

    Attributes:
        baseline: what is left of the probability when every part is taken away.
        words: the words of the newest free text, in order.
        behaviour: the scene and the events around it, oldest first; an event comes with the words that it carries.
        method: how the weights were found.
    """

    intent: str
    probability: float
    baseline: float
    words: tuple[Attribution, ...]
    behaviour: tuple[Attribution, ...]
    method: str = METHOD


class Predictor(Protocol):
    """What is explained; `IntentPredictor` is one."""

    def predict(self, inputs: Sequence[ModelInput], /) -> list[Prediction]:
        """Predict the inputs in the order given, with every intent."""
        ...


def explain(predictor: Predictor, entry: ModelInput, intent: str | None = None) -> Explanation:
    """What each part of `entry` counts for the most probable intent, or for the one named.

    The weight of a part is the mean of two differences in probability: the whole input without it, and the part alone
    against none of its kind, where a word stands alone in its scene and event. They are the first and the last of the
    terms that Shapley's value averages (Lundberg and Lee 2017, arXiv:1705.07874): the last alone misses a word that
    another one repeats, the first alone a word that only means something beside another. It takes two predictions a
    part and no random draw.

    Raises:
        UnknownIntentError: the model does not know `intent`, or knows none at all.
    """
    parts = parts_of(entry)
    every = set(parts)
    spoken = {part for part in parts if part.kind is PartKind.WORD}
    inputs = [entry, without(entry, every), without(entry, spoken)]
    for part in parts:
        inputs += [without(entry, {part}), without(entry, (spoken if part in spoken else every) - {part})]
    answers = predictor.predict(inputs)
    if intent is None:
        if not answers[0].intents:
            raise UnknownIntentError("the model knows no intent: there is nothing to explain")
        intent = answers[0].intents[0].name
    whole, nothing, silent, *changed = (intent_probability(answer, intent) for answer in answers)
    words: list[Attribution] = []
    behaviour: list[Attribution] = []
    for part, left, alone in zip(parts, changed[::2], changed[1::2], strict=True):
        weight = ((whole - left) + (alone - (silent if part in spoken else nothing))) / 2
        if part.kind is PartKind.WORD:
            first = entry.utterance_start
            words.append(Attribution(part.kind, part.text, part.start - first, part.end - first, weight))
        else:
            behaviour.append(Attribution(part.kind, part.text, part.start, part.end, weight))
    return Explanation(intent, whole, nothing, tuple(words), tuple(behaviour))


def intent_probability(prediction: Prediction, intent: str) -> float:
    """Probability of an intent that the model knows.

    Raises:
        ValueError: it does not know it.
    """
    for score in prediction.intents:
        if score.name == intent:
            return score.probability
    known = ", ".join(sorted(score.name for score in prediction.intents))
    raise UnknownIntentError(f"the model knows no intent {intent!r}; it knows {known or 'none'}")


def words_of(text: str) -> list[tuple[int, int]]:
    """Character offsets of the words of `text`; between them lies nothing but white space."""
    return [found.span() for found in _WORD.finditer(text)]


def parts_of(entry: ModelInput) -> tuple[Part, ...]:
    """What can be taken away from `entry`, in the order of its text.

    The words of the utterance one by one; around it the scene, and each event with its words.
    """
    text, first, last = entry.text, entry.utterance_start, entry.utterance_end
    around = ((0, first), (last, len(text))) if last else ((0, len(text)),)
    before, *after = (_steps(text, start, end) for start, end in around)
    steps = len(before) + sum(map(len, after))
    words = [(start + first, end + first) for start, end in words_of(text[first:last])]
    # What was cut out of a long letter belongs to no part: each dots near its middle are one by themselves.
    cuts = [
        place for place, (start, end) in enumerate(words) if _may_be_cut(text[start:end], start, (first + last) / 2)
    ]
    run = -(-len(words) // max(MAX_PARTS - steps - 2 * len(cuts) - 1, 1))
    borders = sorted({0, len(words), *(border for place in cuts for border in (place, place + 1))})
    pieces = [words[start:end] for start, end in pairwise(borders)]
    runs = [piece[place : place + run] for piece in pieces for place in range(0, len(piece), run)]
    spoken = [Part(PartKind.WORD, text[part[0][0] : part[-1][1]], part[0][0], part[-1][1]) for part in runs]
    return (*before, *spoken, *(step for steps_after in after for step in steps_after))


def _may_be_cut(word: str, start: int, middle: float) -> bool:
    return word == _CUT and abs(start - middle) < _NEAR_THE_MIDDLE


def _steps(text: str, start: int, end: int) -> list[Part]:
    """Scene and events with their words between `start` and `end`; words before the first belong to an event."""
    borders = sorted({start, *(found.start() for found in _STEP.finditer(text, start, end)), end})
    parts = []
    for left, right in pairwise(borders):
        stretch = text[left:right]
        if words := stretch.strip():
            begin = left + len(stretch) - len(stretch.lstrip())
            kind = PartKind.SCENE if _SCENE.fullmatch(words) else PartKind.EVENT
            parts.append(Part(kind, words, begin, begin + len(words)))
    return parts


def without(entry: ModelInput, taken: Collection[Part]) -> ModelInput:
    """`entry` as if the `taken` parts had never been there, the spaces around them folded."""
    text, removed = replace_spans(
        entry.text, [(start, end, "") for start, end in sorted((p.start, p.end) for p in taken)]
    )
    text, folded = replace_spans(text, [(*found.span(), "") for found in _EXTRA_SPACES.finditer(text)])
    start, end = removed.then(folded)(entry.utterance_start, entry.utterance_end)
    if start >= end:
        start = end = 0
    return replace(entry, text=text, utterance_start=start, utterance_end=end)
