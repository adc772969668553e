"""An explanation as JSON, HTML and picture, from an artifact on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from intent_tracking.artifact import MANIFEST, sha256_of
from intent_tracking.evaluation import style
from intent_tracking.evaluation.explanations import as_html, draw, explain_command
from intent_tracking.evaluation.predict import scene_for
from intent_tracking.modeling.calibration import Calibration
from intent_tracking.modeling.explaining import explain
from intent_tracking.sessions.render import render_utterance
from tests.artifacts import tiny_artifact
from tests.fakes.keyword_predictor import KeywordPredictor

pytestmark = pytest.mark.unit

TEXT = "please cancel <b>it</b> & 取消订单，$5 or $6"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explanations") / "m1"
    tiny_artifact(folder, "m1")
    return folder


def test_the_command_answers_in_the_words_that_were_given_and_writes_what_was_asked_for(
    model: Path, tmp_path: Path
) -> None:
    text = "  where is ｍｙ parcel, 我想退货"
    page, picture = tmp_path / "a" / "why.html", tmp_path / "a" / "why.png"
    page.parent.mkdir()
    answer = explain_command(model, text, html=page, picture=picture, device="cpu")
    assert [word["text"] for word in answer["words"]] == [
        *("where", "is", "ｍｙ", "parcel", ",", "我", "想", "退", "货"),
    ]
    assert all(text[word["start"] : word["end"]] == word["text"] for word in answer["words"])
    assert answer["model_version"] == "m1"
    assert answer == explain_command(model, text, device="cpu")
    assert answer["intent"] in page.read_text(encoding="utf-8")
    assert answer["out_of_scope"] is False
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_page_that_cannot_be_written_is_refused_by_its_name_before_the_work(model: Path, tmp_path: Path) -> None:
    """The message was the system's, of a temporary file that nobody had named, after the explanation."""
    file = tmp_path / "file"
    file.touch()
    for asked in ({"html": file / "why.html"}, {"picture": file / "why.png"}):
        with pytest.raises(OSError, match=f"^{next(iter(asked.values()))}: no file can be written there"):
            explain_command(tmp_path / "no model", TEXT, **asked, device="cpu")


def test_another_intent_can_be_explained_and_an_unknown_one_is_refused(model: Path) -> None:
    assert explain_command(model, TEXT, intent="find_product", device="cpu")["intent"] == "find_product"
    with pytest.raises(ValueError, match="no intent 'nothing'"):
        explain_command(model, TEXT, intent="nothing", device="cpu")


def test_a_scene_is_one_of_the_contract_or_of_the_model(model: Path) -> None:
    assert explain_command(model, TEXT, scene="search", device="cpu")["scene"] == "search"
    with pytest.raises(ValueError, match="no scene is called 'serach'; there are search, browse"):
        explain_command(model, TEXT, scene="serach", device="cpu")
    assert scene_for("salon", ["salon", "search"]) == "salon"
    # A model of one scene is asked there: of another one it has learned nothing.
    assert scene_for(None, ["salon"]) == "salon"
    assert scene_for(None, ["salon", "search"]) == scene_for(None, []) == "customer_service"


def test_the_page_marks_the_words_that_decide_and_shows_no_markup_of_the_text() -> None:
    page = as_html(explain(KeywordPredictor(), render_utterance(TEXT)))
    assert "<b>" not in page
    assert "&amp;</mark>" in page
    strong = [part for part in page.split("<mark")[1:] if ",0.75)" in part]
    assert [part.split("</mark>")[0].split(">")[1] for part in strong] == ["cancel"]


REJECTED = "the weather is nice today"


@pytest.mark.parametrize(
    ("asked", "by"), [(None, "best label: bargain"), ("cancel_order", "label asked for: cancel_order")]
)
def test_the_headline_says_that_a_text_is_rejected(asked: str | None, by: str, tmp_path: Path) -> None:
    """The JSON alone said it: page and picture named the best label as if it were the answer."""
    entry, model = render_utterance(REJECTED), KeywordPredictor()
    explanation, (answer,) = explain(model, entry, asked), model.predict([entry])
    page = as_html(explanation, answer)
    assert f"<h3>out of scope; explained by the {by} (20%)</h3>" in page
    draw(tmp_path / "rejected.png", explanation, answer)
    draw(tmp_path / "not.png", explanation)
    assert (tmp_path / "rejected.png").read_bytes() != (tmp_path / "not.png").read_bytes()
    known = render_utterance(TEXT)
    assert "<h3>cancel_order (" in as_html(explain(model, known), model.predict([known])[0])


def test_a_rejected_text_is_told_to_the_page_of_the_command(tmp_path: Path) -> None:
    page = tmp_path / "why.html"
    model = tmp_path / "m2"
    made = tiny_artifact(model, "m2")
    (model / "calibration.json").write_text(Calibration(out_of_scope_threshold=1.0).model_dump_json())
    files = {**made.files, "calibration.json": sha256_of(model / "calibration.json")}
    (model / MANIFEST).write_text(made.model_copy(update={"files": files}).model_dump_json())
    assert explain_command(model, TEXT, html=page, device="cpu")["out_of_scope"] is True
    assert "out of scope; explained by the best label: " in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "text", ["please cancel " + "x" * 3000, "please cancel it now " * 90, "请帮我取消订单，" * 150]
)
def test_a_long_word_or_run_is_broken_within_the_width_of_the_picture(text: str, tmp_path: Path) -> None:
    """One word of 3,000 characters made a picture of 13,013 pixels by 356."""
    entry, model = render_utterance(text), KeywordPredictor()
    explanation = explain(model, entry)
    long = replace(explanation, intent="a_very_long_name_of_an_intent_" * 6)
    draw(tmp_path / "long.png", long, replace(model.predict([entry])[0], out_of_scope=True))
    width, height = np.frombuffer((tmp_path / "long.png").read_bytes()[16:24], ">u4")
    assert width < 8.4 * style.DPI
    assert height > 3 * style.DPI


def test_pictures_are_the_same_every_time_in_both_languages(tmp_path: Path) -> None:
    explanation = explain(KeywordPredictor(), render_utterance(TEXT * 6))
    draw(tmp_path / "a.png", explanation)
    draw(tmp_path / "b.png", explanation)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with pytest.raises(ValueError, match=r"end its name in \.png"):
        draw(tmp_path / "a.jpg", explanation)
