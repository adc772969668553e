"""How a risk model is made: of the cases of some weeks, and of what people decided about those they reviewed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.applications.artifacts import RISK_MODEL, artifact_folder, content_of, fingerprint_of, new_artifact
from intent_tracking.applications.risk.cases import values_of
from intent_tracking.applications.risk.features import Kind, features_of
from intent_tracking.applications.risk.model import (
    KINDS_FILE,
    LEARNED_FILE,
    POLICY_FILE,
    SHOP_FILE,
    TREES_FILE,
    KindModel,
    KindRecord,
    RiskModel,
    anomaly,
    fused,
)
from intent_tracking.applications.risk.policy import RiskPolicy
from intent_tracking.applications.risk.probes import probes
from intent_tracking.applications.risk.rules import fired
from intent_tracking.applications.risk.shop import Shop
from intent_tracking.applications.risk.trees import Floats, grow_boosting, grow_forest
from intent_tracking.modeling.scores import roc_auc


class NoCasesError(ValueError):
    """There is nothing to learn from."""


# Raise it when the same cases would give another model.
FORMAT: Final = "2"
LEAST_ROWS: Final = 50
MOST_ORDINARY: Final = 4_000
# Of each kind. Of a quarter of them, the newest week of four, the share that spends a budget of 2% is known to a tenth.
MOST_CASES: Final = 100_000
_BACKGROUND: Final = 5
_FOLDS: Final = 5


@dataclass(frozen=True)
class Drawn:
    """What is learned from of one kind: rows of RISK_CASE_SCHEMA.

    Attributes:
        rows: first those that were drawn evenly of all, in their order, then the decided ones that were not among them.
        count: how many were drawn evenly.
    """

    rows: pa.Table
    count: int

    @property
    def even(self) -> pa.Table:
        """What stands for all traffic: shares and quantiles of it are those of all cases."""
        return self.rows.slice(0, self.count)


def drawn(cases: pa.Table, kind: Kind, labels: Collection[str] = (), most: int = MOST_CASES) -> Drawn:
    """At most `most` cases of `kind`, drawn evenly and the same each time, and beside them all those in `labels`."""
    at = _of_kind(cases, kind)
    chosen = at
    if len(at) > most:
        chosen = at[np.sort(np.random.default_rng(0).choice(len(at), most, replace=False))]
    decided = pc.is_in(cases["case_id"], pa.array(list(labels), pa.string())).to_numpy()
    others = at[decided[at] & ~np.isin(at, chosen)]
    return Drawn(cases.take(pa.array(np.concatenate([chosen, others]))), len(chosen))


def known_cases(cases: pa.Table, ids: Collection[str]) -> list[str]:
    """Those of `ids` that are among `cases`, in the order of the cases."""
    known = cases.filter(pc.is_in(cases["case_id"], pa.array(list(ids), pa.string())))
    found: list[str] = known["case_id"].to_pylist()
    return found


def learn(
    cases: pa.Table,
    labels: Mapping[str, bool],
    shop: Shop,
    policy: RiskPolicy,
    until: date,
    seed: int = 0,
    most: int = MOST_CASES,
) -> tuple[RiskModel, dict[str, float]]:
    """A model of RISK_CASE_SCHEMA rows, and its figures.

    Args:
        cases: of the days that the model learns from.
        labels: by case id whether people found it risky; cases without one are taken for ordinary traffic.
        shop: of the same days, for orders to come.
        policy: rules, budget and thresholds.
        until: last of the days.
        seed: of all that is random in the models.
        most: cases of a kind without a label that are looked at; of more of them, so many are `drawn`.

    Raises:
        NoCasesError: there are no cases.
    """
    if cases.num_rows == 0:
        raise NoCasesError(f"there are no risk_cases up to {until}: nobody came, or they are not materialized")
    kinds: dict[Kind, KindModel] = {}
    metrics: dict[str, float] = {}
    for kind in Kind:
        of_kind = drawn(cases, kind, labels, most)
        kinds[kind], figures = _learn_kind(kind, of_kind, labels, policy, until, seed)
        metrics |= {f"{kind}/{name}": value for name, value in figures.items()}
    return RiskModel("unpublished", policy, shop, kinds), metrics


def write_risk_model(
    model: RiskModel,
    metrics: Mapping[str, float],
    cases: pa.Table,
    labels: Mapping[str, bool],
    until: date,
    root: Path,
    *,
    decided_until: datetime | None = None,
) -> Path:
    """Write what `learn` gave for `cases` and `labels` below `root` (`Settings.applications`); the folder.

    Equal input has one folder, which is written once.
    """
    looked_at = [drawn(cases, kind, labels).rows for kind in Kind]
    fingerprint = fingerprint_of(
        FORMAT,
        str(decided_until),
        model.policy.model_dump_json(),
        model.shop.model_dump_json(),
        orjson.dumps({each: labels[each] for each in known_cases(cases, labels)}),
        *map(content_of, looked_at),
    )
    done = artifact_folder(root, RISK_MODEL, until, fingerprint)
    if done is not None:
        return done
    with new_artifact(root, RISK_MODEL, until, fingerprint) as draft:
        _write(model, draft.folder)
        learned = {"decided_until": decided_until.isoformat() if decided_until else None}
        (draft.folder / LEARNED_FILE).write_bytes(orjson.dumps(learned))
        draft.metrics |= metrics
        for kind, of_kind in model.kinds.items():
            usual = dict(zip(of_kind.record.features, of_kind.record.usual, strict=True))
            for values in (usual, {}, *(probe.values for probe in probes() if probe.kind is kind)):
                request = {"kind": kind.value, "values": dict(values)}
                draft.golden.append((request, model.golden_answer(request)))
    folder = artifact_folder(root, RISK_MODEL, until, fingerprint)
    assert folder is not None  # noqa: S101 - written just now
    return folder


def threshold(scores: Floats, budget: float, block_at: float) -> float:
    """The lowest score such that at most a share `budget` of `scores` lies from it up to `block_at`.

    Equal scores are flagged together or not at all, so that the budget is never passed.
    """
    most = int(np.floor(budget * len(scores)))
    falling = np.sort(scores[scores < block_at])[::-1]
    if most >= len(falling):
        return 0.0 if len(falling) else block_at
    kept_out = falling[most]
    above = falling[falling > kept_out]
    return float(above[-1]) if len(above) else min(float(np.nextafter(kept_out, 2.0)), block_at)


def out_of_fold(
    matrix: npt.NDArray[np.float32], wanted: npt.NDArray[np.bool_], groups: Sequence[str], weights: Floats, seed: int
) -> Floats:
    """What supervised models say of rows that they did not learn from, a group in one fold; NaN where none could be."""
    names = sorted(set(groups))
    fold_of = dict(zip(names, np.random.default_rng(seed).permutation(len(names)) % _FOLDS, strict=True))
    folds = np.array([fold_of[group] for group in groups])
    found = np.full(len(wanted), np.nan)
    for fold in range(_FOLDS):
        inside = folds != fold
        if inside.all() or wanted[inside].all() or not wanted[inside].any():
            continue
        trees, bias = grow_boosting(matrix[inside], wanted[inside], weights[inside], seed)
        found[~inside] = 1.0 / (1.0 + np.exp(-(bias + trees.sums(matrix[~inside]))))
    return found


def _learn_kind(
    kind: Kind, of_kind: Drawn, labels: Mapping[str, bool], policy: RiskPolicy, until: date, seed: int
) -> tuple[KindModel, dict[str, float]]:
    names = features_of(kind, modelled=True)
    rows, even = of_kind.rows, slice(of_kind.count)
    cases = values_of(rows, features_of(kind))
    usual = tuple(_median([case[name] for case in cases[even] if name in case]) for name in names)
    record = KindRecord(features=names, usual=usual, sample=0, bias=0.0, labels=0, review_at=1.0)
    model = KindModel(record, None, np.zeros(0), None)
    matrix = model.rows(cases)
    metrics = {"cases": float(of_kind.count)}
    if of_kind.count >= LEAST_ROWS:
        forest = grow_forest(matrix[even], seed)
        sample = min(256, of_kind.count)
        ordinary = np.sort(anomaly(forest, matrix[even], sample))
        if len(ordinary) > MOST_ORDINARY:
            ordinary = np.quantile(ordinary, np.linspace(0, 1, MOST_ORDINARY))
        model = KindModel(record.model_copy(update={"sample": sample}), forest, ordinary, None)
    weights = [[rule.strength(case) for rule in fired(policy.rules_for(kind), case)] for case in cases]
    surprise = model.surprise(matrix)
    before = np.array([fused(w, float(s), None, 0, policy) for w, s in zip(weights, surprise, strict=True)])
    decided = np.array([labels.get(case, None) is not None for case in rows["case_id"].to_pylist()], dtype=bool)
    if decided.any():
        model, figures = _with_labels(model, rows, matrix, before, decided, labels, policy, seed)
        metrics |= figures
    taught = model.probability(matrix)
    scores = (
        before
        if taught is None
        else np.array(
            [
                fused(w, float(s), float(t), model.record.labels, policy)
                for w, s, t in zip(weights, surprise, taught, strict=True)
            ]
        )
    )
    scores = scores[even]
    recent = _recent(of_kind.even, until, policy.recent_days)
    newest = scores[recent] if recent.any() else scores
    review_at = threshold(newest, policy.alert_budget.of(kind), policy.block_at)
    metrics["review_at"] = review_at
    return KindModel(
        model.record.model_copy(update={"review_at": review_at}), model.forest, model.ordinary, model.boosting
    ), metrics


def _with_labels(
    model: KindModel,
    rows: pa.Table,
    matrix: npt.NDArray[np.float32],
    before: Floats,
    decided: npt.NDArray[np.bool_],
    labels: Mapping[str, bool],
    policy: RiskPolicy,
    seed: int,
) -> tuple[KindModel, dict[str, float]]:
    """The model with what labels teach, where each side has enough of them.

    People decide about what was flagged, so that labels alone would teach nothing of ordinary traffic: a sample of it,
    of cases nobody was asked about, stands beside them as not risky, together with the weight of the dismissed ones.
    """
    ids = rows["case_id"].to_pylist()
    at = np.flatnonzero(decided)
    risky = np.array([labels[ids[each]] for each in at], dtype=bool)
    metrics = {"confirmed": float(risky.sum()), "dismissed": float((~risky).sum())}
    if min(risky.sum(), (~risky).sum()) < policy.least_labels:
        return model, metrics
    random = np.random.default_rng(seed)
    # The upper scores were in the queue, or nearly: of those that nobody decided about nothing is known.
    others = np.flatnonzero(~decided & (before < np.quantile(before, 0.9)))
    background = random.permutation(others)[: _BACKGROUND * len(at)]
    chosen = np.concatenate([at, background])
    wanted = np.concatenate([risky, np.zeros(len(background), dtype=bool)])
    weights = np.ones(len(chosen))
    if len(background):
        weights[len(at) :] = (~risky).sum() / len(background)
    shoppers = rows["shopper_id"].to_pylist()
    apart = out_of_fold(matrix[chosen], wanted, [shoppers[each] for each in chosen], weights, seed)[: len(at)]
    known = ~np.isnan(apart)
    if known.any() and risky[known].any() and not risky[known].all():
        metrics |= {
            "labelled_auc": roc_auc(risky[known], apart[known]),
            "labelled_auc_without_labels": roc_auc(risky[known], before[at][known]),
        }
    trees, bias = grow_boosting(matrix[chosen], wanted, weights, seed)
    record = model.record.model_copy(update={"bias": bias, "labels": len(at)})
    return KindModel(record, model.forest, model.ordinary, trees), metrics


def _of_kind(cases: pa.Table, kind: Kind) -> npt.NDArray[np.int64]:
    """Where the cases of `kind` are; of shoppers the newest session of each stands for its shopper."""
    wanted = Kind.ORDER if kind is Kind.ORDER else Kind.SESSION
    at = np.flatnonzero(pc.equal(cases["kind"], wanted.value).to_numpy())
    if kind is not Kind.SHOPPER:
        return at
    started = cases["started_at"].cast(pa.int64()).to_numpy()[at]
    newest_first = at[np.argsort(-started, kind="stable")]
    shoppers = cases["shopper_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, first = np.unique(shoppers[newest_first], return_index=True)
    return newest_first[np.sort(first)]


def _recent(rows: pa.Table, until: date, days: int) -> npt.NDArray[np.bool_]:
    since = until - timedelta(days=days - 1)
    return np.array([moment.date() >= since for moment in rows["started_at"].to_pylist()], dtype=bool)


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else 0.0


def _write(model: RiskModel, folder: Path) -> None:
    from safetensors.numpy import save_file

    arrays: dict[str, npt.NDArray[Any]] = {}
    for kind, of_kind in model.kinds.items():
        arrays[f"{kind}.ordinary"] = np.ascontiguousarray(of_kind.ordinary)
        if of_kind.forest is not None:
            arrays |= of_kind.forest.arrays(f"{kind}.forest")
        if of_kind.boosting is not None:
            arrays |= of_kind.boosting.arrays(f"{kind}.boosting")
    save_file(arrays, folder / TREES_FILE)
    (folder / POLICY_FILE).write_text(model.policy.model_dump_json(indent=2), encoding="utf-8")
    (folder / SHOP_FILE).write_text(model.shop.model_dump_json(indent=2), encoding="utf-8")
    records = {kind.value: of_kind.record.model_dump(mode="json") for kind, of_kind in model.kinds.items()}
    (folder / KINDS_FILE).write_bytes(orjson.dumps(records, option=orjson.OPT_INDENT_2))
