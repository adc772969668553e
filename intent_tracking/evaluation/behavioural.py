"""Behavioural tests of a model: what it must do, must not mind, and must be moved by, in English and in Chinese.

Three kinds after CheckList (Ribeiro et al. 2020, arXiv:2005.04118). The shop's cases lie in `behaviour_cases.yaml`;
for any other label set, `label_free_cases` makes invariance cases out of any texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib import resources
from typing import Any, Protocol

import yaml

from intent_tracking.events.contract import Scene
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL, Prediction
from intent_tracking.sessions.render import ModelInput, render_utterance

CASES_FILE = "behaviour_cases.yaml"


class CaseKind(StrEnum):
    """What a case asks of the model."""

    MINIMUM_FUNCTIONALITY = "minimum functionality"
    INVARIANCE = "invariance"
    DIRECTION = "direction"


# The share of cases of each kind that a model must pass to go live.
REQUIRED_PASS_RATE = {
    CaseKind.MINIMUM_FUNCTIONALITY: 0.75,
    CaseKind.INVARIANCE: 0.8,
    CaseKind.DIRECTION: 0.8,
}
# A probability this high has no room to move up.
SATURATED = 0.95


class Predictor(Protocol):
    """What the tests need of a model; `IntentPredictor` is one."""

    def predict(self, inputs: Sequence[ModelInput], /) -> list[Prediction]:
        """Predict the inputs in the order given."""


@dataclass(frozen=True)
class Case:
    """One test. `before` is empty for minimum functionality; `intent` is None where no label is needed."""

    kind: CaseKind
    name: str
    language: str
    intent: str | None
    before: str
    after: str


@dataclass(frozen=True)
class PassRate:
    """How many cases of one kind and language were passed."""

    kind: str
    language: str
    passed: int
    total: int


@dataclass(frozen=True)
class Failure:
    """A case that failed, and what the model said."""

    kind: str
    name: str
    language: str
    intent: str | None
    before: str
    after: str
    said: str


@dataclass(frozen=True)
class BehaviouralReport:
    """`passed` when each kind reaches its required rate; `skipped` counts cases of intents that the model lacks."""

    passed: bool
    reason: str
    pass_rate: float | None
    rates: tuple[PassRate, ...]
    failures: tuple[Failure, ...]
    skipped: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def shop_cases() -> list[Case]:
    """The cases of the packaged file."""
    text = resources.files("intent_tracking.evaluation").joinpath(CASES_FILE).read_text("utf-8")
    given = yaml.safe_load(text)
    cases = [
        Case(CaseKind.MINIMUM_FUNCTIONALITY, intent, language, intent, "", utterance)
        for intent, languages in given["minimum_functionality"].items()
        for language, utterances in languages.items()
        for utterance in utterances
    ]
    cases += [
        Case(CaseKind.INVARIANCE, name, language, intent, before, after)
        for name, languages in given["invariance"].items()
        for language, pairs in languages.items()
        for intent, before, after in pairs
    ]
    cases += [
        Case(CaseKind.DIRECTION, f"towards {intent}", language, intent, before, after)
        for language, pairs in given["direction"].items()
        for intent, before, after in pairs
    ]
    return cases


def label_free_cases(texts: Iterable[tuple[str, str]], limit: int = 200) -> list[Case]:
    """Invariance cases out of any texts, given as (text, language): case, punctuation and white space must not matter.

    A change that leaves a text as it was (upper case of Chinese) makes no case.
    """
    cases = []
    for text, language in list(texts)[:limit]:
        plain = text.strip()
        changes = {
            "case": plain.upper() if plain != plain.upper() else plain.lower(),
            "punctuation": plain.rstrip(".!?。！？") + ("。" if language == "zh" else "."),
            "white space": "  " + plain.replace(" ", "  ") + " ",
        }
        cases += [
            Case(CaseKind.INVARIANCE, name, language, None, text, changed)
            for name, changed in changes.items()
            if changed != text and plain
        ]
    return cases


def _probability(prediction: Prediction, intent: str) -> float:
    if intent == OUT_OF_SCOPE_LABEL:
        return 1.0 - max((score.probability for score in prediction.intents), default=0.0)
    return next((score.probability for score in prediction.intents if score.name == intent), 0.0)


def _said(case: Case, before: Prediction | None, after: Prediction) -> str | None:
    """None where the case is passed, else what the model said."""
    if before is None:
        return None if after.label == case.intent else after.label
    if case.kind is CaseKind.INVARIANCE:
        return None if after.label == before.label else f"{before.label} -> {after.label}"
    if case.intent is None:
        raise ValueError(f"the direction case {case.after!r} names no intent; say where it should move")
    first, then = _probability(before, case.intent), _probability(after, case.intent)
    return None if then > first or then >= SATURATED else f"{first:.3f} -> {then:.3f}"


def run(
    predictor: Predictor,
    labels: Sequence[str],
    cases: Sequence[Case] | None = None,
    *,
    scene: Scene = Scene.CUSTOMER_SERVICE,
) -> BehaviouralReport:
    """Put the cases to the model in one batch.

    Args:
        predictor: the model.
        labels: intents that it knows; cases of others are skipped. `oos` is among them where it was learned.
        cases: default, the shop's.
        scene: where the utterances are said.
    """
    every = shop_cases() if cases is None else cases
    known = set(labels)
    asked = [case for case in every if case.intent is None or case.intent in known]
    texts = sorted({text for case in asked for text in (case.before, case.after) if text})
    answers = dict(zip(texts, predictor.predict([render_utterance(t, scene) for t in texts]), strict=True))
    counts: dict[tuple[CaseKind, str], list[int]] = {}
    failures = []
    for case in asked:
        before = answers[case.before] if case.before else None
        said = _said(case, before, answers[case.after])
        count = counts.setdefault((case.kind, case.language), [0, 0])
        count[0] += said is None
        count[1] += 1
        if said is not None:
            failures.append(Failure(case.kind, case.name, case.language, case.intent, case.before, case.after, said))
    rates = tuple(PassRate(kind, language, passed, total) for (kind, language), (passed, total) in counts.items())
    passed, reason = _verdict(rates)
    done = sum(rate.total for rate in rates)
    share = sum(rate.passed for rate in rates) / done if done else None
    return BehaviouralReport(passed, reason, share, rates, tuple(failures), len(every) - len(asked))


def _verdict(rates: Sequence[PassRate]) -> tuple[bool, str]:
    if not rates:
        return False, "no behavioural case fits the label set; give label-free cases made from examples"
    parts, good = [], True
    for kind, needed in REQUIRED_PASS_RATE.items():
        own = [rate for rate in rates if rate.kind == kind]
        if not own:
            continue
        share = sum(rate.passed for rate in own) / sum(rate.total for rate in own)
        good = good and share >= needed
        parts.append(f"{kind} {share:.0%} (needs {needed:.0%})")
    return good, "behaviour: " + ", ".join(parts)
