"""A number keeps its value and unit, and a denial stays one, whatever the script or the language that writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.applications.customer_service.claims import contradicted, facts, made_up

pytestmark = pytest.mark.unit

ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SHOES = "You can return unworn shoes within 7 days. Refunds take 2 working days, but sale items cannot be returned."
UNDERWEAR = "商品七天内可以退货，内衣不支持退换。"


def english(number: int) -> str:
    below = ["", *ONES, *TEENS]
    if number >= 100:
        rest = number % 100
        return f"{ONES[number // 100 - 1]} hundred" + (f" and {english(rest)}" if rest else "")
    if number < len(below):
        return below[number]
    return TENS[number // 10 - 2] + (f"-{ONES[number % 10 - 1]}" if number % 10 else "")


def chinese(number: int) -> str:
    figures = "零一二三四五六七八九"
    hundreds, tens, ones = number // 100, number // 10 % 10, number % 10
    said = f"{figures[hundreds]}百" if hundreds else ""
    if tens:
        said += ("" if tens == 1 and not hundreds else figures[tens]) + "十"
    elif hundreds and ones:
        said += "零"
    return said + (figures[ones] if ones else "")


@given(st.integers(1, 999))
def test_digits_and_words_of_both_languages_are_one_number(number: int) -> None:
    wide = str(number).translate({ord("0") + n: ord("０") + n for n in range(10)})
    forms = [f"{number} days", f"{english(number)} days", f"{number}天", f"{wide}天", f"{chinese(number)}天"]
    assert {(fact.value, fact.unit) for form in forms for fact in facts(form)} == {(str(number), "day")}


@given(st.integers(1, 999), st.integers(1, 999))
def test_another_number_is_made_up(one: int, other: int) -> None:
    for said in (f"within {english(other)} days", f"{chinese(other)}天内", f"{other}天内"):
        assert (made_up(said, [f"within {english(one)} days"]) is None) == (one == other)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a week, half an hour and a year", [("1", "week"), ("0.5", "hour"), ("1", "year")]),
        ("5-7 working days", [("5", ""), ("7", "workday")]),
        ("三到五个工作日", [("3", ""), ("5", "workday")]),
        ("$1,500.00, 1.5万元", [("1500", "dollar"), ("15000", "yuan")]),
        ("百分之十 and 10%", [("10", "percent"), ("10", "percent")]),
        ("二〇二六年", [("2026", "year")]),
        ("半年；十分钟", [("0.5", "year"), ("10", "minute")]),
        # One of two is no number of its own.
        ("两三天", [("两三", "day")]),
        ("from 9:30 on", [("9:30", "")]),
        ("7x24小时, iPhone15pro", [("7", "x"), ("24", "hour"), ("15", "iphonepro")]),
        ("https://shop.example/7, Boss@Shop.example.", [("shop.example/7", ""), ("boss@shop.example", "")]),
        ("no one takes this one; 一个人，一般，统一，统一app，十分满意，万一，千万", []),
    ],
)
def test_what_counts_and_what_does_not(text: str, found: list[tuple[str, str]]) -> None:
    assert [(fact.value, fact.unit) for fact in facts(text)] == found


@pytest.mark.parametrize(
    ("said", "held"),
    [
        ("within 7 weeks", "within 7 days"),
        ("within a month", "within a week"),
        ("within 2 days", "within 2 working days"),
        ("it costs 5 euros", "it costs $5"),
        # Cause: no word ends between the letters of a currency and its digits, nor between English and Chinese.
        ("the return fee is USD30", "within 30 days; the fee is $5"),
        ("运费EUR30", "30天内"),
        ("可在thirty天内退货", "可在7天内退货"),
        ("up to 30 kg", "within 30 days"),
        ("up to 30kg", "within 30 days"),
        ("the fee is DKK30", "within 30 days"),
        ("30日元", "30日"),
        ("until 9 pm", "from 9 am"),
        ("within 30 days", "Can I return after 30 days? No, within 7 days."),
    ],
)
def test_a_unit_or_a_question_makes_another_number(said: str, held: str) -> None:
    assert made_up(said, [held]) is not None


@pytest.mark.parametrize(
    ("said", "held"),
    [
        ("the fee is 30 dollars", "the fee is USD30"),
        ("运费USD30", "the fee is $30"),
        ("可在thirty天内退货", "within 30 days"),
        ("parcels of 30kg", "30公斤以内"),
        ("within 30", "within 30 days"),
        ("for the iPhone 15pro on A4", "iPhone 15pro, A4"),
    ],
)
def test_a_number_beside_letters_is_what_they_make_of_it(said: str, held: str) -> None:
    assert made_up(said, [held]) is None


@pytest.mark.parametrize(
    ("said", "held"),
    [
        ("You can return worn shoes", "You cannot return worn shoes."),
        ("You can return worn shoes", "You can’t return worn shoes."),
        ("You cannot return worn shoes", "You can return worn shoes."),
        ("You can return worn shoes", "You can return unworn shoes."),
        ("You can return worn shoes", "You can return shoes, but we never take worn ones."),
        ("Shoes are returned", "All items except shoes are returned."),
        ("Sale items are returned within 7 days", SHOES),
        ("穿过的鞋可以退", "穿过的鞋不可以退。"),
        ("穿过的鞋不能退", "穿过的鞋能退。"),
        ("内衣七天内可以退货", UNDERWEAR),
        ("內衣七天內可以退貨", UNDERWEAR),
        ("泳衣可以退货", "以下商品不支持退货：内衣，泳衣，耳饰。"),
        ("需要运费", "无需运费。"),
    ],
)
def test_a_denial_that_comes_or_goes_is_a_contradiction(said: str, held: str) -> None:
    assert contradicted(said, [held]) is not None


@pytest.mark.parametrize(
    ("said", "held"),
    [
        ("No worries, you can return worn shoes", "You can return worn shoes."),
        ("You can return unworn shoes", SHOES),
        ("Sale items cannot be returned", SHOES),
        ("You can't return worn shoes", "Worn shoes are not returned."),
        ("No, worn shoes cannot be returned", "Can I return worn shoes? No, you cannot return worn shoes."),
        ("商品七天内可以退货", UNDERWEAR),
        ("内衣不支持退换", UNDERWEAR),
        ("七天内可以退货", "支持七天无理由退货。"),
        ("非常抱歉，蓝牙耳机七天内可以退货", "无线蓝牙耳机七天内可以退货。"),
        ("质量不错，七天内可以退货", "七天内可以退货。"),
        ("鞋可以退", "是否可以退鞋取决于订单。"),
    ],
)
def test_what_says_the_same_is_none(said: str, held: str) -> None:
    assert contradicted(said, [held]) is None


WORDS = st.lists(st.sampled_from([f"word{letter}" for letter in "abcdefghijkl"]), unique=True, min_size=2, max_size=12)


@given(WORDS, st.data())
def test_a_quoted_sentence_agrees_and_with_one_denial_more_or_less_it_does_not(words: list[str], data: st.DataObject):
    cut = data.draw(st.integers(1, len(words) - 1))
    denied = data.draw(st.booleans())
    first, second = " ".join(words[:cut]), " ".join(words[cut:])
    held = f"{first}{' not' if denied else ''}. {second}."
    assert contradicted(f"{first}{' not' if denied else ''}.", [held]) is None
    assert contradicted(f"{second}.", [held]) is None
    assert contradicted(f"{first}{'' if denied else ' not'}.", [held]) is not None
    assert contradicted(f"not {second}.", [held]) is not None
