"""Who belongs to which audience, and why: one query a rule over the acts and lines of `history.history`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from intent_tracking.applications.marketing.history import end_of
from intent_tracking.applications.marketing.propensity import PropensityModel
from intent_tracking.applications.marketing.propensity_features import FEATURES, OUTCOME_DAYS, snapshots
from intent_tracking.applications.marketing.rules import (
    BargainHunter,
    FollowsBrand,
    Lapsing,
    LookedNotBought,
    MarketingRules,
    ReadyToBuy,
)
from intent_tracking.applications.marketing.words import TRAITS, Reason, Values, presentable
from intent_tracking.prediction_log import PREDICTION_SCHEMA
from intent_tracking.sessions.sessionise import SESSION_SCHEMA
from intent_tracking.text.language import Language

MOST_ITEMS: Final = 3
MOST_NEWS: Final = 20
"""New items of a brand that its followers are told of; who has seen them all hears of no other."""
_MOST_TRAITS: Final = 2


@dataclass(frozen=True)
class Member:
    """One shopper in one audience. `values` is filled into the message; `items` are ids that the message is about."""

    shopper_id: str
    audience: str
    offer: str
    reasons: tuple[Reason, ...]
    values: Values
    items: tuple[str, ...] = ()
    brand: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What the rules are judged on at the end of `day`.

    Attributes:
        database: acts and lines until then, and the tables that `gather` adds.
        propensity: by shopper; without a model empty. traits: what speaks most for a purchase of a shopper.
    """

    database: duckdb.DuckDBPyConnection
    day: date
    propensity: Mapping[str, float]
    traits: Callable[[str], tuple[Reason, ...]]

    @property
    def moment(self) -> datetime:
        """The end of the day, UTC, without a zone as in the database."""
        return end_of(self.day).replace(tzinfo=None)

    def rows(self, sql: str, **given: object) -> Iterator[dict[str, Any]]:
        """The rows of a query as dictionaries; `$moment` is known to it where it asks."""
        wanted = {name: value for name, value in given.items() if f"${name}" in sql}
        found = self.database.execute(sql, wanted | ({"moment": self.moment} if "$moment" in sql else {}))
        names = [column[0] for column in found.description or ()]
        while block := found.fetchmany(10_000):
            for row in block:
                yield dict(zip(names, row, strict=True))


def gather(
    database: duckdb.DuckDBPyConnection,
    day: date,
    *,
    sessions: Sequence[Path],
    predictions: Sequence[Path],
    prices: pa.Table,
    model: PropensityModel | None,
) -> Evidence:
    """Everything that the rules ask for.

    Args:
        database: `history.history` up to the end of `day`, with its lines.
        day: UTC.
        sessions, predictions: partitions of `sessions` and `served_predictions`.
        prices: `shopper_id` and `price` (0: none seen), of the snapshot of the day.
        model: None: nobody's propensity is known.
    """
    for name, paths, schema in (("visits", sessions, SESSION_SCHEMA), ("served", predictions, PREDICTION_SCHEMA)):
        if paths:
            database.read_parquet([str(path) for path in paths], hive_partitioning=False).create_view(name)
        else:
            database.register(name, schema.empty_table())
    database.register("prices", prices)
    database.execute(_NAMES)
    if model is None:
        return Evidence(database, day, {}, lambda _: ())
    return Evidence(database, day, *_scored(database, day, model))


def _scored(
    database: duckdb.DuckDBPyConnection, day: date, model: PropensityModel
) -> tuple[dict[str, float], Callable[[str], tuple[Reason, ...]]]:
    """The propensity of each shopper, and what speaks most for a purchase; of the figures no more is kept."""
    features = model.weights.features
    column = np.array([list(FEATURES).index(name) for name in features])
    is_told = np.array([name in TRAITS for name in features])
    chances: dict[str, float] = {}
    place: dict[str, tuple[int, int]] = {}
    kept: list[tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]] = []
    for taken in snapshots(database, day):
        chances.update(zip(taken.shoppers, map(float, model.probabilities(taken.values)), strict=True))
        place.update({shopper: (len(kept), row) for row, shopper in enumerate(taken.shoppers)})
        parts = model.parts(taken.values)
        against = np.where(is_told & (parts > 0), -parts, np.inf)
        best = np.argsort(against, axis=1, kind="stable")[:, :_MOST_TRAITS]
        values = np.take_along_axis(taken.values, column[best], axis=1)
        best[np.isinf(np.take_along_axis(against, best, axis=1))] = -1
        kept.append((best.astype(np.int8), values.astype(np.float32)))

    def traits(shopper: str) -> tuple[Reason, ...]:
        batch, row = place[shopper]
        named = zip(kept[batch][0][row], kept[batch][1][row], strict=True)
        return tuple(Reason(features[at], {"value": round(float(value))}) for at, value in named if at >= 0)

    return chances, traits


def languages(evidence: Evidence) -> dict[str, Language]:
    """The language of each shopper's newest session."""
    rows = evidence.rows(
        "SELECT shopper_id, arg_max(language, (started_at, session_id)) AS language FROM visits GROUP BY shopper_id"
    )
    return {row["shopper_id"]: "zh" if row["language"] == "zh" else "en" for row in rows}


def members(evidence: Evidence, rules: MarketingRules) -> list[Member]:
    """Every membership of every audience, a shopper in as many as fit, ordered by audience and shopper."""
    found: list[Member] = []
    for name, audience in sorted(rules.audiences.items()):
        judge: Callable[[Evidence, str, Any], Iterator[Member]] = _JUDGES[audience.rule]
        found += sorted(judge(evidence, name, audience), key=lambda member: member.shopper_id)
    return found


def _percent(share: float) -> int:
    return round(100 * share)


# An item has a brand and a name in each language of the shop: the name is the one that most saw with the brand.
_NAMES: Final = """
CREATE TEMP TABLE item_names AS
SELECT item, brand, arg_max(item_name, (seen, item_name)) AS item_name, max(seen) AS shoppers FROM (
    SELECT item, brand, item_name, count(DISTINCT shopper_id) AS seen FROM lines
    WHERE item_name IS NOT NULL AND brand IS NOT NULL GROUP BY item, brand, item_name
) GROUP BY item, brand
"""
# What is taken out of the cart without having been seen going in takes nothing away from what goes in later: what is
# in it is the sum of the moves above its lowest point.
_LOOKED: Final = """
WITH moves AS (
    SELECT shopper_id, item, CASE name WHEN 'add_to_cart' THEN units ELSE -units END AS moved,
        sum(moved) OVER (PARTITION BY shopper_id, item ORDER BY t, name) AS content
    FROM lines WHERE name IN ('add_to_cart', 'remove_from_cart') AND t >= $since
), in_cart AS (
    SELECT shopper_id, item, sum(moved) - least(0, min(content)) AS carts FROM moves GROUP BY shopper_id, item
), seen AS (
    SELECT shopper_id, item, count(*) FILTER (name = 'view_item') AS views, max(t) AS last,
        arg_max(item_name, (t, item_name, brand)) AS item_name, arg_max(brand, (t, item_name, brand)) AS brand
    FROM lines WHERE name IN ('view_item', 'add_to_cart') AND t >= $since GROUP BY shopper_id, item
), looked AS (
    SELECT seen.*, coalesce(carts, 0) AS carts FROM seen LEFT JOIN in_cart USING (shopper_id, item)
), bought AS (SELECT shopper_id, max(t) AS last_order FROM acts WHERE name = 'purchase' GROUP BY shopper_id)
SELECT looked.* FROM looked LEFT JOIN bought USING (shopper_id)
WHERE (views >= $views OR carts > 0) AND (last_order IS NULL OR last_order < last)
    AND NOT EXISTS (FROM lines AS b WHERE b.name = 'purchase' AND b.shopper_id = looked.shopper_id
        AND b.item = looked.item AND b.t >= $since)
QUALIFY row_number() OVER (PARTITION BY shopper_id ORDER BY carts DESC, views DESC, last DESC, item) = 1
"""


def _looked_not_bought(evidence: Evidence, name: str, rule: LookedNotBought) -> Iterator[Member]:
    since = evidence.moment - timedelta(days=rule.within_days)
    for row in evidence.rows(_LOOKED, since=since, views=rule.views_at_least):
        item = presentable(row["item_name"])
        if item is None:
            continue  # nothing that a message could name
        looked = {"item": item, "count": row["views"], "days": rule.within_days}
        reasons = [Reason("carted" if row["carts"] else "viewed", looked)]
        chance = evidence.propensity.get(row["shopper_id"])
        coupon = chance is not None and chance < rule.coupon_below
        if chance is not None:
            reasons.append(Reason("unlikely_back" if coupon else "likely_back", {"percent": _percent(chance)}))
        brand = presentable(row["brand"])
        yield Member(
            row["shopper_id"], name, "coupon" if coupon else "reminder", tuple(reasons),
            {"item": item, "brand": brand or ""}, (row["item"],), brand,
        )  # fmt: skip


_FRESH: Final = """
SELECT item, brand, item_name, shoppers FROM item_names
WHERE shoppers >= $seen_by AND item IN (SELECT item FROM lines GROUP BY item HAVING min(t) >= $new_since)
ORDER BY brand, shoppers DESC, item
"""
_FOLLOWS: Final = """
WITH views AS (
    SELECT shopper_id, brand, count(*) AS views FROM lines
    WHERE name = 'view_item' AND brand IS NOT NULL AND t >= $since GROUP BY shopper_id, brand
), favourite AS (
    SELECT shopper_id, brand, views, views / sum(views) OVER (PARTITION BY shopper_id) AS share FROM views
    QUALIFY row_number() OVER (PARTITION BY shopper_id ORDER BY views DESC, brand) = 1
), offered AS (
    SELECT f.shopper_id, f.brand, f.views, f.share, news.place, news.shown_brand, news.item, news.item_name
    FROM favourite AS f JOIN news USING (brand)
    WHERE f.views >= $views AND f.share >= $share
        AND NOT EXISTS (FROM lines AS l WHERE l.shopper_id = f.shopper_id AND l.item = news.item)
)
SELECT shopper_id, shown_brand, any_value(views) AS views, any_value(share) AS share,
    list((item, item_name) ORDER BY place)[:$most] AS items
FROM offered GROUP BY shopper_id, shown_brand
"""
# `place`: 0 is what most have seen of the brand.
_NEWS: Final = pa.schema(
    [("place", pa.int64()), *((name, pa.string()) for name in ("brand", "shown_brand", "item", "item_name"))]
)


def _news(evidence: Evidence, rule: FollowsBrand, new_since: datetime) -> pa.Table:
    """The new items of each brand that a message can name, as it names them; those that most have seen.

    No more than `MOST_NEWS` a brand, so that a brand with many followers and many new items stays a small join.
    """
    chosen: dict[str, list[dict[str, Any]]] = {}
    for row in evidence.rows(_FRESH, seen_by=rule.new_item_shoppers, new_since=new_since):
        of_brand = chosen.setdefault(row["brand"], [])
        if len(of_brand) == MOST_NEWS:
            continue
        brand, item_name = presentable(row["brand"]), presentable(row["item_name"])
        if brand and item_name:
            of_brand.append({**row, "place": len(of_brand), "shown_brand": brand, "item_name": item_name})
    return pa.Table.from_pylist([row for rows in chosen.values() for row in rows], schema=_NEWS)


def _follows_brand(evidence: Evidence, name: str, rule: FollowsBrand) -> Iterator[Member]:
    new_since = evidence.moment - timedelta(days=rule.new_days)
    ((begins,),) = evidence.database.execute("SELECT min(t) FROM acts").fetchall()
    if begins is None or begins >= new_since:
        return  # where the logs have just begun everything is seen for the first time
    since = evidence.moment - timedelta(days=rule.within_days)
    evidence.database.register("news", _news(evidence, rule, new_since))
    given = {"since": since, "views": rule.views_at_least, "share": rule.share_at_least, "most": MOST_ITEMS}
    for row in evidence.rows(_FOLLOWS, **given):
        brand = row["shown_brand"]
        items = tuple(shown for _, shown in row["items"])
        looked = {"brand": brand, "count": row["views"], "days": rule.within_days, "percent": _percent(row["share"])}
        reasons = (Reason("brand", looked), Reason("new_items", {"brand": brand, "items": items}))
        values: Values = {"brand": brand, "items": items}
        yield Member(
            row["shopper_id"], name, "new_items", reasons, values, tuple(item for item, _ in row["items"]), brand
        )


_LAPSING: Final = """
WITH order_days AS (SELECT DISTINCT shopper_id, t::DATE AS day FROM acts WHERE name = 'purchase'),
gaps AS (
    SELECT shopper_id, day, date_diff('day', lag(day) OVER (PARTITION BY shopper_id ORDER BY day), day) AS gap
    FROM order_days
)
SELECT shopper_id, median(gap) AS usual, date_diff('day', max(day), $today) AS days FROM gaps GROUP BY shopper_id
HAVING count(*) >= $orders AND days > $times * usual AND days <= $lost
"""


def _lapsing(evidence: Evidence, name: str, rule: Lapsing) -> Iterator[Member]:
    given = {"orders": rule.order_days_at_least, "times": rule.times_cadence, "lost": rule.lost_after_days}
    for row in evidence.rows(_LAPSING, today=evidence.day, **given):
        told = Reason("lapsed", {"usual": round(row["usual"]), "days": row["days"]})
        yield Member(row["shopper_id"], name, "come_back", (told,), {})


def _ready_to_buy(evidence: Evidence, name: str, rule: ReadyToBuy) -> Iterator[Member]:
    for shopper, chance in evidence.propensity.items():
        if chance >= rule.propensity_at_least:
            told = Reason("propensity", {"percent": _percent(chance), "days": OUTCOME_DAYS})
            yield Member(shopper, name, "none", (told, *evidence.traits(shopper)), {})


_BARGAIN: Final = """
WITH last_of_session AS (
    SELECT shopper_id, session_id, arg_max(intent, (event_time, prediction_id)) AS intent FROM served
    WHERE kind = 'track' AND shopper_id IS NOT NULL AND NOT out_of_scope AND event_time::TIMESTAMP >= $since
        AND event_time::TIMESTAMP < $moment GROUP BY shopper_id, session_id
), intents AS (
    SELECT shopper_id, count(*) AS sessions, avg((intent IN (SELECT unnest($intents)))::INT) AS intent_share
    FROM last_of_session GROUP BY shopper_id
), coupons AS (
    SELECT shopper_id, avg(on_offer::INT) AS coupon_share FROM lines
    WHERE name IN ('add_to_cart', 'purchase') AND t >= $since GROUP BY shopper_id
), cheap AS (
    SELECT shopper_id, price, percent_rank() OVER (ORDER BY price) AS quantile FROM prices WHERE price > 0
)
SELECT shopper_id, sessions, intent_share, coupon_share, price,
    coalesce(sessions >= $sessions AND intent_share >= $intent_share, false) AS by_intent,
    coalesce(coupon_share >= $coupon_share, false) AS by_coupon, coalesce(quantile <= $quantile, false) AS by_price
FROM intents FULL JOIN coupons USING (shopper_id) FULL JOIN cheap USING (shopper_id)
WHERE by_intent::INT + by_coupon::INT + by_price::INT >= $signals
"""


def _bargain_hunter(evidence: Evidence, name: str, rule: BargainHunter) -> Iterator[Member]:
    rows = evidence.rows(
        _BARGAIN,
        since=evidence.moment - timedelta(days=rule.within_days),
        intents=list(rule.intents),
        sessions=rule.sessions_at_least,
        intent_share=rule.intent_share_at_least,
        coupon_share=rule.coupon_share_at_least,
        quantile=rule.price_quantile_at_most,
        signals=rule.signals_at_least,
    )
    for row in rows:
        reasons = []
        if row["by_intent"]:
            share = {"percent": _percent(row["intent_share"]), "count": row["sessions"]}
            reasons.append(Reason("bargain_intent", share))
        if row["by_coupon"]:
            reasons.append(Reason("coupons", {"percent": _percent(row["coupon_share"])}))
        if row["by_price"]:
            reasons.append(Reason("low_prices", {"price": round(row["price"], 2)}))
        yield Member(row["shopper_id"], name, "coupon", tuple(reasons), {})


_JUDGES: Final[Mapping[str, Callable[[Evidence, str, Any], Iterator[Member]]]] = {
    "looked_not_bought": _looked_not_bought,
    "follows_brand": _follows_brand,
    "lapsing": _lapsing,
    "ready_to_buy": _ready_to_buy,
    "bargain_hunter": _bargain_hunter,
}
