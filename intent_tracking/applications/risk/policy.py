"""What a shop declares about risk: `<home>/risk.yaml`, or the shipped `policy.yaml` where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from intent_tracking.applications.risk.features import BY_NAME, Kind, Values, features_of
from intent_tracking.applications.shop_file import Declared, ShopFile

FILE_NAME: Final = "risk.yaml"

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class PolicyError(ValueError):
    """The policy file cannot be used; the message names file, field and remedy."""


class Bound(Declared):
    """What a value must be for a rule to fire."""

    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is above at_most {self.at_most}: no value is both")
        return self

    def holds(self, value: float) -> bool:
        """Whether `value` is inside, bounds included."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


class Rule(Declared):
    """Fires when every feature it names is known and within its bound; `weight` is how sure it alone makes us.

    With `most` it is surer the farther its bounds are passed: `weight` where one is just met, `most` is never reached.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    weight: Share
    most: Share | None = None
    when: Annotated[dict[str, Bound], Field(min_length=1)]
    enabled: bool = True
    words: dict[str, str] = Field(default_factory=dict, description="Reason by language, of a rule of the shop's own.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        unknown = sorted(set(self.when) - set(BY_NAME))
        if unknown:
            raise ValueError(f"rule {self.name}: there is no feature {unknown[0]!r}; choose from {', '.join(BY_NAME)}")
        if self.most is not None and self.most < self.weight:
            raise ValueError(f"rule {self.name}: most {self.most} is below weight {self.weight}")
        if self.most is not None and not self._floors():
            raise ValueError(f"rule {self.name}: most needs an at_least above 0 that can be passed")
        return self

    def _floors(self) -> dict[str, float]:
        return {name: least for name, bound in self.when.items() if (least := bound.at_least or 0.0) > 0}

    def strength(self, values: Values) -> float:
        """How sure the rule makes us where it fires: at twice the bound half of what `most` adds is missing."""
        if self.most is None:
            return self.weight
        passed = min(values[name] / least for name, least in self._floors().items())
        return self.most - (self.most - self.weight) / max(passed, 1.0)

    def reads(self, kind: Kind) -> bool:
        """Whether a case of `kind` can have what the rule asks for."""
        return set(self.when) <= set(features_of(kind))


class Shares(Declared):
    """A share of all cases, by kind."""

    session: Share
    order: Share
    shopper: Share

    def of(self, kind: Kind) -> float:
        """The share of `kind`."""
        share: float = getattr(self, kind.value)
        return share


class RiskPolicy(Declared):
    """Everything a shop decides about risk control.

    Attributes:
        alert_budget: share of sessions and of orders a day that people can review.
        most_blocked: share that may be blocked, about which nobody is asked: a model that blocks more is not published.
        review_at: score from which a case is reviewed; None: the score that spends the alert budget.
        block_at: score from which a case is blocked. It spends no budget, so that a flood of robots does not raise
            `review_at` above itself.
        forest_weight: how sure the isolation forest alone can make us.
        label_trust: number of labels at which the supervised model counts as much as rules and forest together.
        least_labels: decisions of each side without which no supervised model is made.
        train_days, recent_days: what the models learn from, and the newest part on which thresholds are set.
        expire_days: days after which an undecided case of the queue expires.
    """

    alert_budget: Shares
    most_blocked: Shares
    review_at: Share | None
    block_at: Share
    forest_weight: Share
    label_trust: Annotated[float, Field(gt=0)]
    least_labels: Annotated[int, Field(ge=5)]
    train_days: Annotated[int, Field(ge=1, le=366)]
    recent_days: Annotated[int, Field(ge=1, le=366)]
    expire_days: Annotated[int, Field(ge=1, le=366)]
    rules: tuple[Rule, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rules: {twice[0]!r} stands there twice; give each rule a name of its own")
        if self.review_at is not None and self.review_at > self.block_at:
            raise ValueError(f"review_at {self.review_at} is above block_at {self.block_at}")
        return self

    def rules_for(self, kind: Kind) -> tuple[Rule, ...]:
        """The enabled rules that can fire for a case of `kind`."""
        return tuple(rule for rule in self.rules if rule.enabled and rule.reads(kind))


_FILE: Final = ShopFile(RiskPolicy, Path(__file__).with_name("policy.yaml"), PolicyError)


def policy_file(home: Path) -> Path:
    """The file that holds for `home`."""
    own = home / FILE_NAME
    return own if own.is_file() else _FILE.shipped


def load_policy(home: Path) -> RiskPolicy:
    """The policy of `home`. A file of the shop replaces the shipped one whole: start from a copy of it.

    Raises:
        PolicyError: the file is not as described.
    """
    return _FILE.read_instead(home / FILE_NAME)


def shipped_policy() -> RiskPolicy:
    """The defaults."""
    return _FILE.read_shipped()
