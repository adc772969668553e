"""`intent-tracking answer` and `handovers`, on a home with a release."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from intent_tracking.applications.customer_service.handover import Handover, HandoverLog
from intent_tracking.cli import app
from intent_tracking.release import publish
from intent_tracking.settings import Settings
from tests.artifacts import tiny_component
from tests.fakes.released_applications import PASSAGES, released_answers

pytestmark = pytest.mark.integration


def run(home: Path, *arguments: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, [*arguments], env={"INTENT_HOME": str(home)})
    return found.exit_code, found.output


def test_a_question_is_answered_by_the_live_release(tmp_path: Path) -> None:
    assert run(tmp_path, "answer", "hi") == (
        2,
        f"answer: {tmp_path / 'release.json'}: is not there: nothing is released in this home; "
        "materialize both first, or name another home with INTENT_HOME\n",
    )
    components = {"intent_model": tiny_component(tmp_path, "m1"), "answer_index": released_answers(tmp_path)}
    publish(Settings(home=tmp_path).release_file, components, "first")
    code, output = run(tmp_path, "answer", "how long does delivery take", "--k", "1")
    assert code == 0, output
    said = json.loads(output)
    assert list(said) == ["answer", "source", "candidates", "intent", "key_information"]
    assert (said["source"], said["answer"]) == ("passage:faq.csv#1", PASSAGES[0].text)
    assert len(said["candidates"]) == 1
    assert not (tmp_path / "handovers").exists()


@pytest.mark.parametrize("question", ["", " \u200b "])
def test_a_question_without_words_is_refused(tmp_path: Path, question: str) -> None:
    assert run(tmp_path, "answer", question) == (2, "answer: holds no words: give what the shopper asks\n")


@pytest.mark.parametrize("command", [("answer", "hi"), ("handovers",)])
def test_a_home_that_is_not_there_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    home = tmp_path / "nowhere"
    told = f"{command[0]}: {home}: there is no such home; name the folder of the platform with INTENT_HOME\n"
    assert run(home, *command) == (2, told)


def test_handovers_are_listed(tmp_path: Path) -> None:
    assert run(tmp_path, "handovers") == (0, "")
    at = datetime(2026, 3, 1, tzinfo=UTC)
    HandoverLog(tmp_path / "handovers").append(Handover("h", at, "u", "s", "zh", "帮帮我", None, (), (), "等", (), ()))
    code, output = run(tmp_path, "handovers")
    assert code == 0
    assert json.loads(output)["question"] == "帮帮我"
