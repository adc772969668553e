"""Declared rules: when they fire, what they add up to, and what a policy file must not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.applications.risk.features import BY_NAME, FEATURES, Kind, features_of
from intent_tracking.applications.risk.policy import (
    FILE_NAME,
    Bound,
    PolicyError,
    Rule,
    load_policy,
    policy_file,
    shipped_policy,
)
from intent_tracking.applications.risk.rules import fired, together
from intent_tracking.applications.risk.wording import in_words, languages

pytestmark = pytest.mark.unit

RULES = shipped_policy().rules
values_of_cases = st.dictionaries(
    st.sampled_from(sorted(BY_NAME)), st.floats(0, 1e6, allow_nan=False), max_size=len(BY_NAME)
)
weights_of_rules = st.lists(st.floats(0, 1), max_size=12)


@given(values_of_cases)
def test_a_rule_fires_only_where_all_it_reads_is_known_and_in_bounds(values: dict[str, float]) -> None:
    found = fired(RULES, values)
    assert list(found) == sorted(found, key=lambda rule: (-rule.strength(values), rule.name))
    for rule in RULES:
        holds = all(name in values and bound.holds(values[name]) for name, bound in rule.when.items())
        assert (rule in found) is holds


@given(st.floats(0, 1), st.floats(0, 1), st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=2), st.floats(1, 1e6))
def test_a_rule_is_surer_the_farther_its_bounds_are_passed(
    one: float, other: float, times: list[float], more: float
) -> None:
    rule = Rule(
        name="far",
        weight=min(one, other),
        most=max(one, other),
        when={"order_value": Bound(at_least=2), "events": Bound(at_least=4), "carts": Bound(at_most=9)},
    )
    near = {"order_value": 2 * (1 + times[0]), "events": 4 * (1 + times[1]), "carts": 1.0}
    far = {name: value * more for name, value in near.items()}
    assert rule.strength({"order_value": 2.0, "events": 4e6, "carts": 1.0}) == pytest.approx(rule.weight)
    assert rule.weight - 1e-12 <= rule.strength(near) <= rule.strength(far) + 1e-12 <= max(one, other) + 2e-12
    assert rule.model_copy(update={"most": None}).strength(far) == rule.weight


@given(weights_of_rules, st.floats(0, 1), st.randoms())
def test_evidence_adds_up_within_bounds_in_any_order(weights: list[float], more: float, random: Any) -> None:
    score = together(weights)
    assert max(weights, default=0.0) - 1e-12 <= score <= 1.0
    assert together([*weights, more]) >= score - 1e-12
    mixed = list(weights)
    random.shuffle(mixed)
    assert together(mixed) == pytest.approx(score)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_bounds_include_their_ends(low: float, high: float, value: float) -> None:
    low, high = min(low, high), max(low, high)
    bound = Bound(at_least=low, at_most=high)
    assert bound.holds(low)
    assert bound.holds(high)
    assert bound.holds(value) is (low <= value <= high)


def test_every_shipped_rule_can_fire_for_a_session_or_an_order() -> None:
    for rule in RULES:
        assert rule.reads(Kind.SESSION) or rule.reads(Kind.ORDER), rule.name
    assert set(features_of(Kind.SHOPPER)) < set(features_of(Kind.SESSION))


def test_every_rule_and_feature_has_words_in_every_language() -> None:
    wording = yaml.safe_load(policy_file(Path("/nonexistent")).with_name("wording.yaml").read_text(encoding="utf-8"))
    assert set(languages()) == {"en", "zh"}
    assert set(wording["features"]) == {feature.name for feature in FEATURES}
    assert set(wording["rules"]) == {rule.name for rule in RULES}
    for words in (*wording["rules"].values(), *wording["features"].values()):
        assert set(words) == set(languages())
    for rule in RULES:
        for language in languages():
            named = {name for name in BY_NAME if "{" + name + "}" in wording["rules"][rule.name][language]}
            assert named <= set(rule.when)
            assert "{" not in _without(wording["rules"][rule.name][language], named)


def test_a_rule_of_the_shops_own_is_worded_by_what_it_says_or_by_what_it_looks_at() -> None:
    from intent_tracking.applications.risk.model import Reason

    seen = {"items_seen": 21.0}
    named = Reason("ours", True, seen, words={"en": "{items_seen} looked at"})
    assert in_words([named, Reason("ours", True, seen)], "en") == ["21 looked at", "different products viewed: 21"]
    assert in_words([named], "zh") == ["21 looked at"]


def test_the_file_of_the_home_replaces_the_shipped_one(tmp_path: Path) -> None:
    assert load_policy(tmp_path) == shipped_policy()
    own = yaml.safe_load(policy_file(tmp_path).read_text(encoding="utf-8"))
    own["rules"] = [{"name": "ours", "weight": 1, "when": {"carts": {"at_least": 9}}}]
    (tmp_path / FILE_NAME).write_text(yaml.safe_dump(own), encoding="utf-8")
    assert [rule.name for rule in load_policy(tmp_path).rules] == ["ours"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"review_at": 0.99, "block_at": 0.5}, "review_at 0.99 is above block_at 0.5"),
        ({"colour": "red"}, "colour"),
        ({"rules": [{"name": "a", "weight": 2, "when": {"carts": {"at_least": 1}}}]}, "rules.0.weight"),
        ({"rules": [{"name": "a", "weight": 1, "when": {"mood": {"at_least": 1}}}]}, "no feature 'mood'"),
        ({"rules": [{"name": "a", "weight": 1, "when": {"carts": {}}}]}, "give at_least, at_most or both"),
        ({"rules": [{"name": "a", "weight": 1, "when": {"carts": {"at_most": 1}}}] * 2}, "stands there twice"),
        ({"rules": [{"name": "a", "weight": 0.5, "most": 0.4, "when": {"carts": {"at_least": 1}}}]}, "below weight"),
        ({"rules": [{"name": "a", "weight": 0.5, "most": 0.9, "when": {"carts": {"at_most": 1}}}]}, "most needs an"),
        ({"colour": "red", "train_days": 0}, "train_days: must be at least 1; colour: is no field"),
        ({"review_at": 0.99, "block_at": 0.5}, r"risk\.yaml: review_at"),
        ({"alert_budget": {"session": 2, "order": 0, "shopper": 0}}, "alert_budget.session"),
    ],
)
def test_a_policy_that_cannot_be_names_the_field(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    own = yaml.safe_load(policy_file(tmp_path).read_text(encoding="utf-8")) | change
    (tmp_path / FILE_NAME).write_text(yaml.safe_dump(own), encoding="utf-8")
    with pytest.raises(PolicyError, match=said) as refused:
        load_policy(tmp_path)
    assert str(tmp_path / FILE_NAME) in str(refused.value)


def test_a_disabled_rule_is_no_rule() -> None:
    rule = Rule(name="off", weight=1, when={"carts": Bound(at_least=0)}, enabled=False)
    policy = shipped_policy().model_copy(update={"rules": (rule,)})
    assert policy.rules_for(Kind.SESSION) == ()


def _without(sentence: str, names: set[str]) -> str:
    for name in names:
        sentence = sentence.replace("{" + name + "}", "")
    return sentence
