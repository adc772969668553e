"""Marketing on real shoppers: who buys within 30 days, whose session ends in a purchase, and what no effect looks like.

Online Retail: the model as the platform trains it (cut-offs until 2011-10-10 train and choose, the one of 2011-11-09 is
measured), beside logistic regression on recency, frequency and money, and boosted trees on the same features and
cut-offs. Online Shoppers: the models of `benchmarks.quality.shoppers`, seed 0. Groups without a message: 200 draws of a
control group among the real customers, which tell how often an interval holds the zero that is true.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.applications.lines import Line
from benchmarks.quality.shoppers import boosting_baseline, boosting_ensemble, logistic_baseline
from benchmarks.quality.unit import Measured, Workplace
from intent_tracking.applications.marketing.audiences import CONTROL, group
from intent_tracking.applications.marketing.effects import newcombe, permuted
from intent_tracking.applications.marketing.history import end_of, history
from intent_tracking.applications.marketing.propensity import logarithms
from intent_tracking.applications.marketing.propensity_training import (
    Labelled,
    Trained,
    labelled,
    train_propensity,
)
from intent_tracking.datasets.folders import DataFolders
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.events.ingest import collect
from intent_tracking.events.landing import land
from intent_tracking.events.validate import validate
from intent_tracking.modeling.scores import roc_auc
from intent_tracking.tables import DayTable

Floats = npt.NDArray[np.float64]

DRAWS = 200
CONTROL_SHARE = 0.1
LEVEL = 0.95
# Three standard deviations of 200 draws below the level.
LEAST_HELD = 0.904


def run(data: DataFolders) -> list[Line]:
    """Every figure of marketing."""
    with tempfile.TemporaryDirectory(prefix="bench-marketing-") as temporary:
        stored = _online_retail(data, Path(temporary))
        days = stored.days()
        with history(stored.paths(days)) as database:
            trained = train_propensity(database, days[0], days[-1], Path(temporary) / "applications")
            trees = _trees(trained, [labelled(database, day) for day in (*trained.days.train, trained.days.validation)])
            moment = end_of(trained.days.test).replace(tzinfo=None)
            rows = database.execute(
                "SELECT shopper_id, sum(amount) FROM acts WHERE name = 'purchase' AND t >= ? "
                "AND t < ?::TIMESTAMP + INTERVAL 14 DAY GROUP BY shopper_id",
                [moment, moment],
            ).fetchall()
    spent_by = dict(rows)
    shoppers = trained.test.taken.shoppers
    spent = np.array([float(spent_by.get(shopper, 0.0)) for shopper in shoppers])
    return [*_propensity(trained, trees), *_sessions(data), *_no_effect(shoppers, spent)]


def _online_retail(data: DataFolders, home: Path) -> DayTable:
    files = sorted((data.require("online_retail") / "by-day").glob("*.csv"))
    land(files, "online_retail", "columns:online_retail", home=home)
    stored = DayTable(home / "tables", "validated_events", EVENT_SCHEMA)
    for day, raw in collect(home, [date.fromisoformat(path.stem) for path in files]):
        stored.write(day, validate(raw, day).accepted)
    return stored


def _trees(trained: Trained, parts: Sequence[Labelled]) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        learning_rate=0.03, max_iter=200, max_leaf_nodes=8, min_samples_leaf=100, l2_regularization=10.0,
        max_features=0.3, random_state=0,
    )  # fmt: skip
    values = np.concatenate([part.taken.values for part in parts])
    model.fit(logarithms(values), np.concatenate([part.bought for part in parts]))
    return roc_auc(trained.test.bought, model.predict_proba(logarithms(trained.test.taken.values))[:, 1])


def _propensity(trained: Trained, trees: float) -> list[Line]:
    found, where = trained.measured, f"Online Retail, buys within 30 days of {trained.days.test}"
    note = (
        f"95% {found.auc.low:.3f} to {found.auc.high:.3f}; gain over RFM {found.gain.value:.4f}, "
        f"{found.gain.low:.4f} to {found.gain.high:.4f}; {found.shoppers:,} customers"
    )
    others = (("RFM logistic regression", found.rfm_auc), ("boosted trees, same features", trees))
    share = (("RFM logistic regression", found.rfm_average_precision), ("guessing", found.bought_share))
    return [
        Line(f"{where}: AUC", found.auc.value, others, target=found.rfm_auc, note=note),
        Line(f"{where}: average precision", found.average_precision, share, target=found.rfm_average_precision),
        Line(f"{where}: calibration error", found.calibration.ece, better="lower", note="before Christmas more buy"),
    ]


def _sessions(data: DataFolders) -> list[Line]:
    workplace = Workplace(data, Path(), None, "", lambda _: None)
    lines = []
    for page_values, name in ((True, "with PageValues, which leak"), (False, "without PageValues")):

        def area(measure: Callable[..., Measured], page_values: bool = page_values) -> float:
            return float(partial(measure, workplace, 0, page_values=page_values)().figures["auc"])

        logistic = area(logistic_baseline)
        others = (("logistic regression", logistic), ("boosted trees", area(boosting_baseline)))
        what = f"Online Shoppers, session buys, {name}: AUC"
        lines.append(Line(what, area(boosting_ensemble), others, target=logistic, note="10 folds, seed 0"))
    return lines


def _no_effect(shoppers: tuple[str, ...], spent: Floats) -> list[Line]:
    from scipy.stats import ttest_ind

    held = {"shares": 0, "money": 0, "welch": 0}
    for number in range(DRAWS):
        key = hashlib.sha256(f"draw {number}".encode()).digest()
        control = np.array([group(key, "nothing", shopper, CONTROL_SHARE) == CONTROL for shopper in shoppers])
        ours, other = spent[~control], spent[control]
        intervals = {
            "shares": newcombe(int((ours > 0).sum()), len(ours), int((other > 0).sum()), len(other), LEVEL),
            "money": permuted(ours, other, LEVEL, draws=199, seed=number),
            "welch": ttest_ind(ours, other, equal_var=False).confidence_interval(LEVEL),
        }
        for name, interval in intervals.items():
            held[name] += interval.low <= 0 <= interval.high
    what = "Online Retail, control groups without a message: 95% intervals that hold zero"
    return [
        Line(f"{what}, share that buys", held["shares"] / DRAWS, target=LEAST_HELD, note=f"{DRAWS} draws"),
        Line(
            f"{what}, money a shopper",
            held["money"] / DRAWS,
            (("Welch", held["welch"] / DRAWS),),
            target=LEAST_HELD,
            note=f"{DRAWS} draws",
        ),
    ]
