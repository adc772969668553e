"""Online Shoppers: will a session end in a purchase, from its aggregates alone.

A session's aggregates carry no text, so the outcome head of the intent model has nothing to read here; this is a model
of tables, measured to know what the aggregates of a session are worth.

Protocol: 10-fold cross-validation, stratified, shuffled by the seed; the figure is the mean AUC over the folds.
Settings are the same for all folds, and were chosen on 5 folds of another seed (100). There, mixing in extremely
randomised trees, a random forest or logistic regression lowered the AUC.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.quality.unit import Measured, Workplace
from intent_tracking.datasets.shoppers import ShopperSession, read_online_shoppers

Floats = npt.NDArray[np.float64]

FOLDS = 10
_CATEGORIES = ("month", "operating_system", "browser", "region", "traffic_type", "visitor_type")
# Models of one kind that differ in what they may see average to one that follows the noise of none.
_DRAWS = 4


def boosting_baseline(workplace: Workplace, seed: int, *, page_values: bool) -> Measured:
    """Gradient boosting with scikit-learn's defaults on the columns as they are."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    def predict(train: Floats, labels: Floats, test: Floats, categories: list[int]) -> Floats:
        model = HistGradientBoostingClassifier(categorical_features=categories, random_state=seed)
        found: Floats = model.fit(train, labels).predict_proba(test)[:, 1]
        return found

    return _cross_validated(workplace, seed, page_values, predict, crossed=False)


def logistic_baseline(workplace: Workplace, seed: int, *, page_values: bool) -> Measured:
    """Logistic regression on logarithms of the counts and one column a category."""
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    def predict(train: Floats, labels: Floats, test: Floats, categories: list[int]) -> Floats:
        numbers = [place for place in range(train.shape[1]) if place not in categories]
        columns = make_column_transformer(
            (make_pipeline(FunctionTransformer(np.log1p), StandardScaler()), numbers),
            (OneHotEncoder(handle_unknown="ignore"), categories),
        )
        model = make_pipeline(columns, LogisticRegression(max_iter=1000))
        found: Floats = model.fit(train, labels).predict_proba(test)[:, 1]
        return found

    return _cross_validated(workplace, seed, page_values, predict, crossed=False)


def boosting_ensemble(workplace: Workplace, seed: int, *, page_values: bool) -> Measured:
    """Slow, narrow, strongly regularised gradient boosting on columns and their ratios, averaged over several draws."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    def predict(train: Floats, labels: Floats, test: Floats, categories: list[int]) -> Floats:
        total = np.zeros(len(test))
        for draw in range(_DRAWS):
            model = HistGradientBoostingClassifier(
                learning_rate=0.03,
                max_iter=250,
                max_leaf_nodes=12,
                min_samples_leaf=40,
                l2_regularization=5.0,
                max_features=0.3,
                categorical_features=categories,
                random_state=1000 * seed + draw,
            )
            total += model.fit(train, labels).decision_function(test)
        return total / _DRAWS

    return _cross_validated(workplace, seed, page_values, predict, crossed=True)


def _cross_validated(workplace: Workplace, seed: int, page_values: bool, predict: Any, *, crossed: bool) -> Measured:
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    sessions = read_online_shoppers(workplace.data.require("online_shoppers"))
    table, names = columns_of(sessions, page_values=page_values, crossed=crossed)
    labels = np.array([session.purchased for session in sessions], dtype=float)
    categories = [place for place, name in enumerate(names) if name in _CATEGORIES]
    areas = []
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(table, labels)
    for number, (train, test) in enumerate(folds, start=1):
        scores = predict(table[train], labels[train], table[test], categories)
        areas.append(float(roc_auc_score(labels[test], scores)))
        workplace.say(f"fold {number}/{FOLDS}: AUC {areas[-1]:.4f}")
    return Measured({"auc": float(np.mean(areas))}, {"folds": areas, "columns": names})


def columns_of(sessions: Sequence[ShopperSession], *, page_values: bool, crossed: bool) -> tuple[Floats, list[str]]:
    """Numbers by column, categories as codes in the order of their names; `crossed` adds ratios and sums of columns."""
    names = [name for name in ShopperSession.__dataclass_fields__ if name != "purchased"]
    if not page_values:
        names.remove("page_values")
    columns: dict[str, Floats] = {}
    for name in names:
        values = [getattr(session, name) for session in sessions]
        if name in _CATEGORIES:
            code = {value: place for place, value in enumerate(sorted(set(values)))}
            values = [code[value] for value in values]
        columns[name] = np.array(values, dtype=float)
    if crossed:
        columns |= _crosses(columns)
    return np.stack(list(columns.values()), axis=1), list(columns)


def _crosses(columns: dict[str, Floats]) -> dict[str, Floats]:
    kinds = ("administrative", "informational", "product_related")
    pages = sum((columns[kind] for kind in kinds), np.zeros(len(columns["weekend"])))
    seconds = sum((columns[f"{kind}_seconds"] for kind in kinds), np.zeros(len(pages)))
    each = {f"{kind}_seconds_each": columns[f"{kind}_seconds"] / np.maximum(columns[kind], 1) for kind in kinds}
    return each | {
        "pages": pages,
        "seconds": seconds,
        "seconds_each": seconds / np.maximum(pages, 1),
        "exit_less_bounce": columns["exit_rates"] - columns["bounce_rates"],
        "bounce_of_exit": columns["bounce_rates"] / (columns["exit_rates"] + 1e-6),
        "exits": columns["exit_rates"] * pages,
        "product_share": columns["product_related"] / np.maximum(pages, 1),
    }
