"""Reader of the product questions: a question, one candidate answer, and whether it answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from intent_tracking.datasets.utterances import read_rows

# ePQA is comma-separated, semiPQA and hetPQA are tab-separated under the same suffix.
_RANKING_FILES: Final = {
    "epqa_dev": ("ePQA/dev.csv", ","),
    "semipqa_dev": ("semiPQA/attribute_ranking/dev.csv", "\t"),
    "semipqa_test_seen": ("semiPQA/attribute_ranking/testseen.csv", "\t"),
    "semipqa_test_unseen": ("semiPQA/attribute_ranking/testunseen.csv", "\t"),
    "hetpqa_dev": ("hetPQA/evidence_ranking/dev.csv", "\t"),
}


@dataclass(frozen=True)
class AnswerCandidate:
    """A question about a product and one candidate answer; `label` grades it as the file does, larger is better."""

    part: str
    question: str
    candidate: str
    label: int
    source: str | None


def read_product_questions(folder: Path) -> tuple[AnswerCandidate, ...]:
    """The ranking pairs of ePQA, semiPQA and hetPQA, file by file; `part` names the file."""
    return tuple(
        AnswerCandidate(part, row["question"], row["candidate"], int(row["label"]), row.get("source"))
        for part, (path, delimiter) in _RANKING_FILES.items()
        for row in read_rows(folder / path, delimiter)
    )
