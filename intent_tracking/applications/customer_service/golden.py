"""The questions that a shop's index must answer, and whether a new index may take the place of the live one."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from intent_tracking.applications.customer_service.answer_index import AnswerIndex
from intent_tracking.applications.customer_service.passages import GOLDEN_FILE, MAX_FILE_BYTES, Passage
from intent_tracking.tables import where_not_utf8

AMONG: Final = 3
"""A golden question is answered where its passage is among this many."""
_LEAST_OWN_TITLES: Final = 0.9


class GoldenError(ValueError):
    """The file of golden questions is not of its form; the message names the line."""


@dataclass(frozen=True, slots=True)
class GoldenQuestion:
    """A question, and the passage that answers it: its id, or the file that holds it."""

    question: str
    passage: str

    def is_answered_by(self, passages: Sequence[Passage]) -> bool:
        """Whether one of `passages` is it."""
        return any(self.passage in (each.id, each.id.rpartition("#")[0]) for each in passages)


@dataclass(frozen=True)
class Judgement:
    """Whether an index may go live, with the figures and the reasons against it.

    Attributes:
        figures: `own_titles`, the share of passages found by their title; `golden`, that of golden questions whose
            passage is among the first `AMONG`; `live_golden`, the same of the live index.
        missed: golden questions whose passage is not among them.
        reasons: why it may not go live; empty: it may.
    """

    figures: dict[str, float]
    missed: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether it may go live."""
        return not self.reasons


def read_golden(folder: Path) -> tuple[GoldenQuestion, ...]:
    """The rows of `golden.csv` in `folder` (columns `question,passage`); none where there is no such file.

    Raises:
        GoldenError: the file is not of this form.
    """
    path = folder / GOLDEN_FILE
    if not path.is_file():
        return ()
    if path.stat().st_size > MAX_FILE_BYTES:
        raise GoldenError(f"{path}: is larger than {MAX_FILE_BYTES >> 20} MiB")
    found = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if not {"question", "passage"} <= set(rows.fieldnames or ()):
                raise GoldenError(f"{path}:1: needs the columns question and passage")
            for row in rows:
                if not row["question"] or not row["passage"]:
                    raise GoldenError(f"{path}:{rows.line_num}: a question and its passage are needed")
                found.append(GoldenQuestion(row["question"], row["passage"]))
    except UnicodeDecodeError as error:
        raise GoldenError(f"{path}: {where_not_utf8(path)}") from error
    except csv.Error as error:
        raise GoldenError(f"{path}:{rows.reader.line_num}: is no CSV: {error}") from error
    return tuple(found)


def judge(
    index: AnswerIndex, own_titles: float | None, live: AnswerIndex | None, golden: Sequence[GoldenQuestion]
) -> Judgement:
    """Whether `index` may take the place of `live`.

    It must find passages by their own titles, and no fewer golden questions than the live index does.

    Args:
        index: the new one.
        own_titles: how often it finds a passage by its title, by its manifest; None: no passage has one.
        live: what answers now; None: nothing does.
        golden: the questions of the shop.
    """
    figures = {} if own_titles is None else {"own_titles": own_titles}
    reasons = []
    if own_titles is not None and own_titles < _LEAST_OWN_TITLES:
        reasons.append(f"{own_titles:.0%} of the passages are found by their own title, {_LEAST_OWN_TITLES:.0%} must")
    missed = _missed(index, golden)
    if golden:
        figures["golden"] = 1 - len(missed) / len(golden)
        if live is not None:
            figures["live_golden"] = 1 - len(_missed(live, golden)) / len(golden)
            if figures["golden"] < figures["live_golden"]:
                reasons.append(
                    f"{figures['golden']:.0%} of the golden questions find their passage, the live index finds "
                    f"{figures['live_golden']:.0%}"
                )
    return Judgement(figures, tuple(missed), tuple(reasons))


def _missed(index: AnswerIndex, golden: Sequence[GoldenQuestion]) -> list[str]:
    return [
        each.question
        for each in golden
        if not each.is_answered_by([found.passage for found in index.search(each.question, AMONG)])
    ]
