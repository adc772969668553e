"""Labelled questions for the ranker, from the public sets of product questions; `python -m ...labelled` ships one.

Their licence lets what is learned from them be used freely (CDLA-Sharing-1.0, "Results"); the rows stay where they are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from intent_tracking.applications.customer_service.evidence import Asked, evidence
from intent_tracking.applications.customer_service.passages import Passage
from intent_tracking.applications.customer_service.retrieval import Encoder, cosines, words_of
from intent_tracking.applications.customer_service.sparse import FloatArray, IntArray, SparseIndex
from intent_tracking.applications.customer_service.terms import terms
from intent_tracking.applications.customer_service.training import RankedQuestion
from intent_tracking.datasets.product_questions import AnswerCandidate

TRAINED_ON: Final = ("semipqa_dev", "hetpqa_dev")
OFF_TOPIC_PASSAGES: Final = 12
ANSWERS_FROM: Final = {"epqa_dev": 2}
"""The grade from which a candidate answers: ePQA grades 1 what only helps; the other sets know 0 and 1."""

_ATTRIBUTE = re.compile(r"(\w+): +\{")
_MARKS = re.compile(r'\bvalue:|[{}"\[\]]')
_OTHER_QUESTION: Final = " Question: "


@dataclass(frozen=True, eq=False)
class AskedQuestion:
    """A question of a set: where its candidates lie among the passages, and how each was graded."""

    asked: Asked
    places: IntArray
    grades: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class QuestionSet:
    """One part of the sets: every candidate once, as a passage, and the questions."""

    part: str
    passages: tuple[Passage, ...]
    sparse: SparseIndex
    questions: tuple[AskedQuestion, ...]

    @classmethod
    def of(cls, part: str, rows: Iterable[AnswerCandidate]) -> QuestionSet:
        """The questions of `part` among `rows`, candidates in an order that says nothing of their grade."""
        asked: dict[str, dict[str, int]] = {}
        for row in rows:
            if row.part == part:
                asked.setdefault(row.question, {})[row.candidate] = row.label
        candidates = sorted({candidate for graded in asked.values() for candidate in graded})
        places = {candidate: place for place, candidate in enumerate(candidates)}
        passages = tuple(Passage(f"{part}#{place}", *_parted(each), "en") for place, each in enumerate(candidates))
        questions = tuple(
            AskedQuestion(
                Asked(question, tuple(words)),
                np.array([places[candidate] for candidate in sorted(graded)], np.int64),
                np.array([graded[candidate] for candidate in sorted(graded)], np.int64),
            )
            for (question, graded), words in zip(asked.items(), terms(list(asked)), strict=True)
        )
        return cls(part, passages, SparseIndex.build(passages), questions)

    def vectors(self, encoder: Encoder) -> tuple[FloatArray, FloatArray]:
        """The vectors of the questions and of the passages."""
        questions = encoder.encode([each.asked.text for each in self.questions])
        return questions, encoder.encode([words_of(each) for each in self.passages])

    def ranked(self, vectors: tuple[FloatArray, FloatArray], without: Collection[str] = ()) -> list[RankedQuestion]:
        """The evidence of each question and which candidates answer; questions of `without` are left out."""
        asked, passages = vectors
        least = ANSWERS_FROM.get(self.part, 1)
        found = []
        for question, vector in zip(self.questions, asked, strict=True):
            if question.asked.text in without:
                continue
            sparse = self.sparse.scores(question.asked.terms)[question.places]
            dense = cosines(vector, passages[question.places])
            rows = evidence(self.sparse, question.asked, question.places, sparse, dense)
            found.append(RankedQuestion(rows, question.grades >= least))
        return found


def training_questions(
    sets: Sequence[QuestionSet], encoder: Encoder, without: Collection[str], seed: int = 0
) -> list[RankedQuestion]:
    """All that the ranker learns from; questions of `without` are left out.

    Beside each question among its candidates stands the same about passages of another set, drawn at random, none of
    which answers: in the sets every candidate is about the product of the question, a shop is asked about anything.
    """
    random = np.random.default_rng(seed)
    encoded = [each.vectors(encoder) for each in sets]
    found: list[RankedQuestion] = []
    for each, both in zip(sets, encoded, strict=True):
        found += each.ranked(both, without)
    for place, questions in enumerate(sets):
        other, (asked, _) = (place + 1) % len(sets), encoded[place]
        passages, (_, vectors) = sets[other], encoded[other]
        for question, vector in zip(questions.questions, asked, strict=True):
            if question.asked.text in without:
                continue
            drawn = random.choice(len(passages.passages), OFF_TOPIC_PASSAGES, replace=False)
            sparse = passages.sparse.scores(question.asked.terms)[drawn]
            rows = evidence(passages.sparse, question.asked, drawn, sparse, cosines(vector, vectors[drawn]))
            found.append(RankedQuestion(rows, np.zeros(len(drawn), np.bool_)))
    return found


def _parted(candidate: str) -> tuple[str, str]:
    """Title and words of a candidate: the name of an attribute, or the question that it once answered, is its title."""
    if (attribute := _ATTRIBUTE.match(candidate)) is not None:
        name = attribute[1].replace("_", " ")
        return name, " ".join(_MARKS.sub(" ", candidate[attribute.end(1) + 1 :]).split())
    words, _, question = candidate.partition(_OTHER_QUESTION)
    return question.strip(), words


def main() -> None:
    """Train the ranker that the platform ships, on the packaged encoder, and write it beside this module."""
    from intent_tracking.applications.customer_service.training import train_ranker
    from intent_tracking.datasets.folders import DataFolders
    from intent_tracking.datasets.product_questions import read_product_questions
    from intent_tracking.settings import load_settings

    rows = read_product_questions(DataFolders.of(load_settings()).require("product_qa"))
    sets = [QuestionSet.of(part, rows) for part in TRAINED_ON]
    encoder = packaged_encoder([passage for each in sets for passage in each.passages])
    ranker = train_ranker(training_questions(sets, encoder, tested_questions(rows)))
    (Path(__file__).parent / "ranker.safetensors").write_bytes(ranker.content())


def tested_questions(rows: Iterable[AnswerCandidate]) -> frozenset[str]:
    """Questions that also stand in a part that is only tested on."""
    return frozenset(row.question for row in rows if row.part not in TRAINED_ON)


def packaged_encoder(passages: Sequence[Passage]) -> Encoder:
    """The packaged encoder in int8, as the artifact would hold it for `passages`."""
    from intent_tracking.modeling.encoder import find_encoder
    from intent_tracking.modeling.sentences import SentenceEncoder, sentence_graph
    from intent_tracking.settings import PACKAGED_ENCODER

    base = find_encoder(PACKAGED_ENCODER)
    graph = sentence_graph(base, [words_of(each) for each in passages])
    return SentenceEncoder(graph, base.tokenizer_file.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
