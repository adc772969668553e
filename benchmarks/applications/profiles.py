"""Segments of Online Retail: are they stable, do they keep their names, and do they tell who will spend?

Everything was chosen on the windows that end in March, April and May 2011; the figures are those of the five month ends
from June to October, of 30 days each, with the shipped rules and their seed. Spending is that of the 30 days after.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.applications.lines import Line
from intent_tracking.applications.profiles.building import Fitted, fit_segments
from intent_tracking.applications.profiles.fitting import find_clusters, k_means
from intent_tracking.applications.profiles.rules import SegmentRules, read_rules
from intent_tracking.applications.profiles.space import Floats, Whole, values
from intent_tracking.applications.profiles.taste import taste_tokens
from intent_tracking.datasets.folders import DataFolders
from intent_tracking.features.batch import user_feature_snapshot

WINDOW: Final = timedelta(days=30)
CHOSEN_ON: Final = (date(2011, 3, 31), date(2011, 4, 30), date(2011, 5, 31))
TEST: Final = (date(2011, 6, 30), date(2011, 7, 31), date(2011, 8, 31), date(2011, 9, 30), date(2011, 10, 31))
RFM: Final = ("user_days_since_purchase_30d", "user_purchases_30d", "user_spend_30d")
_STARTS: Final = 10

_INVOICES: Final = """
WITH lines AS (
    SELECT InvoiceNo AS invoice, CAST(CAST(CustomerID AS BIGINT) AS VARCHAR) AS shopper_id, InvoiceDate AS moment,
        upper(StockCode) AS item_id, Description AS item_name, UnitPrice AS price,
        CAST(abs(Quantity) AS BIGINT) AS quantity
    FROM read_csv(?, types = {'InvoiceNo': 'VARCHAR', 'StockCode': 'VARCHAR', 'CustomerID': 'DOUBLE',
        'InvoiceDate': 'TIMESTAMP', 'Quantity': 'BIGINT', 'UnitPrice': 'DOUBLE'})
    WHERE CustomerID IS NOT NULL AND UnitPrice > 0 AND (Quantity > 0 OR InvoiceNo LIKE 'C%')
)
SELECT shopper_id, CASE WHEN invoice LIKE 'C%' THEN 'refund' ELSE 'purchase' END AS event_name,
    min(moment) AS event_time, min(moment) AS received_time, sum(quantity * price) AS value,
    list({'item_id': item_id, 'item_name': item_name, 'price': price, 'quantity': quantity,
        'item_brand': CAST(NULL AS VARCHAR), 'item_category': CAST(NULL AS VARCHAR)}) AS items
FROM lines GROUP BY shopper_id, invoice ORDER BY event_time, invoice
"""


@dataclass(frozen=True)
class Window:
    """The shoppers of the 30 days that end on `day`; `later`: what each spent in the 30 days after."""

    day: date
    features: pa.Table
    tokens: pa.Table
    later: Floats

    @property
    def shoppers(self) -> list[str]:
        """In the order of the features."""
        found: list[str] = self.features["shopper_id"].to_pylist()
        return found


def read_invoices(data: DataFolders) -> pa.Table:
    """One event an invoice of a known customer."""
    files = str(data.require("online_retail") / "by-day" / "*.csv")
    with duckdb.connect(config={"threads": 1}) as database:
        return database.execute(_INVOICES, [files]).to_arrow_table()


def window(events: pa.Table, day: date) -> Window:
    """What the platform knows at the end of `day`, and what came of it."""
    features = user_feature_snapshot(events, day)
    during, after = (
        _between(events, start, start + WINDOW) for start in (day + timedelta(days=1) - WINDOW, day + timedelta(days=1))
    )
    with duckdb.connect(config={"threads": 1}) as database:
        database.register("after", after)
        spent = database.execute(
            "SELECT shopper_id, sum(value) FROM after WHERE event_name = 'purchase' GROUP BY shopper_id"
        ).fetchall()
    of = dict(spent)
    later = np.array([float(of.get(shopper) or 0) for shopper in features["shopper_id"].to_pylist()])
    with TemporaryDirectory() as folder:
        stored = Path(folder, "events.parquet")
        pq.write_table(during, stored)
        tokens = taste_tokens([stored])
    return Window(day, features, tokens, later)


def _between(events: pa.Table, first: date, end: date) -> pa.Table:
    with duckdb.connect(config={"threads": 1}) as database:
        database.register("given", events)
        return database.execute(
            "SELECT * FROM given WHERE event_time >= ? AND event_time < ?", [first, end]
        ).to_arrow_table()


def eta_squared(groups: Whole, of: Floats) -> float:
    """Share of the variance of `of` between the groups."""
    total = ((of - of.mean()) ** 2).sum()
    between = sum(
        (groups == group).sum() * (of[groups == group].mean() - of.mean()) ** 2 for group in np.unique(groups)
    )
    return float(between / total)


def rfm_vectors(features: pa.Table) -> Floats:
    """The usual input of plain RFM k-means: recency, log frequency, log money, standardised."""
    found = values(features, RFM)
    found[:, 1:] = np.log1p(found[:, 1:])
    standardised: Floats = (found - found.mean(axis=0)) / found.std(axis=0)
    return standardised


def rfm_quintiles(features: pa.Table) -> Whole:
    """Five groups by the sum of the three quintile scores, the way shops do it by hand."""
    found = values(features, RFM) * np.array([-1.0, 1.0, 1.0])
    score = sum(_quintile(found[:, at]) for at in range(3))
    return _quintile(np.asarray(score, dtype=np.float64))


def _quintile(of: Floats) -> Whole:
    ranks = np.argsort(np.argsort(of, kind="stable"), kind="stable")
    found: Whole = (ranks * 5 // len(of)).astype(np.int64)
    return found


def same_name(before: dict[str, str], now: dict[str, str]) -> float:
    """Share of the shoppers of both windows whose segment has the same name."""
    both = before.keys() & now.keys()
    return sum(before[shopper] == now[shopper] for shopper in both) / len(both)


def names(fitted: Fitted, of: Window) -> dict[str, str]:
    """The segment id of each shopper of a window."""
    positions = fitted.segments.assign(of.features, of.tokens).positions.tolist()
    return {shopper: fitted.segments.ids[at] for shopper, at in zip(of.shoppers, positions, strict=True)}


@dataclass(frozen=True)
class Retraining:
    """How many shoppers keep their name from one training to the next: over a month, and by the model alone."""

    by_month: float
    by_model: float


def retrainings(windows: list[Window], fitted: list[Fitted]) -> list[Retraining]:
    """Of each training but the first; `by_model` asks both models about the shoppers of the later window."""
    return [
        Retraining(
            same_name(names(before, windows[at]), names(now, windows[at + 1])),
            same_name(names(before, windows[at + 1]), names(now, windows[at + 1])),
        )
        for at, (before, now) in enumerate(itertools.pairwise(fitted))
    ]


def numbered(fitted: Fitted) -> Fitted:
    """As k-means gives them: a segment is called by its number."""
    from dataclasses import replace

    segments = tuple(replace(segment, id=str(at)) for at, segment in enumerate(fitted.segments.segments))
    return replace(fitted, segments=replace(fitted.segments, segments=segments))


def measure(events: pa.Table, days: tuple[date, ...], rules: SegmentRules) -> list[Line]:
    """The figures of the windows that end on `days`, the first of which only begins the chain of names."""
    windows = [window(events, day) for day in days]
    matched: list[Fitted] = []
    for each in windows:
        matched.append(
            fit_segments(each.features, each.tokens, rules, each.day, matched[-1].segments if matched else None)
        )
    afresh = [fit_segments(each.features, each.tokens, rules, each.day) for each in windows]
    plain = [find_clusters(rfm_vectors(each.features), rules) for each in windows]
    kept, fresh, by_number = (
        retrainings(windows, models) for models in (matched, afresh, [numbered(each) for each in afresh])
    )

    def mean(of: Callable[[int], float]) -> float:
        return float(np.mean([of(at) for at in range(len(windows))]))

    def over(found: list[Retraining], of: Callable[[Retraining], float]) -> float:
        return float(np.mean([of(each) for each in found]))

    chosen = [each.clusters.chosen for each in matched]
    low, high = np.percentile([index for each in chosen for index in each.stability], [2.5, 97.5])
    logged = [np.log1p(each.later) for each in windows]
    groups = [each.segments.assign(at.features, at.tokens).positions for each, at in zip(matched, windows, strict=True)]
    same_number = [
        k_means(rfm_vectors(each.features), len(model.segments.segments), rules.seed, _STARTS)[0]
        for each, model in zip(windows, matched, strict=True)
    ]
    quintiles = mean(lambda at: eta_squared(rfm_quintiles(windows[at].features), logged[at]))
    sizes = "/".join(str(each.features.num_rows) for each in windows)
    numbers = "/".join(str(each.number) for each in chosen)
    return [
        Line(
            "segments chosen, mean of the windows",
            mean(lambda at: chosen[at].number),
            (("RFM k-means", mean(lambda at: plain[at].chosen.number)),),
            note=f"{numbers} for {sizes} shoppers",
        ),
        Line(
            "stability: adjusted Rand index, 80% against all",
            mean(lambda at: chosen[at].mean),
            (("RFM k-means", mean(lambda at: plain[at].chosen.mean)),),
            note=f"middle 95% of the parts {low:.3f} to {high:.3f}",
        ),
        Line(
            "silhouette",
            mean(lambda at: chosen[at].silhouette),
            (("RFM k-means", mean(lambda at: plain[at].chosen.silhouette)),),
            note="each in its own space: RFM has 3 dimensions, ours 13",
        ),
        Line(
            "shoppers that keep the name at a retraining, same shoppers and day",
            over(kept, lambda each: each.by_model),
            (
                ("named afresh", over(fresh, lambda each: each.by_model)),
                ("numbered", over(by_number, lambda each: each.by_model)),
            ),
            target=over(fresh, lambda each: each.by_model),
            note="/".join(f"{each.by_model:.2f}" for each in kept),
        ),
        Line(
            "shoppers that keep the name from month to month",
            over(kept, lambda each: each.by_month),
            (
                ("named afresh", over(fresh, lambda each: each.by_month)),
                ("numbered", over(by_number, lambda each: each.by_month)),
            ),
            target=over(fresh, lambda each: each.by_month),
            note="what a shopper does changes too",
        ),
        Line(
            "eta squared of log spend in the next 30 days",
            mean(lambda at: eta_squared(groups[at], logged[at])),
            (
                ("RFM quintiles", quintiles),
                ("RFM k-means, as many", mean(lambda at: eta_squared(same_number[at], logged[at]))),
            ),
            target=quintiles,
        ),
    ]


def run(data: DataFolders) -> list[Line]:
    """Measure on the test windows."""
    return measure(read_invoices(data), TEST, read_rules())
