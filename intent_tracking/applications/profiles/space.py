"""Where shoppers lie: their features, robustly scaled, beside an embedding of their taste. Numpy alone reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.features.catalogue import USER_FEATURES
from intent_tracking.features.declaration import Aggregation, Entity, Feature, window_name

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

FURTHEST: Final = 4.0
"""Standard units beyond which a value counts no more: one shopper must not make a segment."""
SHOPPER: Final = Entity.USER.key
ITEM_TOKEN: Final = "item:"  # noqa: S105 - no password

_AS_THEY_ARE: Final = frozenset({Aggregation.RECENCY, Aggregation.RATIO})


def stem(feature: Feature) -> str:
    """What a feature counts, without entity and window: `spend` of `user_spend_30d`."""
    return feature.name.removeprefix(f"{feature.entity}_").removesuffix(f"_{window_name(feature.window)}")


def profile_features(features: Sequence[Feature] = USER_FEATURES) -> tuple[Feature, ...]:
    """Of each thing that is counted the feature with the longest window: who somebody is changes slowly."""
    longest: dict[str, Feature] = {}
    for feature in features:
        held = longest.get(stem(feature))
        if held is None or feature.window > held.window:
            longest[stem(feature)] = feature
    return tuple(longest.values())


def is_logged(feature: Feature) -> bool:
    """Whether the logarithm of the feature is taken: counts and money have heavy tails, days and ratios have bounds."""
    return feature.aggregation not in _AS_THEY_ARE


@dataclass(frozen=True)
class Tokens:
    """Tokens that shoppers have, as positions in the vocabulary.

    Attributes:
        rows: which shopper.
        columns: which token of the vocabulary.
        weights: how much it says: the logarithm of its times, by the inverse share of shoppers that have it.
        times: how often.
    """

    rows: Whole
    columns: Whole
    weights: Floats
    times: Whole


@dataclass(frozen=True)
class Space:
    """How rows of `user_features` and their tokens become vectors.

    Attributes:
        features: columns of `user_features`, in the order of the first dimensions.
        logged: of which the logarithm is taken (of 1 + the value).
        centre, scale: median and winsorised standard deviation, after the logarithm.
        weights: of each feature in a vector: several that say the same count as one.
        quantiles: the 0th to 100th percentile of each feature as it is, shape (features, 101).
        vocabulary, labels: tokens, and how people call them.
        token_share: share of the shoppers that have each token.
        components: taste of a token, shape (tokens, taste dimensions).
        taste_centre: mean taste. taste_scale: by what taste is multiplied to have its weight.
    """

    features: tuple[str, ...]
    logged: npt.NDArray[np.bool_]
    centre: Floats
    scale: Floats
    weights: Floats
    quantiles: Floats
    vocabulary: tuple[str, ...]
    labels: tuple[str, ...]
    token_share: Floats
    components: Floats
    taste_centre: Floats
    taste_scale: float

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return len(self.features) + int(self.components.shape[1])

    @cached_property
    def _vocabulary(self) -> pa.Array:
        return pa.array(self.vocabulary, pa.string())

    def vectors(self, features: pa.Table, tokens: pa.Table) -> Floats:
        """One vector a row of `features`, shape (rows, dimensions).

        Args:
            features: rows of USER_FEATURE_SCHEMA, each shopper once.
            tokens: TOKEN_SCHEMA; those of other shoppers and of other tokens are left out.
        """
        return np.hstack([self.scaled(features) * self.weights, self.taste(features, tokens)])

    def scaled(self, features: pa.Table) -> Floats:
        """The features in standard units, shape (rows, features); 0 is the median of the shop."""
        found = (taken(values(features, self.features), self.logged) - self.centre) / self.scale
        return np.clip(found, -FURTHEST, FURTHEST)

    def taste(self, features: pa.Table, tokens: pa.Table) -> Floats:
        """The embedding, shape (rows, taste dimensions); somebody without a known token has the mean taste, 0."""
        known = self.known(features, tokens)
        return self._weighted(embedded(known, self.components, features.num_rows), known, features.num_rows)

    def _weighted(self, taste: Floats, known: Tokens, rows: int) -> Floats:
        found = (taste - self.taste_centre) * self.taste_scale
        found[np.bincount(known.rows, minlength=rows) == 0] = 0
        return found

    def known(self, features: pa.Table, tokens: pa.Table) -> Tokens:
        """The tokens of the vocabulary that the shoppers of `features` have."""
        found = positions(tokens, features[SHOPPER], self._vocabulary)
        return Tokens(*found[:2], weights=np.log1p(found[2]) * -np.log(self.token_share[found[1]]), times=found[2])

    def percentiles(self, column: int, of: Floats) -> Floats:
        """Share of the shop, in percent, whose value of a feature is lower; of equal ones half counts."""
        steps = self.quantiles[column]
        below = np.searchsorted(steps, of, side="left") + np.searchsorted(steps, of, side="right")
        return np.asarray(below * (100 / (2 * len(steps))), dtype=np.float64)

    def typical(self, column: int) -> float:
        """The median of a feature in the shop."""
        return float(self.quantiles[column, 50])


def values(features: pa.Table, names: Sequence[str]) -> Floats:
    """The columns as numbers, shape (rows, names)."""
    columns = [features[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in names]
    return np.column_stack(columns) if columns else np.zeros((features.num_rows, 0))


def taken(found: Floats, logged: npt.NDArray[np.bool_]) -> Floats:
    """Values with the logarithm of 1 + the value where `logged`."""
    return np.where(logged, np.log1p(np.maximum(found, 0)), found)


def positions(tokens: pa.Table, shoppers: Any, vocabulary: pa.Array) -> tuple[Whole, Whole, Whole]:
    """Rows, columns and times of the tokens whose shopper and token are both known."""
    rows = pc.index_in(tokens[SHOPPER], value_set=_flat(shoppers))
    columns = pc.index_in(tokens["token"], value_set=vocabulary)
    both = pa.table({"row": rows, "column": columns, "times": tokens["times"]}).drop_null()
    row, column, times = (both[name].to_numpy().astype(np.int64) for name in ("row", "column", "times"))
    return row, column, times


def embedded(known: Tokens, components: Floats, rows: int) -> Floats:
    """Each shopper's tokens, as a vector of length 1, times the components; shape (rows, taste dimensions)."""
    length = np.sqrt(np.bincount(known.rows, weights=known.weights**2, minlength=rows))
    weights = known.weights / np.maximum(length, 1e-12)[known.rows]
    found = np.zeros((rows, components.shape[1]))
    for dimension in range(components.shape[1]):
        share = weights * components[known.columns, dimension]
        found[:, dimension] = np.bincount(known.rows, weights=share, minlength=rows)
    return found


def _flat(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
