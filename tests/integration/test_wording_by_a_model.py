"""Answers worded by a real language model behind `transformers serve`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from intent_tracking.applications.customer_service.generation import AnswerWriter, EndpointError, NotGroundedError
from intent_tracking.applications.customer_service.passages import Passage
from tests.fakes.parrot_model import transformers_serve, write_parrot

pytestmark = pytest.mark.integration

PASSAGES = (Passage("faq.md#returns", "Returns", "You can return unworn shoes within 30 days. 退货免费。", "en"),)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with transformers_serve(tmp_path_factory.mktemp("serve") / "log") as address:
        yield address


def writer(address: str, model: Path) -> AnswerWriter:
    return AnswerWriter(address, str(model), None, seconds=240)


def test_a_model_that_cites_its_passage_words_the_answer(address: str, tmp_path: Path) -> None:
    write_parrot(tmp_path, "You can return shoes within 30 days; 退货免费 [1]")
    worded = writer(address, tmp_path).write("Can I send shoes back?", PASSAGES, "en")
    assert worded.text == "You can return shoes within 30 days; 退货免费"
    assert worded.passages == PASSAGES


def test_a_model_that_makes_things_up_is_not_believed(address: str, tmp_path: Path) -> None:
    write_parrot(tmp_path, "You can return shoes within 90 days [1]")
    with pytest.raises(NotGroundedError, match="states '90 days'"):
        writer(address, tmp_path).write("Can I send shoes back?", PASSAGES, "en")


def test_a_model_that_the_server_does_not_have_is_an_error_of_the_endpoint(address: str, tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="the endpoint answers"):
        writer(address, tmp_path / "none").write("Can I send shoes back?", PASSAGES, "en")
