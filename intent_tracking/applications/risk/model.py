"""The risk model: rules, an isolation forest and, where people have decided, a supervised model; one score and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from intent_tracking.applications.artifacts import RISK_MODEL, golden_differences, verified
from intent_tracking.applications.risk.features import Kind, Values
from intent_tracking.applications.risk.policy import RiskPolicy
from intent_tracking.applications.risk.rules import fired, together
from intent_tracking.applications.risk.shop import Shop
from intent_tracking.applications.risk.trees import FOREST_TREES, Floats, Trees, average_path
from intent_tracking.artifact import ArtifactError

POLICY_FILE: Final = "policy.json"
SHOP_FILE: Final = "shop.json"
KINDS_FILE: Final = "kinds.json"
LEARNED_FILE: Final = "learned.json"
TREES_FILE: Final = "trees.safetensors"
MOST_REASONS: Final = 5
_MOST_FEATURES: Final = 2
# A model gives reasons only where it says that something is wrong.
_SPEAKS_FROM: Final = 0.5


class Decision(StrEnum):
    """What is to be done."""

    ALLOW = "allow"
    REVIEW = "review"
    BLOCK = "block"


SEVERITY: Final = {Decision.ALLOW: 0, Decision.REVIEW: 1, Decision.BLOCK: 2}


@dataclass(frozen=True)
class Reason:
    """A rule that fired, or a feature that speaks for the risk, with what was seen and, of a feature, the usual."""

    name: str
    is_rule: bool
    seen: Values
    usual: float | None = None
    words: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Assessment:
    """What the model says of one case.

    Attributes:
        score: 0 to 1, the higher the riskier.
        rules, forest: what rules and isolation forest say alone, 0 to 1.
        labels: what the supervised model says alone; None where there is none.
        reasons: the weightiest first, at most MOST_REASONS.
    """

    kind: Kind
    score: float
    decision: Decision
    rules: float
    forest: float
    labels: float | None
    reasons: tuple[Reason, ...]

    def is_worse_than(self, other: Assessment) -> bool:
        """Whether this asks for more to be done, or with the same decision has the higher score."""
        mine, theirs = SEVERITY[self.decision], SEVERITY[other.decision]
        return (mine, self.score) > (theirs, other.score)


class KindRecord(BaseModel):
    """What was learned of one kind of case, beside its trees.

    Attributes:
        features: what the models read, in the order of their columns.
        usual: median of each, which also stands for a value that is not known.
        sample: rows of which the tree of a forest was grown; 0 where there is no forest.
        bias: log odds to which the supervised trees are added.
        labels: decisions that the supervised model learned from; 0 where there is none.
        review_at: score from which people are asked, up to that from which nobody is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: tuple[str, ...]
    usual: tuple[float, ...]
    sample: int
    bias: float
    labels: int
    review_at: float


@dataclass(frozen=True)
class KindModel:
    """One kind of case: its record, its trees, and the anomaly scores of ordinary traffic, ascending."""

    record: KindRecord
    forest: Trees | None
    ordinary: Floats
    boosting: Trees | None

    def rows(self, cases: Sequence[Values]) -> npt.NDArray[np.float32]:
        """The columns that the models read, (cases, features)."""
        usual = self.record.usual
        return np.array(
            [[case.get(name, usual[at]) for at, name in enumerate(self.record.features)] for case in cases],
            dtype=np.float32,
        ).reshape(len(cases), len(self.record.features))

    def surprise(self, rows: npt.NDArray[np.float32]) -> Floats:
        """How rare the anomaly score of each row is in ordinary traffic: 0 for the least odd, 1 above everything.

        The logarithm of the share of ordinary cases that are as odd, so that each step is as many times rarer.
        """
        if self.forest is None:
            return np.zeros(len(rows))
        odd = anomaly(self.forest, rows, self.record.sample)
        n = len(self.ordinary)
        as_odd = n - np.searchsorted(self.ordinary, odd, side="left")
        surprise: Floats = np.log((n + 1) / (as_odd + 1)) / np.log(n + 1)
        return surprise

    def probability(self, rows: npt.NDArray[np.float32]) -> Floats | None:
        """What labels taught; None where there are too few."""
        if self.boosting is None:
            return None
        probability: Floats = 1.0 / (1.0 + np.exp(-(self.record.bias + self.boosting.sums(rows))))
        return probability


def anomaly(forest: Trees, rows: npt.NDArray[np.float32], sample: int) -> Floats:
    """The score of Liu, Ting and Zhou (2008): about .5 for an ordinary row, towards 1 for one that is soon isolated."""
    usual = float(average_path(np.asarray([float(sample)]))[0])
    score: Floats = 2.0 ** (-forest.sums(rows) / FOREST_TREES / usual)
    return score


class RiskModel:
    """Judges cases. Thread-safe: nothing in it changes once it is loaded.

    Attributes:
        decided_until: the newest decision that it learned from; None where it learned from none.
    """

    def __init__(self, version: str, policy: RiskPolicy, shop: Shop, kinds: Mapping[Kind, KindModel]) -> None:
        self.version = version
        self.policy = policy
        self.shop = shop
        self.kinds = dict(kinds)
        self.decided_until: datetime | None = None
        self._folder: Path | None = None

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The model in `folder`.

        Raises:
            ArtifactError: it is no risk model, or damaged.
        """
        from safetensors.numpy import load_file

        manifest = verified(folder, RISK_MODEL)
        try:
            arrays = load_file(folder / TREES_FILE)
            records = orjson.loads((folder / KINDS_FILE).read_bytes())
            kinds = {
                Kind(name): _kind_model(name, KindRecord.model_validate(each), arrays) for name, each in records.items()
            }
            policy = RiskPolicy.model_validate(orjson.loads((folder / POLICY_FILE).read_bytes()))
            shop = Shop.model_validate(orjson.loads((folder / SHOP_FILE).read_bytes()))
            decided = orjson.loads((folder / LEARNED_FILE).read_bytes())["decided_until"]
            decided_until = datetime.fromisoformat(decided) if decided else None
        except (ValidationError, ValueError, KeyError, OSError) as error:
            raise ArtifactError(f"{folder}: cannot be read as a risk model: {error}") from error
        model = cls(manifest.version, policy, shop, kinds)
        model._folder, model.decided_until = folder, decided_until
        return model

    @cached_property
    def _rules(self) -> dict[Kind, Any]:
        return {kind: self.policy.rules_for(kind) for kind in Kind}

    def review_at(self, kind: Kind) -> float:
        """Score from which a case of `kind` is reviewed."""
        return self.policy.review_at if self.policy.review_at is not None else self.kinds[kind].record.review_at

    def assess(self, kind: Kind, values: Values) -> Assessment:
        """What is to be thought of one case."""
        return self.assess_many(kind, [values])[0]

    def assess_many(self, kind: Kind, cases: Sequence[Values]) -> list[Assessment]:
        """As `assess`, in the order given."""
        of_kind = self.kinds[kind]
        rows = of_kind.rows(cases)
        surprise, probability = of_kind.surprise(rows), of_kind.probability(rows)
        found = []
        for at, values in enumerate(cases):
            rules = fired(self._rules[kind], values)
            weights = [rule.strength(values) for rule in rules]
            taught = None if probability is None else float(probability[at])
            score = fused(weights, float(surprise[at]), taught, of_kind.record.labels, self.policy)
            decision = self._decision(kind, score)
            reasons = [
                Reason(rule.name, True, {name: values[name] for name in rule.when}, words=rule.words or None)
                for rule in rules
            ]
            if max(float(surprise[at]), taught or 0.0) >= _SPEAKS_FROM and decision is not Decision.ALLOW:
                told = {name for rule in rules for name in rule.when}
                reasons += self._features(of_kind, rows[at], values, told)
            found.append(
                Assessment(
                    kind=kind,
                    score=score,
                    decision=decision,
                    rules=together(weights),
                    forest=float(surprise[at]),
                    labels=taught,
                    reasons=tuple(reasons[:MOST_REASONS]),
                )
            )
        return found

    def replay_golden(self) -> list[str]:
        """What the artifact answers otherwise than when it was written; empty when all is well."""
        if self._folder is None:
            return []
        return golden_differences(self._folder, self.golden_answer)

    def golden_answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a golden request `{"kind", "values"}`."""
        found = self.assess(Kind(request["kind"]), request["values"])
        return {
            "score": found.score,
            "decision": found.decision.value,
            "forest": found.forest,
            "labels": found.labels,
            "reasons": [reason.name for reason in found.reasons],
        }

    def _decision(self, kind: Kind, score: float) -> Decision:
        if score >= self.policy.block_at:
            return Decision.BLOCK
        return Decision.REVIEW if score >= self.review_at(kind) else Decision.ALLOW

    @staticmethod
    def _features(
        of_kind: KindModel, row: npt.NDArray[np.float32], values: Values, told: Iterable[str]
    ) -> list[Reason]:
        """What speaks most for the risk: to the supervised model where there is one, else to the forest."""
        if of_kind.boosting is not None:
            weights = of_kind.boosting.contributions(row)
        elif of_kind.forest is not None:
            weights = -of_kind.forest.contributions(row)
        else:
            return []
        told = set(told)
        found: list[Reason] = []
        for at in np.argsort(-weights, kind="stable"):
            name = of_kind.record.features[at]
            if weights[at] <= 0 or len(found) == _MOST_FEATURES:
                break
            # What is not known, or as usual, convinces nobody.
            if name in values and name not in told and values[name] != of_kind.record.usual[at]:
                found.append(Reason(name, False, {name: values[name]}, usual=of_kind.record.usual[at]))
        return found


def fused(weights: Sequence[float], surprise: float, taught: float | None, labels: int, policy: RiskPolicy) -> float:
    """One score of rules, forest and labels.

    Rules and forest are independent evidence. What people decided counts beside them by the number of their decisions:
    as much as both together once there are `label_trust`.
    """
    score = together([*weights, policy.forest_weight * surprise])
    if taught is None:
        return score
    trust = labels / (labels + policy.label_trust)
    return (1.0 - trust) * score + trust * taught


def _kind_model(name: str, record: KindRecord, arrays: dict[str, npt.NDArray[Any]]) -> KindModel:
    if len(record.features) != len(record.usual):
        raise ValueError(f"{name}: {len(record.features)} features, {len(record.usual)} usual values")
    forest = Trees.of_arrays(arrays, f"{name}.forest") if record.sample else None
    boosting = Trees.of_arrays(arrays, f"{name}.boosting") if record.labels else None
    for trees in (forest, boosting):
        if trees is not None and int(trees.feature.max(initial=-1)) >= len(record.features):
            raise ValueError(f"{name}: a tree asks for a feature that there is not")
    return KindModel(record, forest, arrays[f"{name}.ordinary"], boosting)
