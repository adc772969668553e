"""Did the messages help? Treated against control: who bought, and for how much, with intervals.

The groups were drawn before anything was known of the outcome, and each shopper counts once a campaign, from the very
first contact (of the control group: from when it would have been), whatever came after: by intention to treat. Who
comes into a campaign again was chosen by what the first message did, and so counts no second time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from intent_tracking.applications.marketing.audiences import CONTROL, TREATED
from intent_tracking.applications.marketing.history import end_of, history
from intent_tracking.applications.marketing.rules import EffectPlan
from intent_tracking.evaluation.metrics import Interval

Floats = npt.NDArray[np.float64]

LEAST_OF_GROUP: Final = 10
"""Fewer shoppers than this in a group say nothing about money."""
PERMUTATIONS: Final = 999
_CELLS: Final = 2_000_000
MISMATCH_LEVEL: Final = 0.001
"""Groups whose sizes are as unlikely as this were not drawn as declared: nothing is said of their effect."""


@dataclass(frozen=True)
class Effect:
    """One campaign. A figure that needs more shoppers is None.

    Attributes:
        treated, control: shoppers; `treated_buyers`, `control_buyers` of them bought.
        conversion: difference of the shares that bought (Newcombe's interval).
        revenue: difference of the money spent a shopper (studentised permutation) in `currency`, refunds not taken off.
        currency: that of most purchases that are looked at; None where they have none, or there are none.
        other_purchases: of the groups in another currency, whose money is not in `revenue`: it cannot be added.
        needed: shoppers in all, at these group sizes, to find a worthwhile difference; None without a control buyer.
        mismatch: p-value of the group sizes, were they drawn as declared.
        verdict: in words.
    """

    campaign: str
    treated: int
    control: int
    treated_buyers: int
    control_buyers: int
    conversion: Interval | None
    revenue: Interval | None
    currency: str | None
    other_purchases: int
    needed: int | None
    mismatch: float
    verdict: str

    @property
    def as_declared(self) -> bool:
        """Whether the group sizes are those of a fair draw."""
        return self.mismatch >= MISMATCH_LEVEL

    def as_document(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self) | {"as_declared": self.as_declared}

    def as_row(self) -> dict[str, object]:
        """For tables that people read."""
        return {
            "campaign": self.campaign,
            "treated": f"{self.treated_buyers:,} of {self.treated:,} bought",
            "control": f"{self.control_buyers:,} of {self.control:,} bought",
            "difference of the share": str(self.conversion or "too few"),
            "difference of the money": self._money(),
            "verdict": self.verdict,
        }

    def _money(self) -> str:
        if self.revenue is None:
            return "too few"
        shown = f"{self.revenue} {self.currency or ''}".rstrip()
        return f"{shown}, without {self.other_purchases:,} in other currencies" if self.other_purchases else shown


def wilson(hits: int, count: int, level: float) -> tuple[float, float]:
    """Interval of a share (Wilson 1927).

    Raises:
        ValueError: nobody was counted.
    """
    if count < 1:
        raise ValueError("a share of nobody has no interval")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, width = hits / count, z * z / count
    middle = (share + width / 2) / (1 + width)
    half = z * math.sqrt(share * (1 - share) / count + width / (4 * count)) / (1 + width)
    return max(0.0, middle - half), min(1.0, middle + half)


def newcombe(hits: int, count: int, other_hits: int, other_count: int, level: float) -> Interval:
    """Interval of the difference of two independent shares (Newcombe 1998, method 10)."""
    share, other = hits / count, other_hits / other_count
    low, high = wilson(hits, count, level)
    other_low, other_high = wilson(other_hits, other_count, level)
    difference = share - other
    below = math.hypot(share - low, other_high - other)
    above = math.hypot(high - share, other - other_low)
    return Interval(difference, difference - below, difference + above)


def permuted(ours: Floats, other: Floats, level: float, *, draws: int = PERMUTATIONS, seed: int = 0) -> Interval:
    """Interval of the difference of two means by studentised permutation (Janssen 1997; Chung and Romano 2013).

    Money has a long tail and the control group is small: there Welch's interval holds zero less often than it says.
    This one holds it exactly as often where the groups are alike, and in the limit where only the means are.

    Raises:
        ValueError: a group has fewer than `LEAST_OF_GROUP`.
    """
    if min(len(ours), len(other)) < LEAST_OF_GROUP:
        raise ValueError(f"groups of {len(ours)} and {len(other)}: at least {LEAST_OF_GROUP} each are needed")
    pooled = np.concatenate([ours, other])
    ((difference,), (error,)) = _difference(pooled[None], len(ours))
    if error == 0:
        return Interval(float(difference), float(difference), float(difference))
    generator = np.random.default_rng(seed)
    block = max(1, _CELLS // len(pooled))
    found = []
    for begin in range(0, draws, block):
        rows = np.tile(pooled, (min(block, draws - begin), 1))
        differences, errors = _difference(generator.permuted(rows, axis=1), len(ours))
        found.append(differences / np.maximum(errors, np.finfo(float).tiny))
    low, high = np.quantile(np.concatenate(found), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(difference), float(difference - high * error), float(difference - low * error))


def _difference(rows: Floats, first: int) -> tuple[Floats, Floats]:
    """Of each row the mean of the `first` less that of the rest, and its standard error (unequal variances)."""
    ours, other = rows[:, :first], rows[:, first:]
    variance = ours.var(axis=1, ddof=1) / ours.shape[1] + other.var(axis=1, ddof=1) / other.shape[1]
    return ours.mean(axis=1) - other.mean(axis=1), np.sqrt(variance)


def shoppers_needed(base: float, difference: float, control_share: float, level: float, power: float) -> int:
    """Shoppers in both groups together to find `base + difference` against `base` with `power` at two-sided `level`.

    The normal approximation with unpooled variances (Fleiss, Levin and Paik 2003, section 4.2).
    """
    z = NormalDist().inv_cdf((1 + level) / 2) + NormalDist().inv_cdf(power)
    treated = min(base + difference, 1.0)
    variance = treated * (1 - treated) / (1 - control_share) + base * (1 - base) / control_share
    return math.ceil(variance * (z / difference) ** 2)


def mismatch(treated: int, control: int, control_share: float) -> float:
    """Two-sided p-value of the sizes of the groups, were the control group drawn at `control_share` (binomial)."""
    from scipy.stats import binomtest

    count = treated + control
    return float(binomtest(control, count, control_share).pvalue) if count else 1.0


_CURRENCY: Final = """
SELECT currency FROM acts WHERE name = 'purchase' GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1
"""
_OUTCOMES: Final = """
WITH first AS (
    SELECT campaign, shopper_id, min(day) AS day, arg_min("group", day) AS "group" FROM contacts
    GROUP BY campaign, shopper_id HAVING min(day) >= $since
)
SELECT campaign, "group", coalesce(sum(amount) FILTER (currency IS NOT DISTINCT FROM $currency), 0) AS spent,
    count(amount) > 0 AS bought, count(amount) FILTER (currency IS DISTINCT FROM $currency) AS others
FROM first LEFT JOIN acts ON acts.shopper_id = first.shopper_id AND acts.name = 'purchase'
    AND acts.t >= first.day + INTERVAL 1 DAY AND acts.t < first.day + INTERVAL 1 DAY + to_days($days)
GROUP BY campaign, "group", first.shopper_id ORDER BY campaign, first.shopper_id
"""


def contact_days(until: date, plan: EffectPlan) -> list[date]:
    """Days of contacts whose outcomes are complete at the end of `until`, oldest first."""
    last = until - timedelta(days=plan.outcome_days)
    return [last - timedelta(days=back) for back in reversed(range(plan.report_days))]


def effects(
    contacts: Sequence[Path],
    events: Sequence[Path],
    until: date,
    plan: EffectPlan,
    control_share: float,
) -> list[Effect]:
    """The effect of every campaign that reached somebody for the first time on `contact_days`, by name.

    Args:
        contacts: partitions of `audience_contacts` up to the last of `contact_days`, the oldest too: they say who was
            reached before.
        events: partitions of `validated_events` from the first of `contact_days` up to `until`.
        until: outcomes are known up to its end.
        plan, control_share: as declared.
    """
    if not contacts:
        return []
    with history(events, end_of(until)) as database:
        # The day is in the name of the folder.
        database.read_parquet([str(path) for path in contacts], hive_partitioning=True).create_view("contacts")
        currency = next((name for (name,) in database.execute(_CURRENCY).fetchall()), None)
        given = {"days": plan.outcome_days, "since": contact_days(until, plan)[0], "currency": currency}
        found = database.execute(_OUTCOMES, given).to_arrow_table()
    campaigns = np.array(found["campaign"].to_pylist())
    groups = np.array(found["group"].to_pylist())
    spent, others = found["spent"].to_numpy(), found["others"].to_numpy()
    bought = np.array(found["bought"].to_pylist(), dtype=bool)
    measured = []
    for campaign in sorted(set(campaigns.tolist())):
        chosen = [(campaigns == campaign) & (groups == each) for each in (TREATED, CONTROL)]
        measured.append(
            effect(
                campaign,
                *[(spent[rows], bought[rows]) for rows in chosen],
                plan=plan,
                control_share=control_share,
                currency=currency,
                other_purchases=int(others[campaigns == campaign].sum()),
            )
        )
    return measured


def effect(
    campaign: str,
    treated: tuple[Floats, npt.NDArray[np.bool_]],
    control: tuple[Floats, npt.NDArray[np.bool_]],
    *,
    plan: EffectPlan,
    control_share: float,
    currency: str | None = None,
    other_purchases: int = 0,
) -> Effect:
    """The effect of one campaign from what each shopper of both groups spent, and whether there was a purchase.

    `currency` is that of the money, `other_purchases` are those whose money is left out.
    """
    counts = (len(treated[0]), len(control[0]))
    buyers = (int(treated[1].sum()), int(control[1].sum()))
    odd = mismatch(*counts, control_share)
    conversion = newcombe(buyers[0], counts[0], buyers[1], counts[1], plan.level) if min(counts) else None
    revenue = permuted(treated[0], control[0], plan.level) if min(counts) >= LEAST_OF_GROUP else None
    needed = None
    if control_share > 0 and buyers[1]:
        share = buyers[1] / counts[1]
        needed = shoppers_needed(share, plan.worthwhile_difference, control_share, plan.level, plan.power)
    return Effect(
        campaign=campaign,
        treated=counts[0],
        control=counts[1],
        treated_buyers=buyers[0],
        control_buyers=buyers[1],
        conversion=conversion,
        revenue=revenue,
        currency=currency,
        other_purchases=other_purchases,
        needed=needed,
        mismatch=odd,
        verdict=_verdict(conversion, sum(counts), needed, odd),
    )


def _verdict(conversion: Interval | None, count: int, needed: int | None, odd: float) -> str:
    if odd < MISMATCH_LEVEL:
        return f"cannot be told: the sizes of the groups are not those of the draw (p = {odd:.1e})"
    if conversion is None:
        return "cannot be told: a group is empty"
    if conversion.low > 0:
        return "more buy"
    if conversion.high < 0:
        return "fewer buy"
    if needed is None:
        return "no difference found, and nobody of the control group bought: too few to say how many are needed"
    if count < needed:
        return f"no difference found; {needed:,} shoppers are needed to find a worthwhile one, {count:,} are here"
    return "no difference found, and a worthwhile one would most likely have been"
