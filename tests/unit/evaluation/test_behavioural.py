"""Behavioural tests find the faults that they are made for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from intent_tracking.evaluation import behavioural
from intent_tracking.evaluation.behaviour_cases import BehaviourCasesError, filled, own_cases, shop_cases
from intent_tracking.evaluation.behavioural import CaseKind
from intent_tracking.modeling.prediction import Prediction
from intent_tracking.sessions.render import ModelInput
from intent_tracking.text.language import Language
from tests.fakes.keyword_predictor import KeywordPredictor

pytestmark = pytest.mark.unit


def test_a_sound_model_passes_and_unknown_intents_are_skipped_and_counted() -> None:
    model = KeywordPredictor()
    report = behavioural.run(model, model.labels, shop_cases())
    assert report.passed, report.failures
    cases = shop_cases()
    foreign = sum(case.intent not in model.labels for case in cases)
    assert report.skipped == foreign > 0
    assert sum(rate.total for rate in report.rates) == len(cases) - foreign
    assert {(rate.kind, rate.language) for rate in report.rates} == {
        (kind, language) for kind in CaseKind for language in ("en", "zh")
    }


def test_a_model_blind_to_upper_case_fails_the_case_test_by_name() -> None:
    model = KeywordPredictor(case_sensitive=True)
    failed = {
        f.name for f in behavioural.run(model, model.labels, shop_cases()).failures if f.kind == CaseKind.INVARIANCE
    }
    assert failed == {"case"}


def test_a_model_deaf_to_an_intent_fails_its_direction_and_its_function() -> None:
    model = KeywordPredictor(deaf_to="return_refund")
    report = behavioural.run(model, model.labels, shop_cases())
    assert {(f.kind, f.intent) for f in report.failures} >= {
        (CaseKind.DIRECTION, "return_refund"),
        (CaseKind.MINIMUM_FUNCTIONALITY, "return_refund"),
    }
    assert not report.passed
    assert "needs" in report.reason


def test_no_case_that_fits_is_no_pass() -> None:
    report = behavioural.run(KeywordPredictor(), ["card_arrival"], shop_cases())
    assert not report.passed
    assert "label-free" in report.reason


def test_label_free_cases_come_out_of_any_texts_and_need_no_labels() -> None:
    texts: list[tuple[str, Language]] = [
        ("where is my package, how do i get it", "en"),
        ("我想取消订单", "zh"),
        ("   ", "en"),
    ]
    cases = behavioural.label_free_cases(texts)
    changes = {"small talk", "paraphrases", "punctuation"}
    assert {c.name for c in cases if c.language == "en"} >= {*changes, "case"}
    assert {c.name for c in cases if c.language == "zh"} >= changes
    assert behavioural.label_free_cases(texts) == cases
    kept = [case for case in cases if case.name != "typos"]
    assert behavioural.run(KeywordPredictor(), [], kept).passed
    assert not behavioural.run(KeywordPredictor(case_sensitive=True), [], [c for c in cases if c.name == "case"]).passed


def test_a_change_that_the_model_cannot_see_makes_no_case() -> None:
    """Letter case gave MiniLM the very same tokens: its cases could not fail."""
    texts: list[tuple[str, Language]] = [
        (f"where is my {thing} and the other thing", "en") for thing in ("coat", "dress", "shoe")
    ]
    every = {case.name for case in behavioural.label_free_cases(texts)}
    seen = behavioural.label_free_cases(texts, tokens=lambda text: tuple(text.lower().split()))
    assert {case.name for case in seen} == every - {"case"}
    assert "typos" in every
    assert all(case.before.lower().split() != case.after.lower().split() for case in seen)


def test_a_kind_that_nothing_tests_is_named() -> None:
    """A shop with labels of its own was told "invariance 100%" and nothing of what was not asked."""
    cases = behavioural.label_free_cases([("where is my package", "en")], tokens=str.lower)
    report = behavioural.run(KeywordPredictor(), [], [case for case in cases if case.name == "punctuation"])
    assert report.passed
    assert "minimum functionality NOT TESTED" in report.reason
    assert "direction NOT TESTED" in report.reason
    assert "behaviour_cases.yaml" in report.reason


def test_each_language_has_its_share_of_the_cases_in_whatever_order_the_texts_come() -> None:
    """The first 200 were taken, which are the oldest: where those were English, no Chinese case was ever made."""
    english: list[tuple[str, Language]] = [(f"where is my parcel number {turn}", "en") for turn in range(300)]
    chinese: list[tuple[str, Language]] = [(f"我的快递到哪里了 {turn}", "zh") for turn in range(20)]
    cases = behavioural.label_free_cases([*english, *chinese], limit=30)
    asked = {(case.before, case.language) for case in cases}
    assert [sum(language == own for _, language in asked) for own in ("en", "zh")] == [15, 15]
    assert behavioural.label_free_cases([*chinese, *reversed(english), *english], limit=30) == cases
    # What a language lacks, the others have.
    many = {case.before for case in behavioural.label_free_cases([*english, *chinese[:3]], limit=30)}
    assert len(many) == 30


def test_a_language_that_nothing_tests_is_named() -> None:
    """Without a case in Chinese the verdict read as it does with hundreds that were passed."""
    cases = behavioural.label_free_cases([("where is my package", "en")])
    plain = [case for case in cases if case.name == "punctuation"]
    report = behavioural.run(KeywordPredictor(), [], plain, languages=["zh", "en", "zh"])
    assert report.passed
    assert "invariance 100%, zh NOT TESTED (needs" in report.reason
    assert "en NOT TESTED" not in report.reason


def test_a_shop_writes_cases_for_labels_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "behaviour_cases.yaml"
    path.write_text(
        "values: {thing: {en: [coat, dress]}}\n"
        "minimum_functionality: {track_order: {en: ['where is my {thing}']}}\n"
        "direction: {track_order: {en: [['i bought a {thing}', 'has it shipped?']]}}\n"
    )
    cases = own_cases(path)
    assert [(case.kind, case.intent, case.after) for case in cases] == [
        (CaseKind.MINIMUM_FUNCTIONALITY, "track_order", "where is my coat"),
        (CaseKind.MINIMUM_FUNCTIONALITY, "track_order", "where is my dress"),
        (CaseKind.DIRECTION, "track_order", "i bought a coat, has it shipped?"),
        (CaseKind.DIRECTION, "track_order", "i bought a dress, has it shipped?"),
    ]
    report = behavioural.run(KeywordPredictor(), ["track_order"], cases)
    assert report.passed, report.failures
    assert "minimum functionality 100%" in report.reason
    for content, words in (
        ("direction: {a: {en: [one]}}", r"behaviour_cases\.yaml, direction\.a\.en\.0: .*packaged"),
        ("minimum_functionality: {a: {en: ['the {thing}']}}", r"values: 'thing' \(en\) stands in braces"),
        ("intents: {a: 1}", "intents: Extra inputs"),
        ("a: [", "is not YAML"),
    ):
        path.write_text(content)
        with pytest.raises(BehaviourCasesError, match=words):
            own_cases(path)


def test_every_shop_intent_is_asked_in_both_languages() -> None:
    asked = {(c.intent, c.language) for c in shop_cases() if c.kind is CaseKind.MINIMUM_FUNCTIONALITY}
    intents = {intent for intent, _ in asked}
    assert {"explore", "track_order", "oos", "subscribe_and_save"} <= intents
    assert asked == {(intent, language) for intent in intents for language in ("en", "zh")}


def test_both_languages_are_asked_alike_and_enough() -> None:
    cases = shop_cases()
    assert len({(c.kind, c.name, c.language, c.before, c.after) for c in cases}) == len(cases)
    for language in ("en", "zh"):
        own = [case for case in cases if case.language == language]
        for kind in CaseKind:
            assert sum(case.kind is kind for case in own) >= 40, (language, kind)
        assert {c.name for c in own if c.kind is CaseKind.INVARIANCE} == {
            *("values", "typos", "politeness", "punctuation", "case")
        }
    asked = {(c.kind, c.intent, c.language) for c in cases}
    assert asked == {(kind, intent, language) for kind, intent, _ in asked for language in ("en", "zh")}


def test_no_brace_is_left_in_a_case() -> None:
    assert [case for case in shop_cases() if "{" in case.before + case.after] == []


def test_templates_go_through_their_values() -> None:
    values = {"a": {"en": ["1", "2", "3"]}, "b": {"en": ["x", "y"]}}
    assert filled("{a} and {b}", "en", values) == ["1 and x", "2 and y", "3 and x"]
    assert filled("plain", "en", values) == ["plain"]
    with pytest.raises(KeyError):
        filled("{c}", "en", values)


def test_a_language_that_fails_is_named_although_the_other_one_carries_the_share() -> None:
    class Monolingual(KeywordPredictor):
        def predict(self, inputs: Sequence[ModelInput]) -> list[Prediction]:
            plain = [
                replace(given, text="nothing") if given.language == "zh" and len(given.text) % 2 else given
                for given in inputs
            ]
            return super().predict(plain)

    model = Monolingual()
    cases = [case for case in shop_cases() if case.kind is CaseKind.MINIMUM_FUNCTIONALITY]
    english = [case for case in cases if case.language == "en"]
    report = behavioural.run(model, model.labels, [*english * 10, *(c for c in cases if c.language == "zh")])
    assert not report.passed
    assert "zh" in report.reason
    assert behavioural.run(model, model.labels, english).passed


def test_the_picture_shows_every_test(tmp_path: Path) -> None:
    model = KeywordPredictor(case_sensitive=True)
    report = behavioural.run(model, model.labels, shop_cases())
    assert {rate.kind for rate in report.tests} > {"invariance: typos", "invariance: case", "direction"}
    assert sum(rate.total for rate in report.tests) == sum(rate.total for rate in report.rates)
    name = behavioural.picture(tmp_path, report)
    assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
