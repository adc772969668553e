"""Universal Dependencies treebanks in CoNLL-U, read with the place of every error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from intent_tracking.tables import where_not_utf8

UNIVERSAL_TAGS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM",
    "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip
_COLUMNS = 10


class TreebankError(Exception):
    """A CoNLL-U file does not hold what the format asks for; the message names file, line and column."""


@dataclass(frozen=True)
class Word:
    """A syntactic word.

    `head` is the index of its head among the words of the sentence, -1 for the root; `start` and `end` are characters
    of the sentence's text. Words of one multiword token that is not their plain concatenation share its span.
    """

    form: str
    tag: str
    head: int
    relation: str
    start: int
    end: int


@dataclass(frozen=True)
class Sentence:
    """A sentence with one tree."""

    text: str
    words: tuple[Word, ...]

    @property
    def forms(self) -> tuple[str, ...]:
        """The words as written."""
        return tuple(word.form for word in self.words)


def read_treebank(path: Path) -> list[Sentence]:
    """The sentences of a CoNLL-U file (https://universaldependencies.org/format.html), empty nodes left out.

    Raises:
        TreebankError: the file is not UTF-8, or a line or tree is wrong; the message says where and what to do.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise TreebankError(f"{path} {where_not_utf8(path)}") from error
    return list(parse_treebank(lines, str(path)))


def parse_treebank(lines: Iterable[str], source: str) -> Iterator[Sentence]:
    """The sentences of CoNLL-U `lines`; `source` stands in the messages.

    Raises:
        TreebankError: see `read_treebank`.
    """
    block: list[tuple[int, str]] = []
    for number, line in enumerate(lines, start=1):
        line = line.rstrip("\r\n")
        if line.strip():
            block.append((number, line))
        elif block:
            yield from _sentence(block, source)
            block = []
    if block:
        yield from _sentence(block, source)


@dataclass(frozen=True)
class _Surface:
    """One token as written: a word, or a multiword token with the ids of its words."""

    line: int
    form: str
    first: int
    last: int
    space_after: bool


def _sentence(block: list[tuple[int, str]], source: str) -> Iterator[Sentence]:
    text: str | None = None
    rows: list[tuple[int, list[str]]] = []
    surfaces: list[_Surface] = []
    covered = 0
    for number, line in block:
        if line.startswith("#"):
            name, _, value = line[1:].partition("=")
            text = value.strip() if name.strip() == "text" else text
            continue
        columns = line.split("\t")
        where = f"{source}:{number}"
        if len(columns) != _COLUMNS:
            raise TreebankError(f"{where}: {len(columns)} columns, not {_COLUMNS}; separate them with single tabs")
        identifier, space_after = columns[0], "SpaceAfter=No" not in columns[9].split("|")
        if "." in identifier:
            continue
        first, dash, last = identifier.partition("-")
        if not (first.isascii() and first.isdigit()) or (dash and not (last.isascii() and last.isdigit())):
            raise TreebankError(f"{where}: column 1 (ID) is {identifier!r}; it must be 3, 3-4 or 3.1")
        if not columns[1]:
            raise TreebankError(f"{where}: column 2 (FORM) is empty")
        if dash:
            if int(first) != len(rows) + 1 or int(last) <= int(first) or int(first) <= covered:
                raise TreebankError(f"{where}: column 1 (ID) is {identifier!r} after word {len(rows)}")
            covered = int(last)
            surfaces.append(_Surface(number, columns[1], int(first), covered, space_after))
            continue
        if int(first) != len(rows) + 1:
            raise TreebankError(f"{where}: column 1 (ID) is {identifier!r}; {len(rows) + 1} was expected")
        rows.append((number, columns))
        if len(rows) > covered:
            surfaces.append(_Surface(number, columns[1], len(rows), len(rows), space_after))
    if not rows:
        return
    if covered > len(rows):
        raise TreebankError(f"{source}:{surfaces[-1].line}: the multiword token ends at {covered}, after the last word")
    heads = [_head(source, number, columns, len(rows)) for number, columns in rows]
    _check_tree(heads, source, rows[0][0])
    text = _joined(surfaces) if text is None else text
    spans = _spans(text, surfaces, [columns[1] for _, columns in rows], source)
    yield Sentence(
        text,
        tuple(
            Word(columns[1], columns[3], head, columns[7], *span)
            for (_, columns), head, span in zip(rows, heads, spans, strict=True)
        ),
    )


def _head(source: str, number: int, columns: list[str], words: int) -> int:
    where, tag, head, relation = f"{source}:{number}", columns[3], columns[6], columns[7]
    if tag not in UNIVERSAL_TAGS:
        raise TreebankError(f"{where}: column 4 (UPOS) is {tag!r}, not one of {' '.join(UNIVERSAL_TAGS)}")
    if not (head.isascii() and head.isdigit()) or int(head) > words:
        raise TreebankError(f"{where}: column 7 (HEAD) is {head!r}; it must be a number from 0 to {words}")
    if relation in ("", "_") or (relation == "root") != (head == "0"):
        raise TreebankError(f"{where}: column 8 (DEPREL) is {relation!r}, HEAD is {head}; `root` and 0 go together")
    return int(head) - 1


def _check_tree(heads: list[int], source: str, line: int) -> None:
    roots = heads.count(-1)
    if roots != 1:
        raise TreebankError(f"{source}:{line}: the sentence that starts here has {roots} roots, not 1")
    safe = {-1}
    for start in range(len(heads)):
        path: list[int] = []
        node = start
        while node not in safe:
            if node in path:
                raise TreebankError(f"{source}:{line}: the heads of the sentence that starts here run in a circle")
            path.append(node)
            node = heads[node]
        safe.update(path)


def _joined(surfaces: list[_Surface]) -> str:
    return "".join(each.form + (" " if each.space_after else "") for each in surfaces).rstrip(" ")


def _spans(text: str, surfaces: list[_Surface], forms: list[str], source: str) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    position = 0
    for surface in surfaces:
        while text[position : position + 1].isspace() and not text.startswith(surface.form, position):
            position += 1
        if not text.startswith(surface.form, position):
            raise TreebankError(
                f"{source}:{surface.line}: form {surface.form!r} is not at character {position} of `# text`; "
                "mend the form, SpaceAfter=No or the comment"
            )
        end = position + len(surface.form)
        parts = forms[surface.first - 1 : surface.last]
        if "".join(parts) == surface.form:
            for part in parts:
                spans.append((position, position + len(part)))
                position += len(part)
        else:
            spans += [(position, end)] * len(parts)
        position = end
    return spans
