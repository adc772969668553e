"""Who answers: the template of a sure intent, a passage, or a person."""

from __future__ import annotations

import math
import resource
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from intent_tracking.applications.customer_service.answer_index import AnswerIndex, build_answer_index
from intent_tracking.applications.customer_service.answering import Answer, Confidences, answer
from intent_tracking.applications.customer_service.handover import HandoverError, HandoverLog, read_handovers, summary
from intent_tracking.applications.customer_service.passages import Passage
from intent_tracking.applications.customer_service.ranking import shipped_ranker
from intent_tracking.applications.customer_service.templates import Template, shipped_templates
from intent_tracking.events.contract import EventName, Scene
from intent_tracking.inference import IntentScore, KeyInformation, Prediction
from intent_tracking.sessions.render import SessionEvent, SessionItem, render_utterance
from intent_tracking.sessions.state import LiveSession

pytestmark = pytest.mark.unit

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PASSAGES = (
    Passage("faq.csv#1", "How long does a refund take?", "The refund arrives within five days.", "en"),
    Passage("faq.csv#2", "退款多久到账？", "五天内到账。", "zh"),
)


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> AnswerIndex:
    root = tmp_path_factory.mktemp("desk")
    return AnswerIndex.load(
        build_answer_index(root, PASSAGES, shipped_templates(), shipped_ranker(), None, date(2026, 3, 1))
    )


def prediction(intent: str, probability: float = 0.9, *, out_of_scope: bool = False) -> Prediction:
    return Prediction(
        intents=(IntentScore(intent, probability),),
        out_of_scope=out_of_scope,
        key_information=(KeyInformation("order_id", "A-17", 0, 4),),
        purchase_probability=math.nan,
        embedding=np.zeros(2, np.float32),
        unknown_share=0.0,
        token_count=3,
    )


def asked(index: AnswerIndex, text: str, said: Prediction, *known: tuple[str, str], passage: float = 0.5) -> Answer:
    return answer(index, render_utterance(text), said, known, 2, Confidences(0.6, passage))


def test_a_sure_intent_answers_by_its_template(index: AnswerIndex) -> None:
    found = asked(index, "where is A-17", prediction("track_order"), ("order_id", "A-17"))
    assert (found.source, found.intent) == ("template:track_order", "track_order")
    assert "A-17" in found.text
    assert "您的订单号" in asked(index, "我的包裹在哪里", prediction("track_order")).text


def test_an_intent_that_is_not_sure_is_searched(index: AnswerIndex) -> None:
    found = asked(index, "how long does a refund take", prediction("track_order", 0.5))
    assert (found.source, found.intent) == ("passage:faq.csv#1", None)
    assert found.text == PASSAGES[0].text
    assert found.grounds[0].passage.id == "faq.csv#1"


def test_a_passage_that_all_but_certainly_answers_comes_before_a_template_that_would_ask(index: AnswerIndex) -> None:
    # Cause: an exact question of the shop's own was answered by "Please tell me your order number".
    question = PASSAGES[1].title
    assert asked(index, question, prediction("track_order")).source == "passage:faq.csv#2"
    assert asked(index, question, prediction("track_order"), ("order_id", "A-17")).source == "template:track_order"
    assert asked(index, question, prediction("complaint")).hands_over
    assert asked(index, "my refund", prediction("track_order")).text.endswith("Please tell me your order number.")


def test_a_template_that_searches_first_is_said_where_no_passage_answers(index: AnswerIndex) -> None:
    assert asked(index, "退款多久到账", prediction("return_refund")).source == "passage:faq.csv#2"
    found = asked(index, "refund", prediction("return_refund"), ("order_id", "A-17"), passage=0.999)
    assert found.source == "template:return_refund"
    assert found.grounds == ()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (prediction("complaint"), "I am sorry"),
        (prediction("unknown to the shop"), "I am not sure"),
        (prediction("track_order", out_of_scope=True), "I cannot answer that myself. I am handing you over"),
        (prediction("track_order", 0.2), "I am not sure"),
    ],
)
def test_a_person_takes_over_where_nothing_answers(index: AnswerIndex, said: Prediction, words: str) -> None:
    found = asked(index, "xylophone", said)
    assert found.hands_over
    assert found.text.startswith(words)


def test_the_person_gets_what_was_asked_without_personal_data(index: AnswerIndex, tmp_path: Path) -> None:
    question = "call me at +44 20 7946 0958, <script>xylophone!"
    entry = render_utterance(question)
    said = prediction("track_order", 0.2)
    events = [
        SessionEvent(f"e{n}", EventName.VIEW_ITEM, NOON, Scene.BROWSE, items=(SessionItem("i", "Coat", *[None] * 4),))
        for n in range(12)
    ]
    session = LiveSession("s1", "u1", "u1", NOON, NOON, 12, tuple(events))
    handover = summary(answer(index, entry, said, (), 2, Confidences()), question, entry, said, session, NOON)
    log = HandoverLog(tmp_path)
    log.append(handover)
    log.append(summary(answer(index, entry, said, (), 2, Confidences()), question, entry, said, None, NOON))
    first, second = read_handovers(tmp_path)
    assert (first["shopper_id"], second["shopper_id"]) == ("u1", None)
    assert first["question"] == "call me at <phone>, <script>xylophone!"
    assert first["key_information"] == [["order_id", "A-17"]]
    assert first["events"][0] == {"time": NOON.isoformat(), "event": "view_item", "items": ["Coat"]}
    assert len(first["events"]) == 10
    assert list(tmp_path.glob("day=2026-03-01/*.jsonl"))


def test_what_a_template_repeats_of_the_shopper_is_kept_without_personal_data(tmp_path: Path) -> None:
    # Cause: templates are filled with what the shopper wrote, and the log took the filled one as it was.
    words = "I am handing you over; we have {order_id}."
    complaint = Template(en=words, zh=words, handover=True)
    shipped = shipped_templates()
    templates = shipped.model_copy(update={"intents": {**shipped.intents, "complaint": complaint}})
    desk = AnswerIndex.load(build_answer_index(tmp_path, (), templates, shipped_ranker(), None, NOON.date()))
    question, said = "complaint, jane@example.com", prediction("complaint")
    found = asked(desk, question, said, ("order_id", "jane@example.com"))
    assert found.text == "I am handing you over; we have jane@example.com."
    assert (
        summary(found, question, render_utterance(question), said, None, NOON).said
        == "I am handing you over; we have <email>."
    )


def test_a_handover_that_the_disk_takes_half_of_spoils_no_later_one(index: AnswerIndex, tmp_path: Path) -> None:
    entry, said = render_utterance("xylophone"), prediction("track_order", 0.2)
    handover = summary(answer(index, entry, said, (), 2, Confidences()), "xylophone", entry, said, None, NOON)
    log = HandoverLog(tmp_path)
    log.append(handover)
    (segment,) = tmp_path.glob("day=*/*.jsonl")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (segment.stat().st_size * 3 // 2, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            log.append(handover)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.append(handover)
    assert len(list(read_handovers(tmp_path))) == 2


def test_a_damaged_log_says_where(tmp_path: Path) -> None:
    path = tmp_path / "day=2026-03-01" / "w.jsonl"
    path.parent.mkdir()
    path.write_text("   \n{}\nbroken\n{torn")
    found = read_handovers(tmp_path)
    assert next(found) == {}
    with pytest.raises(HandoverError, match=r"w\.jsonl:3: is no handover"):
        next(found)
