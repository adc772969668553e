"""What a model wrote is an answer only where it stands on the passages that it cites."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from intent_tracking.applications.customer_service.generation import (
    AnswerWriter,
    EndpointError,
    NotGroundedError,
    grounded,
)
from intent_tracking.applications.customer_service.passages import Passage
from tests.fakes.chat_server import Messages, Reply, chat_server

pytestmark = pytest.mark.unit

PASSAGES = (
    Passage(
        "a#1", "Delivery", "Parcels arrive within 2 working days. Follow yours on https://shop.example/track.", "en"
    ),
    Passage("a#2", "退货", "七天内可以免费退货。", "zh"),
)
CODE = "0123456789abcdef"


def test_an_answer_that_cites_is_taken_without_its_marks() -> None:
    worded = grounded("Your parcel arrives within 2 working days [1].", PASSAGES, CODE)
    assert worded.text == "Your parcel arrives within 2 working days."
    assert [each.id for each in worded.passages] == ["a#1"]
    assert grounded("七天内可以退货[2]。", PASSAGES, CODE).text == "七天内可以退货。"
    assert grounded("Follow your parcels on shop.example/track [1].", PASSAGES, CODE).passages == PASSAGES[:1]


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("Parcels arrive within 2 working days.", "cites no passage"),
        ("NONE", "cites no passage"),
        ("Parcels arrive within 2 working days [3].", "cites passage 3"),
        ("Parcels arrive within 2 working days [0].", "cites passage 0"),
        ("Parcels arrive within 5 working days [1].", "states '5 working days'"),
        ("Parcels arrive; pay at https://evil.example/x [1].", "states 'https://evil.example/x'"),
        ("Parcels arrive within working days, pay at evil.example/x [1].", "states 'evil.example/x'"),
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
        grounded(reply, PASSAGES, CODE)


@pytest.mark.parametrize(
    ("reply", "held", "why"),
    [
        ("您可以在收到商品后三十天内退货[1]", "您可以在收到商品后七天内退货。", "states '三十天'"),
        (
            "You can return shoes within thirty days [1]",
            "You can return shoes within seven days.",
            "states 'thirty days'",
        ),
        ("You can return worn shoes [1]", "You cannot return worn shoes.", "denies otherwise"),
        ("You cannot return worn shoes [1]", "You can return worn shoes.", "denies otherwise"),
        ("穿过的鞋可以退货[1]", "穿过的鞋不可以退货。", "denies otherwise"),
    ],
)
def test_a_number_in_words_and_a_denial_are_not_changed(reply: str, held: str, why: str) -> None:
    # Cause: only digits were compared, and words without their order.
    title = "Within thirty days? 三十天内可以退货吗"
    with pytest.raises(NotGroundedError, match=why):
        grounded(reply, [Passage("a#1", title, held, "en")], CODE)


def test_who_asks_for_a_number_is_not_promised_it() -> None:
    with (
        chat_server(lambda _: "Parcels arrive within 1 working day [1].") as server,
        pytest.raises(NotGroundedError, match="states '1 working day'"),
    ):
        AnswerWriter(server.address, "m", None, 60).write("Do parcels arrive within 1 working day?", PASSAGES, "en")


def test_the_language_of_an_answer_is_that_of_its_passages() -> None:
    said = "Parcels arrive within 2 working days [1]."
    with chat_server(lambda _: said) as server:
        worded = AnswerWriter(server.address, "m", None, 60).write("包裹多久到？", PASSAGES, "zh")
    assert worded.passages == PASSAGES[:1]
    with pytest.raises(NotGroundedError, match="most of its words"):
        grounded("包裹在2个工作日内送达[1]。", PASSAGES, CODE)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"no json", r"holds no choices\[0\]"),
        (b'{"choices": []}', r"holds no choices\[0\]"),
        (b'{"choices": [{"message": {"content": 3}}]}', "is no text"),
        (b"x" * (2 << 20), "larger than 1 MiB"),
        (500, "Internal Server Error"),
        (307, "Temporary Redirect"),
    ],
)
def test_an_endpoint_that_answers_otherwise_is_named(reply: Reply, why: str) -> None:
    with chat_server(lambda _: reply) as server:
        with pytest.raises(EndpointError, match=why) as caught:
            AnswerWriter(server.address, "m", SecretStr("sk-secret"), 60).write("when?", PASSAGES, "en")
        assert len(server.requests) == 1  # a redirect would have carried the key elsewhere
    assert "sk-secret" not in str(caught.value)


def test_an_endpoint_that_is_late_or_away_holds_nobody() -> None:
    nobody_waits = threading.Event()

    def late(_: Messages) -> str:
        nobody_waits.wait(30)
        return "late [1]"

    def in_pieces(_: Messages) -> Iterator[bytes]:
        until = time.monotonic() + 30
        while not nobody_waits.wait(0.05) and time.monotonic() < until:
            yield b" "

    # Cause of the second: each byte came in time, and the whole answer did not. On a busy machine a byte is late, too.
    for reply, why in ((late, "timed out"), (in_pieces, r"no whole answer from the endpoint within 0\.5 s|timed out")):
        nobody_waits.clear()
        with chat_server(reply) as server:
            began = time.monotonic()
            with pytest.raises(EndpointError, match=why):
                AnswerWriter(server.address, "m", None, 0.5).write("when?", PASSAGES, "en")
            assert time.monotonic() - began < 20
            nobody_waits.set()
    with pytest.raises(EndpointError, match="no answer from the endpoint"):
        AnswerWriter("http://127.0.0.1:9/v1", "m", None, 0.5).write("when?", PASSAGES, "en")


def test_a_real_model_that_was_never_trained_says_nothing_that_is_taken() -> None:
    import torch

    torch.manual_seed(0)
    letters, states = torch.nn.Embedding(128, 16), torch.nn.GRUCell(16, 32)
    next_letter = torch.nn.Linear(32, 128)

    def generate(messages: Messages) -> str:
        state, said = torch.zeros(1, 32), ""
        with torch.inference_mode():
            for letter in messages[-1]["content"][-50:]:
                state = states(letters(torch.tensor([min(ord(letter), 127)])), state)
            for _ in range(20):
                said += chr(int(next_letter(state).argmax()))
                state = states(letters(torch.tensor([ord(said[-1])])), state)
        return said

    with chat_server(generate) as server, pytest.raises(NotGroundedError):
        AnswerWriter(server.address, "tiny", None, 120).write("when?", PASSAGES, "en")
