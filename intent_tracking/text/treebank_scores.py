"""How well a parser or segmenter does on a treebank, counted as the CoNLL 2018 shared task counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from intent_tracking.text.parsing_network import Parsed
from intent_tracking.text.treebank import Sentence


@dataclass(frozen=True)
class TreebankScores:
    """Shares of words, in percent, punctuation included; `las_universal` compares relations before the colon."""

    words: int
    upos: float
    uas: float
    las: float
    las_universal: float


def score_trees(sentences: Sequence[Sentence], parsed: Sequence[Parsed]) -> TreebankScores:
    """Scores on gold words.

    Raises:
        ValueError: there is no word, or a tree has not as many words as its sentence.
    """
    words = tags = heads = full = universal = 0
    for sentence, tree in zip(sentences, parsed, strict=True):
        for word, tag, head, relation in zip(sentence.words, tree.tags, tree.heads, tree.relations, strict=True):
            words += 1
            tags += tag == word.tag
            if head == word.head:
                heads += 1
                full += relation == word.relation
                universal += relation.partition(":")[0] == word.relation.partition(":")[0]
    if not words:
        raise ValueError("a treebank without words has no scores")
    return TreebankScores(words, *(round(100 * count / words, 2) for count in (tags, heads, full, universal)))


def segmentation_f1(gold: Sequence[Sequence[tuple[int, int]]], predicted: Sequence[Sequence[tuple[int, int]]]) -> float:
    """F1 in percent of the spans of words, texts paired."""
    right = sum(len(set(one) & set(other)) for one, other in zip(gold, predicted, strict=True))
    total = sum(len(set(one)) for one in gold) + sum(len(set(other)) for other in predicted)
    if not total:
        raise ValueError("texts without words have no segmentation score")
    return round(200 * right / total, 2)
