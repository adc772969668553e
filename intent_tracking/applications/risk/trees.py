"""Trees as plain arrays: evaluated with numpy alone, and able to say what each feature counted for.

scikit-learn grows them (`grow_forest`, `grow_boosting`); from then on they are five arrays in a safetensors file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int32]
_LEAF: Final = -1
FOREST_TREES: Final = 100
FOREST_SAMPLE: Final = 256
# Chosen on orders of July and August of Online Retail (benchmarks/applications/risk.py), by their cancellations. Few
# features a split keep one that tells much, the amount, from speaking alone.
BOOSTING_TREES: Final = 200
BOOSTING_DEPTH: Final = 3
BOOSTING_RATE: Final = 0.05
BOOSTING_SHARE: Final = 0.7
BOOSTING_FEATURES: Final = "sqrt"
_EULER: Final = 0.5772156649015329


@dataclass(frozen=True)
class Trees:
    """Several trees in one set of arrays. A node's `value` is the mean of the training rows that came to it.

    Attributes:
        roots: index of the first node of each tree.
        feature: what a node asks for; -1 in a leaf.
        threshold: rows with at most this go left.
        left, right: indices of the next nodes.
        value: of a leaf what it answers; of another node what its leaves answer on average.
    """

    roots: Whole
    feature: Whole
    threshold: Floats
    left: Whole
    right: Whole
    value: Floats

    def sums(self, rows: npt.NDArray[np.float32]) -> Floats:
        """For each row of (rows, features) the sum over the trees."""
        at = np.broadcast_to(self.roots, (len(rows), len(self.roots))).copy()
        while True:
            asked = self.feature[at]
            inner = asked != _LEAF
            if not inner.any():
                total: Floats = self.value[at].sum(axis=1)
                return total
            row, _ = np.nonzero(inner)
            here = at[inner]
            goes_left = rows[row, asked[inner]] <= self.threshold[here]
            at[inner] = np.where(goes_left, self.left[here], self.right[here])

    def contributions(self, row: npt.NDArray[np.float32]) -> Floats:
        """For each feature what it changed in the sum on the way to the leaves (Saabas 2014)."""
        found = np.zeros(len(row))
        for root in self.roots:
            at = int(root)
            while (asked := int(self.feature[at])) != _LEAF:
                after = int(self.left[at] if row[asked] <= self.threshold[at] else self.right[at])
                found[asked] += self.value[after] - self.value[at]
                at = after
        return found

    def arrays(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """For `safetensors.numpy.save_file`."""
        return {f"{prefix}.{name}": np.ascontiguousarray(array) for name, array in self.__dict__.items()}

    @classmethod
    def of_arrays(cls, arrays: dict[str, npt.NDArray[Any]], prefix: str) -> Trees:
        """The inverse of `arrays`.

        Raises:
            ValueError: the arrays are not those of trees.
        """
        names = cls.__dataclass_fields__
        missing = [name for name in names if f"{prefix}.{name}" not in arrays]
        if missing:
            raise ValueError(f"{prefix}.{missing[0]} is missing")
        trees = cls(**{name: arrays[f"{prefix}.{name}"] for name in names})
        nodes = len(trees.feature)
        inner = np.flatnonzero(trees.feature != _LEAF)
        # Children come after their parent, so that no walk can go round.
        for name in ("left", "right"):
            after = getattr(trees, name)[inner]
            if ((after <= inner) | (after >= nodes)).any():
                raise ValueError(f"{prefix}.{name}: leads to no later node")
        if (trees.feature < _LEAF).any() or ((trees.roots < 0) | (trees.roots >= nodes)).any():
            raise ValueError(f"{prefix}: a feature or a root that cannot be")
        return trees


def average_path(rows: Floats) -> Floats:
    """Mean depth of an unsuccessful search in a binary tree of `rows` rows: c(n) of Liu, Ting and Zhou (2008)."""
    n = np.asarray(rows, dtype=np.float64)
    larger = np.maximum(n, 3.0)
    return np.where(
        n <= 1, 0.0, np.where(n == 2, 1.0, 2.0 * (np.log(larger - 1.0) + _EULER) - 2.0 * (larger - 1.0) / larger)
    )


def grow_forest(rows: npt.NDArray[np.float32], seed: int) -> Trees:
    """An isolation forest (Liu, Ting and Zhou 2008): the sum over its trees is FOREST_TREES times the mean path."""
    from sklearn.ensemble import IsolationForest

    grown = IsolationForest(
        n_estimators=FOREST_TREES, max_samples=min(FOREST_SAMPLE, len(rows)), random_state=seed, n_jobs=1
    ).fit(rows)
    parts = []
    for estimator in grown.estimators_:
        tree = estimator.tree_
        leaves = _depths(tree) + average_path(tree.n_node_samples.astype(np.float64))
        parts.append((tree, leaves))
    return _joined(parts)


def grow_boosting(
    rows: npt.NDArray[np.float32], wanted: npt.NDArray[np.bool_], weights: Floats, seed: int
) -> tuple[Trees, float]:
    """Gradient boosting (Friedman 2001) of shallow trees; the trees, and the log odds to which their sum is added.

    Raises:
        ValueError: all rows are wanted, or none.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    grown = GradientBoostingClassifier(
        n_estimators=BOOSTING_TREES,
        max_depth=BOOSTING_DEPTH,
        learning_rate=BOOSTING_RATE,
        subsample=BOOSTING_SHARE,
        max_features=BOOSTING_FEATURES,
        min_samples_leaf=max(2, min(20, len(rows) // 50)),
        random_state=seed,
    ).fit(rows, wanted, sample_weight=weights)
    parts = [(each.tree_, BOOSTING_RATE * each.tree_.value[:, 0, 0]) for (each,) in grown.estimators_]
    share = float(np.average(wanted, weights=weights))
    return _joined(parts), float(np.log(share / (1.0 - share)))


def _depths(tree: Any) -> Floats:
    lefts, rights = tree.children_left.tolist(), tree.children_right.tolist()
    depths = [0.0] * tree.node_count
    for node, (left, right) in enumerate(zip(lefts, rights, strict=True)):
        if left != _LEAF:
            depths[left] = depths[right] = depths[node] + 1.0
    return np.array(depths)


def _means(tree: Any, leaves: Floats) -> Floats:
    """What the leaves below each node answer on average, by the training rows that came to them."""
    lefts, rights = tree.children_left.tolist(), tree.children_right.tolist()
    weights, means = tree.weighted_n_node_samples.tolist(), leaves.tolist()
    for node in reversed(range(tree.node_count)):
        left, right = lefts[node], rights[node]
        if left != _LEAF:
            total = weights[left] + weights[right]
            means[node] = (means[left] * weights[left] + means[right] * weights[right]) / total
    return np.array(means)


def _joined(parts: Sequence[tuple[Any, Floats]]) -> Trees:
    """One set of arrays of scikit-learn's trees and what their leaves answer."""
    roots, features, thresholds, lefts, rights, values = [], [], [], [], [], []
    offset = 0
    for tree, leaves in parts:
        leaf = tree.children_left == _LEAF
        roots.append(offset)
        features.append(np.where(leaf, _LEAF, tree.feature))
        thresholds.append(np.where(leaf, 0.0, tree.threshold))
        lefts.append(np.where(leaf, 0, tree.children_left + offset))
        rights.append(np.where(leaf, 0, tree.children_right + offset))
        values.append(_means(tree, leaves))
        offset += tree.node_count
    return Trees(
        roots=np.asarray(roots, dtype=np.int32),
        feature=np.concatenate(features).astype(np.int32),
        threshold=np.concatenate(thresholds),
        left=np.concatenate(lefts).astype(np.int32),
        right=np.concatenate(rights).astype(np.int32),
        value=np.concatenate(values),
    )
