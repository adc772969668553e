"""Golden requests: what an artifact must still answer wherever it is loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from intent_tracking.modeling.prediction import Prediction
from intent_tracking.sessions.render import ModelInput

# Room for another processor's or a GPU's rounding (bf16), far below what a wrong file or tokenizer does. Int8 rounds
# more than that, so each runtime is held to answers of its own.
TOLERANCE = 0.03
Runtime = Literal["torch", "onnx"]
_TOP = 3


class GoldenSpan(BaseModel):
    """Key information of a golden answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: str
    start: int
    end: int


class GoldenCase(BaseModel):
    """One line of `golden.jsonl`: a request and the answer that `runtime` gave when the artifact was exported."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime: Runtime = "torch"
    text: str
    utterance_start: int
    utterance_end: int
    scene: str
    language: Literal["en", "zh"]
    intents: dict[str, float]
    out_of_scope: bool
    key_information: tuple[GoldenSpan, ...]
    purchase_probability: float | None

    def request(self) -> ModelInput:
        """The input to replay; user features are unknown in golden requests."""
        return ModelInput(
            text=self.text,
            utterance_start=self.utterance_start,
            utterance_end=self.utterance_end,
            scene=self.scene,
            language=self.language,
        )


def golden_case(request: ModelInput, answer: Prediction, runtime: Runtime = "torch") -> GoldenCase:
    """Record `answer` as the one that `runtime` gives to `request`."""
    purchase = answer.purchase_probability
    return GoldenCase(
        runtime=runtime,
        text=request.text,
        utterance_start=request.utterance_start,
        utterance_end=request.utterance_end,
        scene=request.scene,
        language=request.language,
        intents={score.name: round(score.probability, 6) for score in answer.intents[:_TOP]},
        out_of_scope=answer.out_of_scope,
        key_information=tuple(
            GoldenSpan(name=span.name, value=span.value, start=span.start, end=span.end)
            for span in answer.key_information
        ),
        purchase_probability=None if math.isnan(purchase) else round(purchase, 6),
    )


def differences(cases: Mapping[int, GoldenCase], answers: Sequence[Prediction], threshold: float | None) -> list[str]:
    """What the answers have otherwise than the cases, as sentences; empty: the replay passed.

    `cases` are by their line in `golden.jsonl`, `answers` in the same order. A decision may flip only where the
    familiarity lies within `TOLERANCE` of the `threshold`; None: each label has one of its own (a multi-label set), so
    that nothing but the probabilities is compared.
    """
    found: list[str] = []
    for (number, case), answer in zip(cases.items(), answers, strict=True):
        where = f"golden.jsonl line {number}"
        scores = {score.name: score.probability for score in answer.intents}
        for name, expected in case.intents.items():
            got = scores.get(name, math.nan)
            if not abs(got - expected) <= TOLERANCE:
                found.append(f"{where}: intent {name} {got:.4f} instead of {expected:.4f}")
        certain = threshold is not None and abs(answer.familiarity - threshold) > TOLERANCE
        if certain and case.out_of_scope != answer.out_of_scope:
            found.append(f"{where}: out_of_scope {answer.out_of_scope} instead of {case.out_of_scope}")
        spans = {(span.name, span.start, span.end) for span in answer.key_information}
        expected_spans = {(span.name, span.start, span.end) for span in case.key_information}
        if spans != expected_spans:
            found.append(f"{where}: key information {sorted(spans)} instead of {sorted(expected_spans)}")
        if case.purchase_probability is not None:
            gap = abs(answer.purchase_probability - case.purchase_probability)
            if not gap <= TOLERANCE:
                found.append(f"{where}: purchase probability is off by {gap:.4f}")
    return found
