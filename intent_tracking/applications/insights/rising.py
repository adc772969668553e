"""Words that are used more than before: log-odds with an informative Dirichlet prior.

Monroe, Colaresi and Quinn (2008), "Fightin' Words", doi:10.1093/pan/mpn018. The prior is the vocabulary of both times
together, as strong as what is compared. A word is rising when its z-score survives Benjamini-Hochberg.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from intent_tracking.applications.insights.policy import InsightsPolicy
from intent_tracking.applications.insights.words import Spoken

# A word that stands in a phrase this often says nothing that the phrase does not.
PART_OF_PHRASE = 0.8


@dataclass(frozen=True)
class RisingWord:
    """A word or phrase. `now` and `before` are shoppers a day who used it."""

    term: str
    language: str
    now: float
    before: float
    shoppers: int
    z: float


def log_odds(
    now: Mapping[str, int], before: Mapping[str, int], totals: tuple[int, int], terms: Iterable[str]
) -> dict[str, float]:
    """The z-score of each of `terms`: above 0 where it is the more frequent `now`.

    `totals` are the sums of the counts of all words, now and before.
    """
    n, m = totals
    strength = float(n)
    scores = {}
    for term in terms:
        y, x = now.get(term, 0), before.get(term, 0)
        prior = strength * (y + x) / (n + m)
        if prior == 0:
            scores[term] = 0.0
            continue
        delta = math.log((y + prior) / (n + strength - y - prior)) - math.log((x + prior) / (m + strength - x - prior))
        scores[term] = delta / math.sqrt(1 / (y + prior) + 1 / (x + prior))
    return scores


def discoveries(scores: Mapping[str, float], share: float) -> list[str]:
    """Terms whose one-sided p-value survives Benjamini-Hochberg at `share`, the strongest first."""
    ranked = sorted(scores, key=lambda term: (-scores[term], term))
    values = [0.5 * math.erfc(scores[term] / math.sqrt(2)) for term in ranked]
    passed = [place for place, p in enumerate(values, start=1) if p <= share * place / len(values)]
    return ranked[: max(passed, default=0)]


def rising_words(
    now: Sequence[Spoken], before: Sequence[Spoken], policy: InsightsPolicy, grammatical: Collection[str] = ()
) -> list[RisingWord]:
    """The words and phrases of `now` that are on the rise, the strongest first; none without a history.

    A shopper counts once a day and word, however often it was written. `grammatical` words (the, of, 了) are none, and
    neither is a phrase with one ("to bother"): how people speak changes, too, but it tells a shop little.
    """
    found = [
        word
        for language in ("en", "zh")
        for word in _rising(_of(now, language), _of(before, language), language, policy, grammatical)
    ]
    return sorted(found, key=lambda word: (-word.z, word.term))


def _of(texts: Sequence[Spoken], language: str) -> list[Spoken]:
    return [text for text in texts if text.said.language == language]


def _rising(
    now: list[Spoken], before: list[Spoken], language: str, policy: InsightsPolicy, grammatical: Collection[str]
) -> list[RisingWord]:
    if not now or not before:
        return []
    used, used_before = _users(now, grammatical), _users(before, grammatical)
    counts = {term: len(pairs) for term, pairs in used.items()}
    counts_before = {term: len(pairs) for term, pairs in used_before.items()}
    shoppers = {term: len({shopper for shopper, _ in pairs}) for term, pairs in used.items()}
    enough = [term for term in used if shoppers[term] >= policy.least_shoppers and term not in grammatical]
    totals = sum(counts.values()), sum(counts_before.values())
    scores = log_odds(counts, counts_before, totals, enough)
    chosen = discoveries(scores, policy.false_discoveries)
    parts = _parts(chosen, used, now)
    days, days_before = (len({text.said.day for text in texts}) for texts in (now, before))
    return [
        RisingWord(
            term=term,
            language=language,
            now=counts[term] / days,
            before=counts_before.get(term, 0) / days_before,
            shoppers=shoppers[term],
            z=scores[term],
        )
        for term in chosen
        if term not in parts
    ]


def _users(texts: Iterable[Spoken], grammatical: Collection[str]) -> dict[str, set[tuple[str, date]]]:
    used: defaultdict[str, set[tuple[str, date]]] = defaultdict(set)
    for text in texts:
        for term in text.terms(grammatical):
            used[term].add((text.said.shopper, text.said.day))
    return used


def _parts(chosen: Sequence[str], used: Mapping[str, set[tuple[str, date]]], texts: Iterable[Spoken]) -> set[str]:
    """Words that nearly always stand in a chosen phrase, and phrases that add nothing to a chosen word."""
    wanted, parts = set(chosen), set()
    for text in texts:
        words = text.words
        joint = "" if text.said.language == "zh" else " "
        for first, second in pairwise(words):
            phrase = f"{first}{joint}{second}"
            if phrase not in wanted:
                continue
            covered = [w for w in (first, second) if w in wanted and len(used[phrase]) >= PART_OF_PHRASE * len(used[w])]
            parts.update(covered)
            if not covered and not {first, second}.isdisjoint(wanted):
                parts.add(phrase)
    return parts
