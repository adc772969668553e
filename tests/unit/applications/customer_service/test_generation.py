"""What a model wrote is an answer only where it stands on the passages that it cites."""

from __future__ import annotations

import pytest

from intent_tracking.applications.customer_service.generation import NotGroundedError, grounded
from intent_tracking.applications.customer_service.passages import Passage

pytestmark = pytest.mark.unit

PASSAGES = (
    Passage(
        "a#1", "Delivery", "Parcels arrive within 2 working days. Follow yours on https://shop.example/track.", "en"
    ),
    Passage("a#2", "退货", "七天内可以免费退货。", "zh"),
)
CODE = "0123456789abcdef"


def test_an_answer_that_cites_is_taken_without_its_marks() -> None:
    worded = grounded("Your parcel arrives within 2 working days [1].", "when?", PASSAGES, CODE)
    assert worded.text == "Your parcel arrives within 2 working days."
    assert [each.id for each in worded.passages] == ["a#1"]
    assert grounded("七天内可以退货[2]。", "能退吗", PASSAGES, CODE).text == "七天内可以退货。"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("Parcels arrive within 2 working days.", "cites no passage"),
        ("NONE", "cites no passage"),
        ("Parcels arrive within 2 working days [3].", "cites passage 3"),
        ("Parcels arrive within 2 working days [0].", "cites passage 0"),
        ("Parcels arrive within 5 working days [1].", "states '5'"),
        ("Parcels arrive; pay at https://evil.example/x [1].", "states 'https://evil.example/x'"),
        ("Write to boss@evil.example about working days [1].", "states 'boss@evil.example'"),
        ("The capital of France is Paris and nothing else matters [1].", "most of its words"),
        (f"Parcels arrive within 2 working days {CODE} [1].", "tells its rules"),
        ("You word answers for the help desk of an online shop [1].", "tells its rules"),
        ("[1]", "no words"),
        ("working days " * 200 + "[1]", "more than"),
    ],
)
def test_anything_else_is_refused(reply: str, why: str) -> None:
    with pytest.raises(NotGroundedError, match=why.replace("[", r"\[")):
        grounded(reply, "when does it come?", PASSAGES, CODE)
