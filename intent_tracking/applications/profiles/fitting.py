"""Learns a space and its segments; scikit-learn and SciPy are needed here, and nowhere that segments are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.applications.profiles.rules import SegmentRules
from intent_tracking.applications.profiles.space import (
    SHOPPER,
    Floats,
    Space,
    Tokens,
    Whole,
    embedded,
    is_logged,
    positions,
    profile_features,
    taken,
    values,
)
from intent_tracking.applications.profiles.traits import group_of

PART: Final = 0.8
"""Share of the shoppers in a part that the segments are looked for again in."""
_SILHOUETTE_OF: Final = 2000
_STARTS: Final = 10
_STARTS_OF_A_PART: Final = 3


def fit_space(features: pa.Table, tokens: pa.Table, rules: SegmentRules) -> Space:
    """Learn scaling and taste of the shoppers in `features` (USER_FEATURE_SCHEMA) from their `tokens` (TOKEN_SCHEMA).

    A feature that is the same for nearly everybody tells nobody apart and is left out. Taste is the truncated singular
    value decomposition of the matrix of shoppers and tokens (latent semantic analysis, Deerwester et al. 1990).
    """
    declared = profile_features()
    names = [feature.name for feature in declared]
    logged = np.array([is_logged(feature) for feature in declared])
    as_they_are = values(features, names)
    found = taken(as_they_are, logged)
    low, high = np.percentile(found, [1, 99], axis=0)
    scale = np.clip(found, low, high).std(axis=0)
    kept = scale > 1e-9
    vocabulary, labels, share = _vocabulary(features, tokens, rules)
    rows, columns, times = positions(tokens, features[SHOPPER], pa.array(vocabulary, pa.string()))
    known = Tokens(rows, columns, np.log1p(times) * -np.log(share[columns]), times)
    components = _components(known, features.num_rows, len(vocabulary), rules)
    taste = embedded(known, components, features.num_rows)
    with_taste = taste[np.bincount(rows, minlength=features.num_rows) > 0]
    centre = with_taste.mean(axis=0) if len(with_taste) else np.zeros(components.shape[1])
    spread = float(np.sqrt(with_taste.var(axis=0).mean())) if with_taste.size else 0.0
    chosen = tuple(name for name, keep in zip(names, kept, strict=True) if keep)
    alike = Counter(group_of(name) for name in chosen)
    return Space(
        features=chosen,
        logged=logged[kept],
        centre=np.median(found, axis=0)[kept],
        scale=scale[kept],
        weights=np.array([alike[group_of(name)] ** -0.5 for name in chosen]),
        quantiles=np.percentile(as_they_are, np.arange(101), axis=0).T[kept],
        vocabulary=tuple(vocabulary),
        labels=tuple(labels),
        token_share=share,
        components=components,
        taste_centre=centre,
        taste_scale=rules.taste_weight / spread if spread > 1e-9 else 0.0,
    )


def _vocabulary(features: pa.Table, tokens: pa.Table, rules: SegmentRules) -> tuple[list[str], list[str], Floats]:
    """The most common tokens, but those that everybody has, with a label each and their share of the shoppers.

    The label is what most shoppers met the token by, else its own name: labels come from browsers, and what fewer than
    `token_shoppers` of them send is shown to nobody.
    """
    of_these = tokens.filter(pc.is_in(tokens[SHOPPER], value_set=features[SHOPPER].combine_chunks()))
    counted = of_these.group_by("token").aggregate([(SHOPPER, "count")])
    counted = counted.filter(
        pc.and_(
            pc.greater_equal(counted[f"{SHOPPER}_count"], rules.token_shoppers),
            pc.less(counted[f"{SHOPPER}_count"], features.num_rows),
        )
    )
    counted = counted.sort_by([(f"{SHOPPER}_count", "descending"), ("token", "ascending")]).slice(0, rules.tokens)
    share = counted[f"{SHOPPER}_count"].to_numpy().astype(np.float64) / max(1, features.num_rows)
    vocabulary: list[str] = counted["token"].to_pylist()
    called = of_these.group_by(["token", "label"]).aggregate([(SHOPPER, "count")])
    called = called.filter(
        pc.and_(
            pc.greater_equal(called[f"{SHOPPER}_count"], rules.token_shoppers),
            pc.is_in(called["token"], value_set=counted["token"].combine_chunks()),
        )
    )
    called = called.sort_by([(f"{SHOPPER}_count", "ascending"), ("label", "descending")])
    label_of = dict(zip(called["token"].to_pylist(), called["label"].to_pylist(), strict=True))
    return vocabulary, [label_of.get(token, token.partition(":")[2]) for token in vocabulary], share


def _components(known: Tokens, rows: int, tokens: int, rules: SegmentRules) -> Floats:
    """Right singular vectors of the shoppers' unit vectors, shape (tokens, dimensions)."""
    from scipy.sparse import csr_matrix
    from sklearn.utils.extmath import randomized_svd

    dimensions = min(rules.taste_dimensions, tokens - 1, rows - 1)
    if dimensions < 1:
        return np.zeros((tokens, 0))
    length = np.sqrt(np.bincount(known.rows, weights=known.weights**2, minlength=rows))
    weights = known.weights / np.maximum(length, 1e-12)[known.rows]
    matrix = csr_matrix((weights, (known.rows, known.columns)), shape=(rows, tokens))
    _, _, right = randomized_svd(matrix, n_components=dimensions, random_state=rules.seed)
    return np.ascontiguousarray(right.T)


@dataclass(frozen=True)
class Tried:
    """One number of segments.

    Attributes:
        number: of segments.
        stability: adjusted Rand indices between the segments of all and those of each part, on the part.
        silhouette: mean silhouette (Rousseeuw 1987) of a sample.
        smallest: share of the smallest segment.
    """

    number: int
    stability: tuple[float, ...]
    silhouette: float
    smallest: float

    @property
    def mean(self) -> float:
        """Mean stability."""
        return float(np.mean(self.stability))

    @property
    def interval(self) -> tuple[float, float]:
        """The middle 95% of the stabilities."""
        low, high = np.percentile(self.stability, [2.5, 97.5])
        return float(low), float(high)


@dataclass(frozen=True)
class Clusters:
    """The clusters that were chosen, and what they were chosen from."""

    chosen: Tried
    tried: tuple[Tried, ...]
    labels: Whole
    centroids: Floats


def find_clusters(vectors: Floats, rules: SegmentRules, live: int | None = None) -> Clusters:
    """The number of clusters that is found again best in parts of the shoppers, and the clusters of it.

    For each number k-means is run on all, and on random parts of 80%; the adjusted Rand index (Hubert & Arabie 1985)
    says how far the two agree on the shoppers of the part (Ben-Hur et al. 2002).

    Args:
        vectors: of the shoppers, shape (shoppers, dimensions).
        rules: of the shop.
        live: number of the live segments.
    """
    from sklearn.metrics import adjusted_rand_score, silhouette_score

    draw = np.random.default_rng(rules.seed)
    size = max(2, int(PART * len(vectors)))
    parts = [np.sort(draw.choice(len(vectors), size, replace=False)) for _ in range(rules.resamples)]
    tried, found = [], {}
    for number in range(rules.fewest, rules.most + 1):
        labels, centroids = k_means(vectors, number, rules.seed, _STARTS)
        again = [
            adjusted_rand_score(labels[part], k_means(vectors[part], number, rules.seed + 1 + at, _STARTS_OF_A_PART)[0])
            for at, part in enumerate(parts)
        ]
        silhouette = silhouette_score(
            vectors, labels, sample_size=min(_SILHOUETTE_OF, len(vectors)), random_state=rules.seed
        )
        smallest = np.bincount(labels, minlength=number).min() / len(labels)
        tried.append(Tried(number, tuple(map(float, again)), float(silhouette), float(smallest)))
        found[number] = (labels, centroids)
    chosen = choose(tried, rules, live)
    return Clusters(chosen, tuple(tried), *found[chosen.number])


def choose(tried: Sequence[Tried], rules: SegmentRules, live: int | None = None) -> Tried:
    """The most stable number; among those that are equally good the live one, else that with the best silhouette.

    A number that gives a segment below the smallest share is taken only where all do.
    """
    large = [each for each in tried if each.smallest >= rules.smallest_share] or list(tried)
    best = max(each.mean for each in large)
    equal = [each for each in large if each.mean >= best - rules.equal_stability]
    return max(equal, key=lambda each: (each.number == live, each.silhouette))


def k_means(vectors: Floats, number: int, seed: int, starts: int) -> tuple[Whole, Floats]:
    """Labels and centroids of the best of `starts` runs of k-means."""
    from sklearn.cluster import KMeans

    fitted = KMeans(number, n_init=starts, random_state=seed).fit(vectors)
    return fitted.labels_.astype(np.int64), fitted.cluster_centers_.astype(np.float64)
