"""What the model did not understand: texts out of scope or answered without confidence, gathered into themes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from intent_tracking.applications.insights.policy import InsightsPolicy
from intent_tracking.applications.insights.rising import log_odds
from intent_tracking.applications.insights.words import Spoken, Voices

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_TEXTS = 2000
NEAR_PAIRS = 0.05
# Nearer than this texts say the same, whatever the others do.
ALIKE = 0.05
WORDS_SHOWN = 5
EXAMPLES_SHOWN = 3


@dataclass(frozen=True)
class Theme:
    """Texts that resemble each other: how many, of how many shoppers, their own words, the most typical of them."""

    texts: int
    shoppers: int
    words: tuple[str, ...]
    examples: tuple[str, ...]


@dataclass(frozen=True)
class NotUnderstood:
    """How many answers of the days were none, and the themes of the texts behind them."""

    answers: int
    out_of_scope: int
    unsure: int
    themes: tuple[Theme, ...]
    unthemed: int


def themes(
    texts: Sequence[Spoken],
    embeddings: NDArray[np.float32],
    voices: Voices,
    policy: InsightsPolicy,
    grammatical: Collection[str] = (),
) -> tuple[list[Theme], int]:
    """The themes of `texts`, the largest first, and how many texts belong to none.

    Args:
        texts: what the model did not understand.
        embeddings: (texts, width), what it made of them.
        voices: of everything that was said, for the excerpts.
        policy: how small a theme may be.
        grammatical: words that name no theme.
    """
    if len(texts) < 2 * policy.least_shoppers:
        return [], len(texts)
    labels = clusters(embeddings, policy.least_shoppers)
    pool = Counter(word for text in texts for word in set(text.words))
    found = []
    for label in sorted(set(labels.tolist()) - {-1}):
        rows = np.flatnonzero(labels == label).tolist()
        members = [texts[row] for row in rows]
        shoppers = {text.said.shopper for text in members}
        words = _own_words(members, pool, voices, grammatical)
        if len(shoppers) >= policy.least_shoppers and words:
            examples = _examples(members, embeddings[rows], voices)
            found.append(Theme(len(members), len(shoppers), words, examples))
    found.sort(key=lambda theme: (-theme.shoppers, -theme.texts, theme.words))
    return found, len(texts) - sum(theme.texts for theme in found)


def clusters(embeddings: NDArray[np.float32], least: int) -> NDArray[np.int64]:
    """The theme of each row; -1 for what fewer than `least` rows resemble.

    Average linkage by cosine, cut where the nearest twentieth of all pairs ends: how far apart texts lie depends on the
    model, which of them lie near does not. Chosen on a simulated drift (`make bench-applications ARGS=insights` has
    another seed), where density clusters (HDBSCAN) made one heap of a whole language.
    """
    from sklearn.cluster import AgglomerativeClustering

    directions = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    distances = np.clip(1.0 - directions.astype(np.float64) @ directions.T.astype(np.float64), 0.0, None)
    pairs = distances[np.triu_indices(len(distances), 1)]
    cut = max(float(np.quantile(pairs, NEAR_PAIRS)), ALIKE)
    linked = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=cut
    ).fit_predict(distances)
    sizes = np.bincount(linked)
    labels: NDArray[np.int64] = np.where(sizes[linked] >= least, linked, -1)
    return labels


def _own_words(
    members: Sequence[Spoken], pool: Counter[str], voices: Voices, grammatical: Collection[str]
) -> tuple[str, ...]:
    """The words that tell the theme from the other texts, of those that enough shoppers used."""
    inside = Counter(word for text in members for word in set(text.words))
    outside = {word: pool[word] - inside[word] for word in inside}
    common = [word for word in inside if voices.common(word) and word not in grammatical]
    rest = pool.total() - inside.total()
    if not rest:
        return tuple(sorted(common, key=lambda word: (-inside[word], word))[:WORDS_SHOWN])
    scores = log_odds(inside, outside, (inside.total(), rest), common)
    chosen = sorted((word for word in common if scores[word] > 0), key=lambda word: (-scores[word], word))
    return tuple(chosen[:WORDS_SHOWN])


def _examples(members: Sequence[Spoken], embeddings: NDArray[np.float32], voices: Voices) -> tuple[str, ...]:
    """Excerpts of the texts nearest to the middle."""
    middle = embeddings.mean(axis=0)
    nearest: list[Any] = np.argsort(np.linalg.norm(embeddings - middle, axis=1), kind="stable").tolist()
    excerpts: dict[str, None] = {}
    for row in nearest:
        excerpt = voices.excerpt(members[row])
        if excerpt is not None:
            excerpts[excerpt] = None
        if len(excerpts) == EXAMPLES_SHOWN:
            break
    return tuple(excerpts)
