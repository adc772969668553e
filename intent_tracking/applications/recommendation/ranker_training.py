"""Training of the ranker: LightGBM on what shoppers took and what else they might have taken, written as ONNX.

The one place that knows LightGBM. The trees are exported as one `TreeEnsembleRegressor` of the ONNX standard, so that
the service needs no more than the runtime that it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from intent_tracking.applications.recommendation.candidates import FEATURES
from intent_tracking.applications.recommendation.interactions import Floats
from intent_tracking.applications.recommendation.ranker import Ranker

if TYPE_CHECKING:
    import lightgbm

_OPSET: Final = 17
_ML_OPSET: Final = 3


@dataclass(frozen=True)
class RankerConfig:
    """Size and pace of the trees; chosen on the second-to-last orders of Online Retail."""

    trees: int = 240
    leaves: int = 31
    learning_rate: float = 0.06
    least_in_leaf: int = 100
    seed: int = 0


@dataclass
class RankerRows:
    """Rows that a ranker is fitted to, gathered example by example.

    Attributes:
        features: blocks of `[candidates, FEATURES]`.
        taken: blocks of `[candidates]`, whether the shopper took it.
    """

    features: list[Floats] = field(default_factory=list)
    taken: list[npt.NDArray[np.bool_]] = field(default_factory=list)

    def add(self, features: Floats, taken: npt.NDArray[np.bool_]) -> None:
        """One example."""
        self.features.append(features)
        self.taken.append(taken)


def fit_ranker(rows: RankerRows, config: RankerConfig | None = None) -> Ranker:
    """A ranker of the probability that a candidate is taken; equal rows give an equal ranker.

    Raises:
        ValueError: the rows hold nothing taken, or nothing left.
    """
    return Ranker(as_onnx(boosted(rows, config or RankerConfig()).dump_model()["tree_info"]))


def boosted(rows: RankerRows, config: RankerConfig) -> lightgbm.Booster:
    """The trees as LightGBM has them.

    Raises:
        ValueError: the rows hold nothing taken, or nothing left.
    """
    import lightgbm

    taken = np.concatenate(rows.taken) if rows.taken else np.zeros(0, np.bool_)
    if taken.all() or not taken.any():
        raise ValueError(f"{len(taken)} rows with {int(taken.sum())} taken: a ranker needs some of either")
    data = lightgbm.Dataset(np.concatenate(rows.features), taken.astype(np.int32), feature_name=list(FEATURES))
    return lightgbm.train(
        {
            "objective": "binary",
            "num_leaves": config.leaves,
            "learning_rate": config.learning_rate,
            "min_data_in_leaf": min(config.least_in_leaf, max(1, len(taken) // 20)),
            "feature_fraction": 0.6,
            "bagging_fraction": 0.7,
            "bagging_freq": 1,
            "max_bin": 127,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": config.seed,
            "verbose": -1,
        },
        data,
        config.trees,
    )


def as_onnx(trees: Sequence[dict[str, Any]]) -> bytes:
    """The sum of `trees`, as LightGBM dumps them, through the logistic function, as a serialized graph."""
    from onnx import TensorProto, checker, helper

    nodes: dict[str, list[Any]] = {
        f"nodes_{name}": []
        for name in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids",
                     "missing_value_tracks_true")
    }  # fmt: skip
    targets: dict[str, list[Any]] = {f"target_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for number, tree in enumerate(trees):
        for node in _numbered(tree["tree_structure"]):
            leaf = node.left is None
            row = (number, node.number, node.feature, node.threshold, "LEAF" if leaf else "BRANCH_LEQ",
                   node.left or 0, node.right or 0, int(node.missing_left))  # fmt: skip
            for name, value in zip(nodes, row, strict=True):
                nodes[name].append(value)
            if leaf:
                for name, value in zip(targets, (number, node.number, 0, node.weight), strict=True):
                    targets[name].append(value)
    ensemble = helper.make_node(
        "TreeEnsembleRegressor", ["features"], ["margins"], domain="ai.onnx.ml", n_targets=1, **nodes, **targets
    )
    graph = helper.make_graph(
        [ensemble, helper.make_node("Sigmoid", ["margins"], ["scores"])],
        "ranker",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("ai.onnx.ml", _ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="intent_tracking")
    checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@dataclass(frozen=True)
class _Node:
    number: int
    feature: int = 0
    threshold: float = 0.0
    left: int | None = None
    right: int | None = None
    missing_left: bool = False
    weight: float = 0.0


def _numbered(root: dict[str, Any]) -> Iterator[_Node]:
    """The nodes of a tree as LightGBM dumps it, each with the numbers of its children."""
    waiting, given = [(0, root)], 1
    while waiting:
        number, node = waiting.pop()
        if "leaf_value" in node:
            yield _Node(number, weight=float(node["leaf_value"]))
            continue
        left, right = given, given + 1
        given += 2
        threshold = float(node["threshold"])
        # Of a feature that was never missing in training, LightGBM takes a missing value for 0.
        missing_left = bool(node["default_left"]) if node["missing_type"] == "NaN" else threshold >= 0
        yield _Node(number, int(node["split_feature"]), _below(threshold), left, right, missing_left)
        waiting += [(left, node["left_child"]), (right, node["right_child"])]


def _below(threshold: float) -> float:
    """The greatest single-precision number that is not above `threshold`: every such feature falls on its old side."""
    # A split that only sets missing values apart has a threshold beyond single precision.
    limits = np.finfo(np.float32)
    near = np.float32(min(max(threshold, float(limits.min)), float(limits.max)))
    return float(np.nextafter(near, np.float32(-np.inf)) if float(near) > threshold else near)
