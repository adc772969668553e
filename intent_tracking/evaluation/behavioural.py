"""Behavioural tests of a model: what it must do, must not mind, and must be moved by, in English and in Chinese.

Three kinds after CheckList (Ribeiro et al. 2020, arXiv:2005.04118). Cases of named labels come from files, packaged or
of a shop's own (`behaviour_cases.py`); `label_free_cases` makes invariance cases out of any texts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import chain, islice, zip_longest
from pathlib import Path
from random import Random
from typing import Any, Protocol

from intent_tracking.events.contract import Scene
from intent_tracking.modeling.augmentation import Augmentation, augment
from intent_tracking.modeling.prediction import OUT_OF_SCOPE_LABEL, Prediction
from intent_tracking.modeling.splits import share
from intent_tracking.sessions.render import ModelInput, render_utterance
from intent_tracking.text.language import Language


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
# A language with fewer cases of a kind is judged with the others: one failure would decide.
MIN_CASES = 10
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
    """How many cases of one kind, or of one test of it, and of one language were passed."""

    kind: str
    language: str
    passed: int
    total: int

    @property
    def share(self) -> float:
        """0 to 1."""
        return self.passed / self.total


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
    """`passed` when each kind reaches its required rate, in every language, and each intent is found at least once.

    `skipped` counts cases of intents that the model lacks. `rates` are by kind and language, `tests` by the test of a
    kind ("typos") and language.
    """

    passed: bool
    reason: str
    pass_rate: float | None
    rates: tuple[PassRate, ...]
    tests: tuple[PassRate, ...]
    failures: tuple[Failure, ...]
    skipped: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


# What each test does to a text; a text that it leaves as it was makes no case.
_PLAIN = dict.fromkeys(Augmentation.model_fields, 0.0)
_REWRITES = {
    "typos": Augmentation(**{**_PLAIN, "character_noise": 0.2}),
    "small talk": Augmentation(**{**_PLAIN, "frame": 1.0}),
    "paraphrases": Augmentation(**{**_PLAIN, "paraphrase": 1.0}),
}


def label_free_cases(
    texts: Iterable[tuple[str, Language]], limit: int = 200, *, tokens: Callable[[str], Hashable] | None = None
) -> list[Case]:
    """Invariance cases out of any texts, given as (text, language).

    What must not matter: slips of the keyboard, small talk around it, another way to say it, letter case, punctuation.
    The same texts give the same cases, in whatever order they come.

    Args:
        texts: what shoppers wrote.
        limit: how many of them to take, drawn by hash: as many of each language, as far as it has them.
        tokens: what a model reads of a text; a change that it cannot see makes no case, which could not fail.
    """
    reads = tokens if tokens is not None else lambda text: text
    cases = []
    for text, language in _drawn(texts, limit):
        plain = text.strip()
        changes = {
            name: augment(plain, (), language, Random(f"{name}/{plain}"), how)[0] for name, how in _REWRITES.items()
        }
        changes |= {
            "case": plain.upper() if plain != plain.upper() else plain.lower(),
            "punctuation": plain.rstrip(".!?。！？") + ("。" if language == "zh" else "."),
        }
        cases += [
            Case(CaseKind.INVARIANCE, name, language, None, text, changed)
            for name, changed in changes.items()
            if changed != text and reads(changed) != reads(text)
        ]
    return cases


def _drawn(texts: Iterable[tuple[str, Language]], limit: int) -> list[tuple[str, Language]]:
    by_language: dict[Language, set[str]] = {}
    for text, language in texts:
        if text.strip():
            by_language.setdefault(language, set()).add(text)
    ordered = [
        [(text, language) for text in sorted(own, key=lambda text: share(0, "behaviour", text))]
        for language, own in sorted(by_language.items())
    ]
    in_turn = chain.from_iterable(zip_longest(*ordered))
    return list(islice((each for each in in_turn if each is not None), limit))


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
    cases: Sequence[Case],
    *,
    scene: str = Scene.CUSTOMER_SERVICE,
    languages: Iterable[str] = (),
) -> BehaviouralReport:
    """Put the cases to the model in one batch.

    Args:
        predictor: the model.
        labels: intents that it knows; cases of others are skipped. `oos` is among them where it was learned.
        cases: of any labels.
        scene: where the utterances are said.
        languages: what shoppers write in; the verdict names each kind that has no case in one of them.
    """
    known = set(labels)
    asked = [case for case in cases if case.intent is None or case.intent in known]
    texts = sorted({text for case in asked for text in (case.before, case.after) if text})
    answers = dict(zip(texts, predictor.predict([render_utterance(t, scene) for t in texts]), strict=True))
    kinds: dict[tuple[str, str], list[bool]] = {}
    tests: dict[tuple[str, str], list[bool]] = {}
    failures = []
    for case in asked:
        before = answers[case.before] if case.before else None
        said = _said(case, before, answers[case.after])
        kinds.setdefault((case.kind, case.language), []).append(said is None)
        test = f"invariance: {case.name}" if case.kind is CaseKind.INVARIANCE else case.kind
        tests.setdefault((test, case.language), []).append(said is None)
        if said is not None:
            failures.append(Failure(case.kind, case.name, case.language, case.intent, case.before, case.after, said))
    rates = _rates(kinds)
    functions: dict[str, list[bool]] = {}
    for case in asked:
        if case.kind is CaseKind.MINIMUM_FUNCTIONALITY and case.intent and case.intent != OUT_OF_SCOPE_LABEL:
            functions.setdefault(case.intent, []).append(answers[case.after].label == case.intent)
    never_found = [intent for intent, found in functions.items() if not any(found)]
    passed, reason = _verdict(rates, never_found, sorted(set(languages)))
    done = sum(rate.total for rate in rates)
    share = sum(rate.passed for rate in rates) / done if done else None
    return BehaviouralReport(passed, reason, share, rates, _rates(tests), tuple(failures), len(cases) - len(asked))


def _rates(found: Mapping[tuple[str, str], Sequence[bool]]) -> tuple[PassRate, ...]:
    return tuple(PassRate(name, language, sum(passed), len(passed)) for (name, language), passed in found.items())


def _verdict(rates: Sequence[PassRate], never_found: Sequence[str], languages: Sequence[str]) -> tuple[bool, str]:
    if not rates:
        return False, "no behavioural case fits the label set; give label-free cases made from examples"
    parts, good = [], True
    for kind, needed in REQUIRED_PASS_RATE.items():
        own = [rate for rate in rates if rate.kind == kind]
        if not own:
            parts.append(f"{kind} NOT TESTED (no case fits; INTENT_HOME/behaviour_cases.yaml takes a shop's own)")
            continue
        share = sum(rate.passed for rate in own) / sum(rate.total for rate in own)
        weak = [rate for rate in own if rate.total >= MIN_CASES and rate.share < needed]
        good = good and share >= needed and not weak
        named = "".join(f", {rate.language} {rate.share:.0%}" for rate in weak) if len(own) > 1 else ""
        asked = {rate.language for rate in own}
        untested = "".join(f", {language} NOT TESTED" for language in languages if language not in asked)
        parts.append(f"{kind} {share:.0%}{named}{untested} (needs {needed:.0%})")
    if never_found:
        parts.append(f"never found: {', '.join(never_found)}")
    return good and not never_found, "behaviour: " + ", ".join(parts)


def picture(folder: Path, report: BehaviouralReport) -> str:
    """Write `behaviour.png`: the pass rate of each test in each language, and what its kind requires."""
    from intent_tracking.evaluation import style

    names = list(dict.fromkeys(rate.kind for rate in report.tests))
    languages = sorted({rate.language for rate in report.tests})
    height = 0.8 / max(len(languages), 1)
    drawn = style.figure(7.2, 1.6 + 0.42 * len(names))
    axes = drawn.add_subplot()
    for turn, language in enumerate(languages):
        own = {rate.kind: rate for rate in report.tests if rate.language == language}
        rows = [(names.index(name) + (turn - (len(languages) - 1) / 2) * height, rate) for name, rate in own.items()]
        axes.barh(
            [row for row, _ in rows],
            [rate.share for _, rate in rows],
            height=height * 0.9,
            color=style.SERIES[turn % len(style.SERIES)],
            label=language,
        )
        for row, rate in rows:
            axes.text(1.01, row, f"{rate.passed}/{rate.total}", va="center", fontsize=8, color=style.QUIET)
    for row, name in enumerate(names):
        needed = REQUIRED_PASS_RATE[CaseKind(name.partition(":")[0])]
        axes.plot([needed, needed], [row - 0.45, row + 0.45], color=style.RED, linewidth=1.4)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.08)
    axes.xaxis.set_major_formatter("{x:.0%}")
    style.dress(
        axes, "What the model must do, whatever its score", x="cases passed", note="red: what the kind requires"
    )
    if languages:
        axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=len(languages))
    return style.save(drawn, folder, "behaviour")
