"""CoNLL-U in, sentences out; what is wrong is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from intent_tracking.text.treebank import UNIVERSAL_TAGS, Sentence, TreebankError, Word, parse_treebank, read_treebank

pytestmark = pytest.mark.unit

GOOD = [
    "# text = I don't know.",
    "1\tI\tI\tPRON\t_\t_\t4\tnsubj\t_\t_",
    "2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_",
    "2\tdo\tdo\tAUX\t_\t_\t4\taux\t_\t_",
    "3\tn't\tnot\tPART\t_\t_\t4\tadvmod\t_\t_",
    "3.1\tempty\t_\t_\t_\t_\t_\t_\t4:dep\t_",
    "4\tknow\tknow\tVERB\t_\t_\t0\troot\t_\tSpaceAfter=No",
    "5\t.\t.\tPUNCT\t_\t_\t4\tpunct\t_\t_",
    "",
]


def changed(number: int, column: int, value: str) -> list[str]:
    columns = GOOD[number].split("\t")
    columns[column] = value
    return [*GOOD[:number], "\t".join(columns), *GOOD[number + 1 :]]


def test_multiword_tokens_have_the_spans_of_their_parts_and_empty_nodes_none() -> None:
    (sentence,) = parse_treebank(GOOD, "here")
    assert sentence.forms == ("I", "do", "n't", "know", ".")
    assert [sentence.text[word.start : word.end] for word in sentence.words] == list(sentence.forms)
    assert [word.head for word in sentence.words] == [3, 3, 3, -1, 3]


def test_parts_that_do_not_join_to_their_token_share_its_span() -> None:
    lines = [
        "1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_",
        "1\tde\t_\tADP\t_\t_\t2\tcase\t_\t_",
        "2\tle\t_\tDET\t_\t_\t0\troot\t_\t_",
    ]
    (sentence,) = parse_treebank(lines, "here")
    assert [(word.start, word.end) for word in sentence.words] == [(0, 2), (0, 2)]


@pytest.mark.parametrize(
    ("lines", "place", "message"),
    [
        ([GOOD[0], "1 I I PRON _ _ 0 root _ _"], 2, "1 columns, not 10"),
        (changed(4, 0, "7"), 5, "3 was expected"),
        (changed(4, 0, "x"), 5, "it must be 3, 3-4 or 3.1"),
        (changed(2, 0, "2-9"), 3, "after the last word"),
        (changed(1, 3, "NN"), 2, "UPOS"),
        (changed(1, 6, "9"), 2, "a number from 0 to 5"),
        (changed(1, 6, "_"), 2, "a number from 0 to 5"),
        (changed(1, 7, "_"), 2, "DEPREL"),
        (changed(1, 6, "0"), 2, "`root` and 0 go together"),
        (changed(1, 6, "1"), 2, "circle"),
        (changed(1, 1, "You"), 2, "is not at character 0"),
        (changed(1, 1, ""), 2, "FORM"),
    ],
)
def test_a_flaw_is_named_with_its_line(lines: list[str], place: int, message: str) -> None:
    with pytest.raises(TreebankError, match=f"^here:{place}: .*{message}"):
        list(parse_treebank(lines, "here"))


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.conllu"
    path.write_bytes("# sent_id = 1\n# text = café".encode("latin-1"))
    with pytest.raises(TreebankError, match=r"latin\.conllu line 2 is not UTF-8; save the file as UTF-8"):
        read_treebank(path)


def written(sentence: Sentence, spaces: list[bool]) -> list[str]:
    lines = [f"# text = {sentence.text}"]
    for number, (word, space) in enumerate(zip(sentence.words, spaces, strict=True), start=1):
        after = "_" if space else "SpaceAfter=No"
        lines.append(f"{number}\t{word.form}\t_\t{word.tag}\t_\t_\t{word.head + 1}\t{word.relation}\t_\t{after}")
    return [*lines, ""]


@st.composite
def sentences(draw: st.DrawFn) -> tuple[Sentence, list[bool]]:
    letters = st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"])
    forms = draw(st.lists(st.text(letters, min_size=1, max_size=6), min_size=1, max_size=8))
    spaces = [*draw(st.lists(st.booleans(), min_size=len(forms) - 1, max_size=len(forms) - 1)), False]
    text, words = "", []
    for number, (form, space) in enumerate(zip(forms, spaces, strict=True)):
        head = draw(st.integers(0, number - 1)) if number else -1
        start, text = len(text), text + form
        tag = draw(st.sampled_from(UNIVERSAL_TAGS))
        words.append(Word(form, tag, head, "dep" if number else "root", start, len(text)))
        text += " " if space else ""
    return Sentence(text, tuple(words)), spaces


@given(sentences())
def test_what_is_written_is_read(case: tuple[Sentence, list[bool]]) -> None:
    sentence, spaces = case
    assert list(parse_treebank(written(sentence, spaces), "here")) == [sentence]
