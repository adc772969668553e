"""Training of the propensity model: earlier cut-offs train, a later one chooses, the latest measures.

scikit-learn is asked here alone, and only to fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt
import orjson

from intent_tracking.applications.artifacts import PROPENSITY_MODEL, artifact_folder, fingerprint_of, new_artifact
from intent_tracking.applications.marketing.history import end_of
from intent_tracking.applications.marketing.propensity import WEIGHTS_FILE, PropensityModel, Weights, logarithms
from intent_tracking.applications.marketing.propensity_features import (
    FAMILIES,
    FEATURES,
    HISTORY_DAYS,
    OUTCOME_DAYS,
    Snapshot,
    bought_after,
    snapshot,
)
from intent_tracking.evaluation.metrics import CalibrationFigures, Interval, outcome_calibration
from intent_tracking.modeling.scores import roc_auc

Floats = npt.NDArray[np.float64]
Outcomes = npt.NDArray[np.bool_]

STRENGTHS: Final = (0.01, 0.1, 1.0)
CUTOFF_STEP: Final = 15
MOST_CUTOFFS: Final = 12
LEAST_HISTORY: Final = 60
LOOKED_BACK: Final = HISTORY_DAYS + (MOST_CUTOFFS - 1) * CUTOFF_STEP + 3 * OUTCOME_DAYS + 1
"""Days up to the last that a training reads: what came before changes nothing."""
LEAST_OF_EACH: Final = 30
MOST_SHOPPERS: Final = 50_000
"""A training is of so many shoppers (`history`): 43 weights need no more, and the tables of 14 cut-offs take 240 MB."""
DRAWS: Final = 500
_FORMAT: Final = "1"
_GOLDEN: Final = 8


class PropensityError(ValueError):
    """There is not enough to learn from, or what was learned tells nothing; the message says what is missing."""


@dataclass(frozen=True)
class Labelled:
    """Shoppers at a cut-off, and who of them bought in the 30 days after it."""

    taken: Snapshot
    bought: Outcomes


@dataclass(frozen=True)
class CutOffs:
    """Days at whose end shoppers are looked at. The outcome of each is over before the next part begins."""

    train: tuple[date, ...]
    validation: date
    test: date


def cut_offs(first: date, last: date) -> CutOffs:
    """The cut-offs for events from `first` to `last`.

    Raises:
        PropensityError: the events span too few days.
    """
    test = last - timedelta(days=OUTCOME_DAYS)
    validation = test - timedelta(days=OUTCOME_DAYS)
    latest = validation - timedelta(days=OUTCOME_DAYS)
    earliest = first + timedelta(days=LEAST_HISTORY)
    train = [latest - timedelta(days=CUTOFF_STEP * back) for back in range(MOST_CUTOFFS)]
    train = [day for day in train if day >= earliest]
    if not train:
        needed = LEAST_HISTORY + 3 * OUTCOME_DAYS + 1
        raise PropensityError(
            f"events span {(last - first).days + 1} days, {needed} are needed to train and to measure"
        )
    return CutOffs(tuple(sorted(train)), validation, test)


@dataclass(frozen=True)
class Measured:
    """Figures at the test cut-off: nothing was chosen on it.

    Attributes:
        auc: area under the ROC curve, with its bootstrap interval.
        rfm_auc: of logistic regression on recency, frequency and money, trained on the same cut-offs.
        gain: the difference of both, paired.
        average_precision: beside `bought_share`, what guessing gives.
    """

    shoppers: int
    bought_share: float
    auc: Interval
    rfm_auc: float
    gain: Interval
    average_precision: float
    rfm_average_precision: float
    calibration: CalibrationFigures


@dataclass(frozen=True)
class Trained:
    """A finished training: `tried` holds the validation AUC by (family, strength)."""

    folder: Path
    model: PropensityModel
    family: str
    tried: dict[tuple[str, float], float]
    days: CutOffs
    measured: Measured
    test: Labelled


def labelled(database: duckdb.DuckDBPyConnection, day: date) -> Labelled:
    """The cut-off at the end of `day` (`history.history` without a bound)."""
    taken = snapshot(database, day)
    return Labelled(taken, bought_after(database, taken.shoppers, end_of(day)))


def train_propensity(
    database: duckdb.DuckDBPyConnection, first: date, last: date, root: Path, *, draws: int = DRAWS
) -> Trained:
    """Train, choose, measure and write the artifact below `root` (`Settings.applications`).

    Args:
        database: `history.history` without a bound, of no more than `MOST_SHOPPERS`.
        first, last: the days that events are there of.
        root: equal input gives the artifact that is there already.
        draws: of the bootstrap.

    Raises:
        PropensityError: too few days or too few who bought, or the test AUC is not surely above one half, or surely
            below that of RFM.
    """
    days = cut_offs(first, last)
    train = [labelled(database, day) for day in days.train]
    validation, test = labelled(database, days.validation), labelled(database, days.test)
    for name, part in (("training", train), ("validation", [validation]), ("test", [test])):
        _require_both(name, part)
    tried = {
        (family, strength): roc_auc(validation.bought, _predict(fit(train, names, strength), validation))
        for family, names in FAMILIES.items()
        for strength in STRENGTHS
    }
    family, strength = max(tried, key=lambda each: tried[each])
    everything = [*train, validation]
    weights = fit(everything, FAMILIES[family], strength)
    measured = measure(
        test, _predict(weights, test), _predict(fit(everything, FAMILIES["rfm"], 1.0), test), draws=draws
    )
    if measured.auc.low <= 0.5:
        raise PropensityError(
            f"the AUC at {days.test} is {measured.auc}, no better than chance for sure: nothing is written"
        )
    if measured.gain.high < 0:
        raise PropensityError(
            f"the AUC at {days.test} is {measured.auc}, RFM alone gives {measured.rfm_auc:.3f}: not written"
        )
    document = orjson.dumps(weights.model_dump())
    fingerprint = fingerprint_of(_FORMAT, document)
    folder = artifact_folder(root, PROPENSITY_MODEL, last, fingerprint)
    if folder is None:
        _write(root, last, fingerprint, document, weights, test, measured)
        folder = artifact_folder(root, PROPENSITY_MODEL, last, fingerprint)
    assert folder is not None  # noqa: S101 - it has just been written
    return Trained(folder, PropensityModel.load(folder), family, tried, days, measured, test)


def _require_both(name: str, parts: Sequence[Labelled]) -> None:
    bought = sum(int(part.bought.sum()) for part in parts)
    rest = sum(len(part.bought) for part in parts) - bought
    if min(bought, rest) < LEAST_OF_EACH:
        raise PropensityError(
            f"{name}: {bought} shoppers bought within {OUTCOME_DAYS} days and {rest} did not; {LEAST_OF_EACH} of each "
            "are needed"
        )


def fit(parts: Sequence[Labelled], names: Sequence[str], strength: float) -> Weights:
    """Logistic regression with an L2 penalty (`strength`: scikit-learn's C) on standardised logarithms of `names`.

    The level is that of the last of `parts`, the newest cut-off: how many buy at all goes with the season.
    """
    from sklearn.linear_model import LogisticRegression

    columns = [list(FEATURES).index(name) for name in names]
    values = logarithms(np.concatenate([part.taken.values for part in parts])[:, columns])
    bought = np.concatenate([part.bought for part in parts])
    mean, spread = values.mean(axis=0), values.std(axis=0)
    # What never varies says nothing: a spread of one leaves it at zero.
    spread[spread < 1e-9] = 1.0
    model = LogisticRegression(C=strength, max_iter=2000, tol=1e-6).fit((values - mean) / spread, bought)
    newest = model.decision_function((values[-len(parts[-1].bought) :] - mean) / spread)
    return Weights(
        features=tuple(names),
        mean=tuple(map(float, mean)),
        spread=tuple(map(float, spread)),
        weight=tuple(map(float, model.coef_[0])),
        bias=float(model.intercept_[0]) + _shift(newest, float(parts[-1].bought.mean())),
    )


def _shift(logits: Floats, share: float) -> float:
    """What to add to `logits` so that their mean probability is `share` (bisection; the mean grows with the shift)."""
    low, high = -10.0, 10.0
    for _ in range(60):
        middle = (low + high) / 2
        below = float((1.0 / (1.0 + np.exp(-(logits + middle)))).mean()) < share
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


def _predict(weights: Weights, part: Labelled) -> Floats:
    return PropensityModel(weights, "").probabilities(part.taken.values)


def measure(test: Labelled, ours: Floats, rfm: Floats, *, draws: int = DRAWS, seed: int = 0) -> Measured:
    """Both models on the same shoppers; intervals by a paired bootstrap over shoppers (percentiles, 95%)."""
    from sklearn.metrics import average_precision_score

    generator = np.random.default_rng(seed)
    bought = test.bought
    drawn: list[tuple[float, float]] = []
    while len(drawn) < draws:
        rows = generator.integers(0, len(bought), len(bought))
        if 0 < bought[rows].sum() < len(rows):
            drawn.append((roc_auc(bought[rows], ours[rows]), roc_auc(bought[rows], rfm[rows])))
    areas, others = np.array(drawn).T
    calibration = outcome_calibration(bought.tolist(), ours.tolist())
    assert calibration is not None  # noqa: S101 - every outcome is known
    return Measured(
        shoppers=len(bought),
        bought_share=float(bought.mean()),
        auc=_interval(roc_auc(bought, ours), areas),
        rfm_auc=roc_auc(bought, rfm),
        gain=_interval(roc_auc(bought, ours) - roc_auc(bought, rfm), areas - others),
        average_precision=float(average_precision_score(bought, ours)),
        rfm_average_precision=float(average_precision_score(bought, rfm)),
        calibration=calibration,
    )


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high))


def _write(
    root: Path, until: date, fingerprint: str, document: bytes, weights: Weights, test: Labelled, measured: Measured
) -> None:
    model = PropensityModel(weights, "")
    with new_artifact(root, PROPENSITY_MODEL, until, fingerprint) as draft:
        (draft.folder / WEIGHTS_FILE).write_bytes(document)
        draft.metrics.update(
            auc=measured.auc.value,
            auc_low=measured.auc.low,
            rfm_auc=measured.rfm_auc,
            average_precision=measured.average_precision,
            calibration_error=measured.calibration.ece,
        )
        # Quantiles of each feature, so that no line is anybody's.
        for values in np.quantile(test.taken.values, np.linspace(0.05, 0.95, _GOLDEN), axis=0):
            request = {name: round(float(value), 2) for name, value in zip(FEATURES, values, strict=True)}
            draft.golden.append((request, model.answer(request)))
