"""Behavioural tests find the faults that they are made for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from intent_tracking.evaluation import behavioural
from intent_tracking.evaluation.behavioural import CaseKind
from intent_tracking.modeling.prediction import Prediction
from intent_tracking.sessions.render import ModelInput
from tests.fakes.keyword_predictor import KeywordPredictor

pytestmark = pytest.mark.unit


def test_a_sound_model_passes_and_unknown_intents_are_skipped_and_counted() -> None:
    model = KeywordPredictor()
    report = behavioural.run(model, model.labels)
    assert report.passed, report.failures
    cases = behavioural.shop_cases()
    foreign = sum(case.intent not in model.labels for case in cases)
    assert report.skipped == foreign > 0
    assert sum(rate.total for rate in report.rates) == len(cases) - foreign
    assert {(rate.kind, rate.language) for rate in report.rates} == {
        (kind, language) for kind in CaseKind for language in ("en", "zh")
    }


def test_a_model_blind_to_upper_case_fails_the_case_test_by_name() -> None:
    model = KeywordPredictor(case_sensitive=True)
    failed = {f.name for f in behavioural.run(model, model.labels).failures if f.kind == CaseKind.INVARIANCE}
    assert failed == {"case"}


def test_a_model_deaf_to_an_intent_fails_its_direction_and_its_function() -> None:
    model = KeywordPredictor(deaf_to="return_refund")
    report = behavioural.run(model, model.labels)
    assert {(f.kind, f.intent) for f in report.failures} >= {
        (CaseKind.DIRECTION, "return_refund"),
        (CaseKind.MINIMUM_FUNCTIONALITY, "return_refund"),
    }
    assert not report.passed
    assert "needs" in report.reason


def test_no_case_that_fits_is_no_pass() -> None:
    report = behavioural.run(KeywordPredictor(), ["card_arrival"])
    assert not report.passed
    assert "label-free" in report.reason


def test_label_free_cases_come_out_of_any_texts_and_need_no_labels() -> None:
    texts = [("where is my package", "en"), ("取消订单", "zh"), ("   ", "en")]
    cases = behavioural.label_free_cases(texts)
    assert {(c.name, c.language) for c in cases} == {
        ("case", "en"),
        ("punctuation", "en"),
        ("white space", "en"),
        ("punctuation", "zh"),
        ("white space", "zh"),
    }
    assert behavioural.run(KeywordPredictor(), [], cases).passed
    assert not behavioural.run(KeywordPredictor(case_sensitive=True), [], [c for c in cases if c.name == "case"]).passed


def test_every_shop_intent_is_asked_in_both_languages() -> None:
    asked = {(c.intent, c.language) for c in behavioural.shop_cases() if c.kind is CaseKind.MINIMUM_FUNCTIONALITY}
    intents = {intent for intent, _ in asked}
    assert {"explore", "track_order", "oos", "subscribe_and_save"} <= intents
    assert asked == {(intent, language) for intent in intents for language in ("en", "zh")}


def test_both_languages_are_asked_alike_and_enough() -> None:
    cases = behavioural.shop_cases()
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
    assert [case for case in behavioural.shop_cases() if "{" in case.before + case.after] == []


def test_templates_go_through_their_values() -> None:
    values = {"a": {"en": ["1", "2", "3"]}, "b": {"en": ["x", "y"]}}
    assert behavioural.filled("{a} and {b}", "en", values) == ["1 and x", "2 and y", "3 and x"]
    assert behavioural.filled("plain", "en", values) == ["plain"]
    with pytest.raises(KeyError):
        behavioural.filled("{c}", "en", values)


def test_a_language_that_fails_is_named_although_the_other_one_carries_the_share() -> None:
    class Monolingual(KeywordPredictor):
        def predict(self, inputs: Sequence[ModelInput]) -> list[Prediction]:
            plain = [
                replace(given, text="nothing") if given.language == "zh" and len(given.text) % 2 else given
                for given in inputs
            ]
            return super().predict(plain)

    model = Monolingual()
    cases = [case for case in behavioural.shop_cases() if case.kind is CaseKind.MINIMUM_FUNCTIONALITY]
    english = [case for case in cases if case.language == "en"]
    report = behavioural.run(model, model.labels, [*english * 10, *(c for c in cases if c.language == "zh")])
    assert not report.passed
    assert "zh" in report.reason
    assert behavioural.run(model, model.labels, english).passed


def test_the_picture_shows_every_test(tmp_path: Path) -> None:
    model = KeywordPredictor(case_sensitive=True)
    report = behavioural.run(model, model.labels)
    assert {rate.kind for rate in report.tests} > {"invariance: typos", "invariance: case", "direction"}
    assert sum(rate.total for rate in report.tests) == sum(rate.total for rate in report.rates)
    name = behavioural.picture(tmp_path, report)
    assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
