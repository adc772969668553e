"""Has the traffic drifted? One decision over many columns, with a stated and measured rate of false alarms.

A column has drifted when its p-value survives Benjamini-Hochberg over all columns AND its statistic is at least the
smallest effect worth acting on. A window has drifted when `min_columns` columns have, or one has gone far. The p-values
come from random relabelling, which needs no assumption on the distribution (Phipson and Smyth 2010,
doi:10.2202/1544-6115.1585).

Every number of a drift report is computed here. The report's tool draws the same columns with the thresholds of this
decision, recomputes each statistic on its own, and the adapter refuses to go on where the two differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from intent_tracking.evaluation.drift_sample import (
    COMPARED,
    DRAWN_FROM,
    MAX_FIT_ROWS,
    RULES,
    Column,
    Complete,
    DrawnRows,
    DriftError,
    DriftPolicy,
    DriftSample,
    Method,
    check_columns,
    compare_rows,
    completed,
    draw,
    draw_rows,
    live_version,
    of_version,
    principal_directions,
    random_pair,
    sessions_of,
)
from intent_tracking.evaluation.performance import PerformanceDrift

Floats = NDArray[np.float64]
# Below this spread a column counts as constant; Evidently's floor of the same norm.
MIN_SPREAD = 0.001
ROUNDING = 1e-12


@dataclass(frozen=True)
class ColumnDrift:
    """One column's verdict; it has drifted exactly when `statistic >= threshold`."""

    name: str
    kind: str
    method: str
    statistic: float
    threshold: float
    min_effect: float
    p_value: float
    q_value: float
    drifted: bool


@dataclass(frozen=True)
class Calibration:
    """What the procedure does where nothing drifts.

    Attributes:
        draws: pairs of disjoint random sets of sessions of the reference.
        false_alarm_rate: share of pairs whose window was called drifted.
        column_false_alarm_rate: share of pairs in which any column was called drifted.
        sample_size: sessions on each side of a pair.
        natural: largest statistic of each column when one day of the reference is held against its other days; weekdays
            differ without any drift, so a column's smallest effect is at least this.
        days: days that `natural` stands on.
    """

    draws: int
    false_alarm_rate: float
    column_false_alarm_rate: float
    sample_size: int
    natural: Mapping[str, float] = field(default_factory=dict)
    days: int = 0


@dataclass(frozen=True)
class DriftSummary:
    """The verdict on one window. `enough` is False where either side had too few sessions: then there is no verdict."""

    window_start: datetime
    window_end: datetime
    model_version: str | None
    enough: bool
    drifted: bool
    reason: str
    share: float
    reference_size: int
    current_size: int
    columns: tuple[ColumnDrift, ...]
    left_out: Mapping[str, str]
    false_alarm_rate: float | None = None
    performance: PerformanceDrift | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` reads them back."""
        plain = asdict(self)
        plain["window_start"] = self.window_start.isoformat()
        plain["window_end"] = self.window_end.isoformat()
        plain["columns"] = list(plain["columns"])
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> DriftSummary:
        """Read what `to_dict` gave.

        Raises:
            TypeError, KeyError, ValueError: this is not a drift summary.
        """
        given = dict(plain)
        given["window_start"] = datetime.fromisoformat(given["window_start"])
        given["window_end"] = datetime.fromisoformat(given["window_end"])
        given["columns"] = tuple(ColumnDrift(**column) for column in given["columns"])
        if given.get("performance") is not None:
            given["performance"] = PerformanceDrift(**given["performance"])
        return cls(**given)


class Relabellings:
    """Random relabellings of pooled rows, shared by all columns and all draws of one sample size."""

    def __init__(self, permutations: int, seed: int) -> None:
        self._permutations = permutations
        self._seed = seed
        self._members: dict[tuple[int, int], Floats] = {}
        self._gaps: dict[tuple[int, int], Floats] = {}

    def members(self, reference: int, current: int) -> Floats:
        """`[permutations, rows]`: 1 where the row is relabelled as reference."""
        key = (reference, current)
        if key not in self._members:
            flat = np.concatenate([np.ones(reference), np.zeros(current)])
            stacked = np.tile(flat, (self._permutations, 1))
            self._members[key] = np.random.default_rng(self._seed).permuted(stacked, axis=1)
        return self._members[key]

    def gaps(self, reference: int, current: int) -> Floats:
        """`[permutations, rows - 1]`: distance of the two distribution functions after each sorted row."""
        key = (reference, current)
        if key not in self._gaps:
            below = np.cumsum(self.members(reference, current), axis=1)
            rows = np.arange(1, reference + current + 1)
            self._gaps[key] = np.abs(below / reference - (rows - below) / current)[:, :-1]
        return self._gaps[key]


def _jensen_shannon(reference: Floats, current: Floats) -> Floats:
    """Jensen-Shannon distance of counts `[..., categories]`, natural logarithm."""
    p = reference / reference.sum(axis=-1, keepdims=True)
    q = current / current.sum(axis=-1, keepdims=True)
    middle = np.maximum((p + q) / 2, np.finfo(float).tiny)

    def part(side: Floats) -> Floats:
        ratio = np.where(side > 0, side / middle, 1.0)
        return np.asarray((side * np.log(ratio)).sum(axis=-1))

    return np.asarray(np.sqrt(np.maximum((part(p) + part(q)) / 2, 0.0)))


def _spread(column: Column) -> float:
    """What the Wasserstein distance of a column is divided by."""
    return max(float(np.std(column.reference.astype(np.float64))), MIN_SPREAD)


def measure(column: Column, relabellings: Relabellings | None = None) -> tuple[float, Floats]:
    """The statistic of a column, and its values under random relabelling (none without `relabellings`)."""
    reference, current = len(column.reference), len(column.current)
    pooled = np.concatenate([column.reference, column.current])
    if RULES[column.kind].method is Method.JENSEN_SHANNON:
        values, codes = np.unique(pooled, return_inverse=True)
        one_hot = np.eye(len(values))[codes]
        total = one_hot.sum(axis=0)
        observed = one_hot[:reference].sum(axis=0)
        statistic = float(_jensen_shannon(observed, total - observed))
        if relabellings is None:
            return statistic, np.array([])
        drawn = relabellings.members(reference, current) @ one_hot
        return statistic, _jensen_shannon(drawn, total - drawn)
    order = np.argsort(pooled, kind="stable")
    ordered = pooled[order].astype(np.float64)
    steps = np.diff(ordered)
    below = np.cumsum(order < reference)
    rows = np.arange(1, len(pooled) + 1)
    gap = np.abs(below / reference - (rows - below) / current)[:-1]
    statistic = float(gap @ steps) / _spread(column)
    if relabellings is None:
        return statistic, np.array([])
    centred = ordered - ordered.mean()
    members = relabellings.members(reference, current)
    variance = members @ centred**2 / reference - (members @ centred / reference) ** 2
    spreads = np.maximum(np.sqrt(np.maximum(variance, 0.0)), MIN_SPREAD)
    return statistic, np.asarray((relabellings.gaps(reference, current) @ steps) / spreads)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """q-values: the smallest false-discovery rate at which each would be called (Benjamini and Hochberg 1995)."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    found = np.empty_like(q)
    found[order] = q
    return [float(value) for value in found]


def _critical(null: Floats, p_limit: float) -> float:
    """The smallest statistic whose p-value is at most `p_limit`."""
    allowed = int(np.floor(p_limit * (len(null) + 1) + 1e-9)) - 1
    beaten = np.sort(null)[::-1][min(max(allowed, 0), len(null) - 1)]
    return float(beaten + 2 * ROUNDING)


def judge(
    sample: DriftSample, policy: DriftPolicy, relabellings: Relabellings, natural: Mapping[str, float] | None = None
) -> tuple[ColumnDrift, ...]:
    """Statistic, p-value, q-value, threshold and verdict of each column of a sample."""
    measured = [measure(column, relabellings) for column in sample.columns]
    p_values = [(1 + int((null >= value - ROUNDING).sum())) / (len(null) + 1) for value, null in measured]
    q_values = benjamini_hochberg(p_values)
    called = [p for p, q in zip(p_values, q_values, strict=True) if q <= policy.false_discovery_rate]
    p_limit = max(called, default=policy.false_discovery_rate / max(len(p_values), 1))
    found = []
    for column, (value, null), p, q in zip(sample.columns, measured, p_values, q_values, strict=True):
        rule = RULES[column.kind]
        effect = max(rule.min_effect, (natural or {}).get(column.name, 0.0))
        if rule.min_change:
            effect = max(effect, rule.min_change / _spread(column))
        threshold = max(effect, _critical(null, p_limit))
        drifted = q <= policy.false_discovery_rate and value >= effect
        found.append(ColumnDrift(column.name, column.kind, rule.method, value, threshold, effect, p, q, bool(drifted)))
    return tuple(found)


def verdict(columns: Sequence[ColumnDrift], policy: DriftPolicy) -> tuple[bool, str]:
    """Whether these columns make a drifted window, and why, in words."""
    drifted = [column for column in columns if column.drifted]
    strong = [c.name for c in drifted if c.statistic >= policy.strong_factor * c.min_effect]
    said = f"{len(drifted)} of {len(columns)} columns drifted"
    if drifted:
        said += f": {', '.join(column.name for column in drifted)}"
    if strong:
        return True, f"{said}; far: {', '.join(strong)}"
    return len(drifted) >= policy.min_columns, f"{said}; {policy.min_columns} make a drift, or one that moves far"


def _days(table: pa.Table) -> list[date]:
    dates = pc.unique(pc.cast(table.column("event_time"), pa.date32())).to_pylist()
    return sorted(day for day in dates if day is not None)


def _held_out(reference: pa.Table, policy: DriftPolicy) -> list[DrawnRows]:
    """Each day of the reference held against the others, where both have enough sessions."""
    dates = pc.cast(reference.column("event_time"), pa.date32())
    insides = [pc.equal(dates, pa.scalar(day)) for day in _days(reference)]
    drawn = [draw_rows(reference.filter(pc.invert(inside)), reference.filter(inside), policy) for inside in insides]
    return [rows for rows in drawn if rows is not None]


def _natural(held_out: Sequence[DrawnRows], policy: DriftPolicy) -> tuple[dict[str, float], int]:
    """Largest statistic of each column when one day is held against the others; empty below three usable days."""
    statistics: dict[str, list[float]] = {}
    for rows in held_out:
        for column in rows.compared(policy).columns:
            statistics.setdefault(column.name, []).append(measure(column)[0])
    used = len(held_out)
    return ({name: max(values) for name, values in statistics.items()}, used) if used >= 3 else ({}, used)


def calibrate(
    reference: pa.Table,
    policy: DriftPolicy | None = None,
    *,
    draws: int = 100,
    natural: bool = True,
    complete: Complete | None = None,
) -> Calibration:
    """Run the whole procedure on pairs without drift, drawn from the reference, and count its alarms.

    Args:
        complete: see `draw`.

    Raises:
        DriftError: a column is missing, or the reference has fewer than twice `min_samples` sessions.
    """
    policy = policy or DriftPolicy()
    check_columns(reference, "reference", COMPARED if complete is None else DRAWN_FROM)
    reference = of_version(reference, live_version(reference))
    rows = sessions_of(reference, policy.seed)
    size = min(policy.sample_size, len(rows) // 2)
    if size < policy.min_samples:
        raise DriftError(
            f"the reference has {len(rows)} sessions; calibration needs twice {policy.min_samples}: take more days"
        )
    relabellings = Relabellings(policy.permutations, policy.seed)
    nothing = reference.slice(0, 0)
    fit = DrawnRows(nothing, nothing, reference.take(rows[:MAX_FIT_ROWS]), same_model=True)
    pairs = [
        DrawnRows(*random_pair(reference, rows, size, (policy.seed, number)), nothing, same_model=True)
        for number in range(draws)
    ]
    held_out = _held_out(reference, policy) if natural else []
    fit, *drawn = completed([fit, *pairs, *held_out], complete)
    floors, days = _natural(drawn[draws:], policy)
    directions = principal_directions(fit.fit, policy.components)
    windows = columns = 0
    for pair in drawn[:draws]:
        sample = compare_rows(pair.reference, pair.current, directions, policy, same_model=True)
        judged = judge(sample, policy, relabellings, floors)
        windows += verdict(judged, policy)[0]
        columns += any(column.drifted for column in judged)
    return Calibration(draws, windows / draws, columns / draws, size, floors, days)


def drift_decision(
    reference: pa.Table,
    current: pa.Table,
    day: date,
    policy: DriftPolicy | None = None,
    *,
    calibration: Calibration | None = None,
    performance: PerformanceDrift | None = None,
    sample: DriftSample | None = None,
    complete: Complete | None = None,
    days: int = 1,
) -> DriftSummary:
    """Decide on the window of `days` days that ends with `day`.

    Args:
        reference, current: tables with PREDICTION_SCHEMA.
        calibration: of the same reference; gives each column its natural variation and the stated false-alarm rate.
        performance: where delayed labels have arrived; a fall of the accuracy is a drift by itself.
        sample: what `draw` gave for the two tables and the policy, where the caller needs it too.
        complete: see `draw`.

    Raises:
        DriftError: a column is missing.
    """
    policy = policy or DriftPolicy()
    sample = sample if sample is not None else draw(reference, current, policy, complete)
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    start = end - timedelta(days=days)
    rate = calibration.false_alarm_rate if calibration else None
    fell = performance is not None and performance.drifted
    if sample is None:
        sizes = [len(sessions_of(table, policy.seed)) for table in (reference, current)]
        reason = f"too few sessions: {sizes[0]} in the reference, {sizes[1]} in the window, {policy.min_samples} needed"
        return DriftSummary(start, end, None, False, False, reason, 0.0, sizes[0], sizes[1], (), {}, rate, performance)
    relabellings = Relabellings(policy.permutations, policy.seed)
    columns = judge(sample, policy, relabellings, calibration.natural if calibration else None)
    moved, reason = verdict(columns, policy)
    if performance is not None:
        reason += f"; {performance.reason}"
    return DriftSummary(
        start,
        end,
        sample.model_version,
        True,
        moved or fell,
        reason,
        sum(column.drifted for column in columns) / len(columns),
        sample.reference_size,
        sample.current_size,
        columns,
        sample.left_out,
        rate,
        performance,
    )
