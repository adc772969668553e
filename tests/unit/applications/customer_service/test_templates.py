"""What is said about an intent: filled with what the shopper gave, asked for where something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.applications.customer_service.passages import TEMPLATES_FILE
from intent_tracking.applications.customer_service.templates import (
    LANGUAGES,
    TemplateError,
    read_templates,
    shipped_templates,
)
from intent_tracking.events.simulator import DRIFT_INTENTS, INTENTS

pytestmark = pytest.mark.unit

SHIPPED = shipped_templates()


def test_the_shipped_templates_know_the_intents_of_the_simulated_shop() -> None:
    templates = shipped_templates()
    assert set(templates.intents) == {*INTENTS, *DRIFT_INTENTS}
    for intent, template in templates.intents.items():
        for language in LANGUAGES:
            known = dict.fromkeys(template.slots(language), "VALUE")
            assert "{" not in templates.say(intent, language, known)


def test_slots_are_filled_and_what_is_missing_is_asked_for() -> None:
    templates = shipped_templates()
    assert "order A-17 " in templates.say("track_order", "en", {"order_id": "A-17"})
    assert templates.say("track_order", "en", {}) == "I can help with that. Please tell me your order number."
    assert "您的订单号" in templates.say("track_order", "zh", {"order_id": " "})


@given(st.text(max_size=200))
def test_a_value_is_never_read_as_a_template(value: str) -> None:
    said = SHIPPED.say("track_order", "en", {"order_id": "{product}" + value})
    assert "{product}" in said or "your order number" in said


def test_a_shop_replaces_an_intent_and_keeps_the_rest(tmp_path: Path) -> None:
    (tmp_path / TEMPLATES_FILE).write_text('intents:\n  track_order: {en: "Ask {order_id}.", zh: "查{order_id}"}\n')
    templates = read_templates(tmp_path)
    assert templates.say("track_order", "en", {"order_id": "7"}) == "Ask 7."
    assert templates.intents["complaint"] == shipped_templates().intents["complaint"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('intents: {x: {en: "{nobody}", zh: a}}', "intents.x.en asks for {nobody}; name it under slots"),
        ("intents: {x: {en: a}}", "intents.x.zh: is missing"),
        ('ask: {en: "no slot", zh: "{missing}"}', "ask.en must hold {missing} once"),
        ('intents: {x: {en: "{ }", zh: a}}', "a brace without a name"),
        ("intents: {x: {en: a, zh: b, fr: c}}", "intents.x.fr: is no field that is known here"),
        ("intents: {x: {en: a, zh: b, needs: order_id}}", "intents.x.needs: must be a list"),
        ("[1, 2]", "must hold intents"),
        ("intents: [", "is no YAML"),
    ],
)
def test_a_wrong_file_says_where_and_what(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / TEMPLATES_FILE).write_text(content)
    with pytest.raises(TemplateError) as caught:
        read_templates(tmp_path)
    assert str(tmp_path / TEMPLATES_FILE) in str(caught.value)
    assert message in str(caught.value)
