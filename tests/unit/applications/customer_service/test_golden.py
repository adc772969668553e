"""Golden questions of a shop, and what keeps an index from going live."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from intent_tracking.applications.customer_service.answer_index import AnswerIndex, build_answer_index
from intent_tracking.applications.customer_service.golden import GoldenError, GoldenQuestion, judge, read_golden
from intent_tracking.applications.customer_service.ranking import shipped_ranker
from intent_tracking.applications.customer_service.templates import shipped_templates
from tests.fakes.released_applications import PASSAGES

pytestmark = pytest.mark.unit


def test_an_index_must_find_titles_and_no_fewer_golden_questions_than_the_live_one(tmp_path: Path) -> None:
    def built(count: int) -> AnswerIndex:
        parts = (PASSAGES[:count], shipped_templates(), shipped_ranker(), None, date(2026, 3, 1))
        return AnswerIndex.load(build_answer_index(tmp_path, *parts))

    golden = (GoldenQuestion("gift cards", "trap.md#1"), GoldenQuestion("delivery", "faq.csv"))
    more, less = built(3), built(1)
    assert judge(more, 1.0, less, golden).figures == {"own_titles": 1.0, "golden": 1.0, "live_golden": 0.5}
    assert judge(more, None, None, ()).passed
    worse = judge(less, 1.0, more, golden)
    assert worse.missed == ("gift cards",)
    assert worse.reasons == ("50% of the golden questions find their passage, the live index finds 100%",)
    assert judge(more, 0.5, None, ()).reasons == ("50% of the passages are found by their own title, 90% must",)


@pytest.mark.parametrize(
    ("content", "message"),
    [("a,b\n", "golden.csv:1: needs the columns"), ("question,passage\nx,\n", "golden.csv:2: a question and its")],
)
def test_a_wrong_file_names_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "golden.csv").write_text(content)
    with pytest.raises(GoldenError, match=message):
        read_golden(tmp_path)
    assert read_golden(tmp_path / "nowhere") == ()
