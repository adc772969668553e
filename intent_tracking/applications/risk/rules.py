"""The declared rules, held against one case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

from intent_tracking.applications.risk.features import Values
from intent_tracking.applications.risk.policy import Rule


def fired(rules: Iterable[Rule], values: Values) -> tuple[Rule, ...]:
    """The rules that fire, the strongest first. A rule that reads a value which is not known does not fire."""
    found = [
        rule for rule in rules if all(name in values and bound.holds(values[name]) for name, bound in rule.when.items())
    ]
    return tuple(sorted(found, key=lambda rule: (-rule.strength(values), rule.name)))


def together(weights: Sequence[float]) -> float:
    """What pieces of evidence make together, as independent ones (noisy-or, Pearl 1988): 0 without any, at most 1."""
    return 1.0 - prod(1.0 - weight for weight in weights)
