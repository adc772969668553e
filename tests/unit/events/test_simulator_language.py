"""What simulated shoppers write: templates of each period, offsets of key information, made-up personal data."""

from __future__ import annotations

import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tracking.events.simulator import DRIFT_INTENTS, INTENTS, LanguageRates
from intent_tracking.events.simulator.catalogue import build_catalogue
from intent_tracking.events.simulator.intents import CONFUSED_WITH, SLOTS, SUBSCRIBE_AND_SAVE
from intent_tracking.events.simulator.language_data import expand, read_language_file, split_values, utterances
from intent_tracking.events.simulator.personal import KINDS, chinese_id_digit, luhn_digit, personal_value
from intent_tracking.events.simulator.wording import Topic, Writer, write_message, write_review, write_search
from intent_tracking.text.personal_data import scrub

pytestmark = pytest.mark.unit

PERIODS = {"early": 12, "later": 6, "drift": 6}
CATALOGUE = build_catalogue(7)


def lines_of(period: str, language: str) -> dict[str, list[str]]:
    return {intent: texts[language].splitlines() for intent, texts in read_language_file(period).items()}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("period", PERIODS)
def test_each_intent_has_enough_templates(period: str, language: str) -> None:
    counts = {intent: len(lines) for intent, lines in lines_of(period, language).items()}
    assert set(counts) == {*INTENTS, *(DRIFT_INTENTS if period == "drift" else ())}
    assert min(counts.values()) >= PERIODS[period], counts


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_utterance_of_one_period_is_one_of_another(language: str) -> None:
    texts = {
        period: {text for lines in lines_of(period, language).values() for line in lines for text in expand(line)}
        for period in PERIODS
    }
    for one, other in combinations(PERIODS, 2):
        assert not texts[one] & texts[other]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_template_stands_under_two_intents(language: str) -> None:
    owners: dict[str, str] = {}
    for period in PERIODS:
        for intent, lines in lines_of(period, language).items():
            for line in lines:
                assert owners.setdefault(line, intent) == intent


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_group_of_products_has_questions_in_every_period(language: str) -> None:
    for group in {item.group for item in CATALOGUE.items}:
        for period in PERIODS:
            assert utterances(period, "product_question", language, group)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_templates_ask_only_for_known_key_information(language: str) -> None:
    asked = {
        name
        for period in PERIODS
        for lines in lines_of(period, language).values()
        for line in lines
        for text in expand(line)
        for _, name in split_values(text)
        if name is not None
    }
    assert asked == set(SLOTS)


def test_a_desk_errs_towards_another_intent() -> None:
    assert set(CONFUSED_WITH) == {*INTENTS, *DRIFT_INTENTS}
    assert all(intent not in others for intent, others in CONFUSED_WITH.items())


@settings(max_examples=300)
@given(
    seed=st.integers(0, 2**32),
    intent=st.sampled_from([*INTENTS, SUBSCRIBE_AND_SAVE]),
    language=st.sampled_from(["en", "zh"]),
    period=st.sampled_from(list(PERIODS)),
    switching=st.booleans(),
)
def test_key_information_stands_where_its_offsets_say(
    seed: int, intent: str, language: str, period: str, switching: bool
) -> None:
    rng = random.Random(seed)
    item, other = rng.choice(CATALOGUE.items), rng.choice(CATALOGUE.items)
    topic = Topic(item, other, "SO001234567")
    if intent == SUBSCRIBE_AND_SAVE:
        period = "drift"
    writer = Writer(language, period, switching, LanguageRates(typo=0.5, personal_data=0.3))
    message = write_message(intent, topic, writer, rng)
    text = message.text
    assert text == text.strip()
    assert text
    assert "{" not in text
    assert "[" not in text
    assert "|" not in text
    end_before = 0
    for name, start, end in message.slots:
        assert end_before <= start < end <= len(text)
        end_before = end
        value = text[start:end].lower()
        if name == "brand":
            assert value in {brand.lower() for brand in item.brand.values()}
        elif name == "product":
            assert any(noun.lower() in value for nouns in item.nouns.values() for noun in nouns)
        elif name == "order_id":
            assert value == "so001234567"
        elif name == "price":
            assert any(character.isdigit() for character in value)
        elif name == "colour":
            assert any(colour.lower().startswith(value) for colour in item.colour.values())
        else:
            assert name == "size"
            assert value == item.size[language].lower()


@settings(max_examples=100)
@given(seed=st.integers(0, 2**32), language=st.sampled_from(["en", "zh"]), period=st.sampled_from(list(PERIODS)))
def test_searches_and_reviews_fill_every_value(seed: int, language: str, period: str) -> None:
    rng = random.Random(seed)
    topic = Topic(rng.choice(CATALOGUE.items), rng.choice(CATALOGUE.items), "SO001234567")
    writer = Writer(language, period, True, LanguageRates())
    texts = [write_search(intent, topic, writer, rng) for intent in ("explore", "compare", "bargain", "track_order")]
    texts += [write_review(rating, topic, writer, rng) for rating in (1, 3, 5)]
    assert all(text.strip() and not set("{}[]|") & set(text) for text in texts)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", KINDS)
def test_made_up_personal_data_is_real_enough_to_be_found(kind: str, language: str) -> None:
    rng = random.Random(3)
    for _ in range(50):
        value = personal_value(kind, language, rng)
        lead = {"en": "my details are ", "zh": "我的信息是"}[language]
        assert scrub(f"{lead}{value}").found == {kind: 1}, value


def test_check_digits_follow_their_standards() -> None:
    assert luhn_digit("7992739871") == "3"  # the usual worked example of the Luhn algorithm
    assert chinese_id_digit("11010519491231002") == "X"  # the example of GB 11643-1999


def test_choices_expand_to_every_text() -> None:
    assert expand("[a|b] c [d|]") == ["a c d", "a c ", "b c d", "b c "]
