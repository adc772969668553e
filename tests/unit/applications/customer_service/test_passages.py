"""What the shop drops into its folder: every kind of file, both languages, and what is said of mistakes."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.applications.customer_service.passages import MAX_PASSAGE_CHARACTERS, Reading, read_answers

pytestmark = pytest.mark.unit


def read(tmp_path: Path, **files: str | bytes) -> Reading:
    for name, content in files.items():
        path = tmp_path / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_answers(tmp_path)


def test_markdown_is_cut_at_its_headings_which_become_titles(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        returns_md="# Returns\nIn 30 days.\n## Refund\nTo your card.\n```\n# no heading\n```\n# 退货\n七天内可退。\n",
    )
    assert [(each.id, each.title, each.language) for each in found.passages] == [
        ("returns.md#1", "Returns", "en"),
        ("returns.md#2", "Returns > Refund", "en"),
        ("returns.md#3", "退货", "zh"),
    ]
    assert "# no heading" in found.passages[1].text
    assert found.problems == ()


def test_rows_and_pairs_have_their_question_as_title(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        faq_csv='question,answer\n"Do you ship, fast?",Yes\n,\n',
        sub__zh_csv="问题,答案\n多久发货？,当天\n",
        plain_txt="Q: How long?\nA: Two days,\nat most.\n\n问：能退吗？\n答：可以。\n",
    )
    assert [(each.id, each.title, each.text) for each in found.passages] == [
        ("faq.csv#1", "Do you ship, fast?", "Yes"),
        ("plain.txt#1", "How long?", "Two days, at most."),
        ("plain.txt#2", "能退吗?", "可以。"),
        ("sub/zh.csv#1", "多久发货?", "当天"),
    ]


def test_a_mistake_names_its_line_and_loses_nothing_else(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        a_csv="question,answer\nq1,a1\nq2\nq3,\nq4,a4\n",
        b_csv="frage,antwort\nx,y\n",
        c_txt="Q: one?\nQ: two?\nA: yes\n",
        d_txt="just words\n",
        e_md=b"# fine\nwords\n" + b"\xff\n",
        f_pdf="%PDF",
        g_csv='question,answer\n"never closed,x\n',
        h_md="# Good\nwords\n",
    )
    assert [each.id for each in found.passages] == ["a.csv#1", "a.csv#2", "c.txt#1", "h.md#1"]
    assert [f"{each.file}:{each.line}" for each in found.problems] == [
        *("a.csv:3", "a.csv:4", "b.csv:1", "c.txt:1", "d.txt:1", "e.md:3", "f.pdf:1", "g.csv:2"),
    ]
    assert "has 1 cells, the header has 2" in str(found.problems[0])


def test_hidden_files_are_left_out_and_a_missing_folder_is_empty(tmp_path: Path) -> None:
    (tmp_path / ".hidden.md").write_text("# secret\nwords")
    assert read_answers(tmp_path) == Reading((), ())
    assert read_answers(tmp_path / "nowhere") == Reading((), ())


@given(st.text(st.sampled_from(string.ascii_letters + " .!?\n。，长"), max_size=4000))
def test_passages_are_bounded_and_lose_no_word(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("answers")
    (folder / "x.md").write_text(text, encoding="utf-8")
    passages = read_answers(folder).passages
    assert all(0 < len(each.text) <= MAX_PASSAGE_CHARACTERS for each in passages)
    kept = "".join("".join(each.text for each in passages).split())
    assert kept == "".join(text.replace("，", ",").split())
