"""What the shop wrote to answer questions, read from a folder: each file cut into passages that stand alone.

A file with a mistake does not lose the rest: what is well formed is read, and each mistake is named with its line.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from intent_tracking.text.cleaning import clean
from intent_tracking.text.language import Language, detect

TEMPLATES_FILE: Final = "templates.yaml"
GOLDEN_FILE: Final = "golden.csv"
"""Files of the folder that hold no passages: see `templates` and `golden`."""

MAX_FILE_BYTES: Final = 8 << 20
MAX_PASSAGES: Final = 200_000
# About a screen of a phone; what is longer is cut between paragraphs, else between sentences.
MAX_PASSAGE_CHARACTERS: Final = 900
MAX_TITLE_CHARACTERS: Final = 300

_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_FENCE = re.compile(r"\s*(```|~~~)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_QUESTION = re.compile(r"\s*(?:Q(?:uestion)?|问题?)\s*\d*\s*[:：.、]\s*(.*)", re.IGNORECASE)
_ANSWER = re.compile(r"\s*(?:A(?:nswer)?|答案?)\s*\d*\s*[:：.、]\s*(.*)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？；])")
_QUESTION_COLUMNS = ("question", "问题")
_ANSWER_COLUMNS = ("answer", "答案")


@dataclass(frozen=True, slots=True)
class Passage:
    """One thing that can be answered: `<file>#<number>`, a title (heading path or the question), and the words."""

    id: str
    title: str
    text: str
    language: Language


@dataclass(frozen=True, slots=True)
class Problem:
    """What could not be read, where, and what to do about it."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Reading:
    """The passages of a folder in the order of its files, and the mistakes in them."""

    passages: tuple[Passage, ...]
    problems: tuple[Problem, ...]


class _MistakeError(Exception):
    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def read_answers(folder: Path) -> Reading:
    """Read every `.md`, `.csv`, `.tsv` and `.txt` below `folder`; a missing folder is empty.

    Hidden files are left out, and templates and golden questions.

    A file that is not UTF-8, has no columns `question` and `answer` (`问题`, `答案`), or is of another kind is left out
    as a whole; a row or a question without an answer is left out alone.
    """
    passages: list[Passage] = []
    problems: list[Problem] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if hidden or name in (TEMPLATES_FILE, GOLDEN_FILE) or not path.is_file():
            continue
        try:
            for number, (title, text) in enumerate(_entries(path, name, problems), start=1):
                language = detect(f"{title} {text}")
                passages.append(Passage(f"{name}#{number}", title, text, language))
        except _MistakeError as mistake:
            problems.append(Problem(name, mistake.line, mistake.message))
        if len(passages) > MAX_PASSAGES:
            problems.append(Problem(name, 1, f"more than {MAX_PASSAGES} passages: the rest is left out; use less text"))
            del passages[MAX_PASSAGES:]
            break
    return Reading(tuple(passages), tuple(problems))


def _entries(path: Path, name: str, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """Title and words of each passage of one file, clean; mistakes that lose a part of it go to `problems`."""
    match path.suffix.lower():
        case ".md" | ".markdown":
            found = _markdown(_text(path))
        case ".csv" | ".tsv":
            found = _table(_text(path), "\t" if path.suffix.lower() == ".tsv" else ",", name, problems)
        case ".txt":
            found = _questions(_text(path), name, problems)
        case kind:
            raise _MistakeError(1, f"{kind or 'a file without an ending'} is not read; write .md, .csv, .tsv or .txt")
    for title, text in found:
        title = clean(title, MAX_TITLE_CHARACTERS)
        for piece in _pieces(text):
            yield title, piece


def _text(path: Path) -> str:
    if path.stat().st_size > MAX_FILE_BYTES:
        raise _MistakeError(1, f"is larger than {MAX_FILE_BYTES >> 20} MiB; split it")
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _MistakeError(content.count(b"\n", 0, error.start) + 1, "is not UTF-8 here; save it as UTF-8") from error


def _markdown(text: str) -> Iterator[tuple[str, str]]:
    """Each section with the path of its headings as title."""
    path: list[tuple[int, str]] = []
    lines: list[str] = []
    fenced = False
    text = _COMMENT.sub(lambda found: "\n" * found.group().count("\n"), text)
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        heading = None if fenced else _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        yield " > ".join(name for _, name in path), "\n".join(lines)
        lines = []
        level = len(heading[1])
        path = [*((depth, name) for depth, name in path if depth < level), (level, heading[2])]
    yield " > ".join(name for _, name in path), "\n".join(lines)


def _table(text: str, delimiter: str, name: str, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """Question and answer of each row."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [cell.strip().lower() for cell in next(rows, [])]
        question, answer = (
            next((header.index(each) for each in names if each in header), None)
            for names in (_QUESTION_COLUMNS, _ANSWER_COLUMNS)
        )
        if question is None or answer is None:
            raise _MistakeError(1, "has no columns question and answer (or 问题 and 答案); name them in the first row")
        begin = rows.line_num + 1
        for row in rows:
            at, begin = begin, rows.line_num + 1
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                problems.append(Problem(name, at, f"has {len(row)} cells, the header has {len(header)}; quote commas"))
            elif not row[question].strip() or not row[answer].strip():
                empty = "answer" if row[question].strip() else "question"
                problems.append(Problem(name, at, f"has no {empty}; fill it or remove the row"))
            else:
                yield row[question], row[answer]
    except csv.Error as error:
        raise _MistakeError(rows.line_num, f"is no CSV from here on ({error}); close the quotes") from error


def _questions(text: str, name: str, problems: list[Problem]) -> Iterator[tuple[str, str]]:
    """Question and answer of each pair `Q: ... A: ...` (`问：... 答：...`); either may go over several lines."""
    question: list[str] = []
    answer: list[str] = []
    begin = 0

    def pair() -> Iterator[tuple[str, str]]:
        if begin and any(map(str.strip, answer)):
            yield " ".join(question), "\n".join(answer)
        elif begin:
            problems.append(Problem(name, begin, "this question has no answer; begin one by A: or 答："))

    part: list[str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if (found := _QUESTION.match(line)) is not None:
            yield from pair()
            question, answer, begin = [found[1]], [], number
            part = question
        elif begin and (found := _ANSWER.match(line)) is not None:
            answer.append(found[1])
            part = answer
        elif part is not None:
            part.append(line)
        elif line.strip():
            raise _MistakeError(number, "begin each question by Q: (问：) and each answer by A: (答：), or write .md")
    yield from pair()


def _pieces(text: str) -> Iterator[str]:
    """`text` in clean pieces of at most MAX_PASSAGE_CHARACTERS: whole paragraphs where they fit, else sentences."""
    held = ""
    for paragraph in re.split(r"\n\s*\n", text):
        for part in _sentences(clean(paragraph, MAX_FILE_BYTES)):
            if held and len(held) + 1 + len(part) > MAX_PASSAGE_CHARACTERS:
                yield held
                held = ""
            held = f"{held} {part}" if held else part
    if held:
        yield held


def _sentences(paragraph: str) -> Iterator[str]:
    if len(paragraph) <= MAX_PASSAGE_CHARACTERS:
        if paragraph:
            yield paragraph
        return
    for sentence in _SENTENCE_END.split(paragraph):
        for start in range(0, len(sentence), MAX_PASSAGE_CHARACTERS):
            if piece := sentence[start : start + MAX_PASSAGE_CHARACTERS].strip():
                yield piece
