"""A new risk model, and whether it may take the place of the live one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from math import sqrt
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intent_tracking.applications.risk.cases import values_of
from intent_tracking.applications.risk.features import Kind, features_of
from intent_tracking.applications.risk.model import Decision, RiskModel
from intent_tracking.applications.risk.policy import RiskPolicy
from intent_tracking.applications.risk.probes import wrong_probes
from intent_tracking.applications.risk.review import ReviewDecision, labels_of
from intent_tracking.applications.risk.shop import Shop
from intent_tracking.applications.risk.training import drawn, known_cases, learn, write_risk_model
from intent_tracking.modeling.scores import roc_auc

# Fewer decided cases of a side say nothing about which of two models is better.
LEAST_DECIDED: Final = 10
# An area under the curve of some dozens of cases is not known better than this.
TOLERANCE: Final = 0.02


@dataclass(frozen=True)
class GateVerdict:
    """Whether the challenger may go live; `problems` say why not, `figures` are what was measured."""

    problems: tuple[str, ...]
    figures: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems


@dataclass(frozen=True)
class Challenge:
    """A new model's folder, None where the gate refused it: then nothing is written."""

    folder: Path | None
    verdict: GateVerdict
    metrics: Mapping[str, float]


def challenge(
    cases: pa.Table,
    decisions: Mapping[str, ReviewDecision],
    shop: Shop,
    policy: RiskPolicy,
    until: date,
    champion: RiskModel | None,
    root: Path,
) -> Challenge:
    """Learn a model of RISK_CASE_SCHEMA rows and of what people decided; write it where it passes.

    Raises:
        NoCasesError: there are no cases.
    """
    known = {case: decisions[case] for case in known_cases(cases, decisions)}
    since = champion.decided_until if champion is not None else None
    new = {case for case, each in known.items() if since is None or each.decided_at > since}
    labels = labels_of(known.values())
    model, metrics = learn(cases, labels, shop, policy, until)
    unlearned = model
    if champion is not None and len(new) >= 2 * LEAST_DECIDED:
        unlearned, _ = learn(
            cases, {case: risky for case, risky in labels.items() if case not in new}, shop, policy, until
        )
    decided = cases.filter(pc.is_in(cases["case_id"], pa.array(sorted(new), pa.string())))
    since_day = pa.scalar(datetime.combine(until - timedelta(days=policy.recent_days - 1), time.min, tzinfo=UTC))
    recent = {}
    for kind in Kind:
        rows = drawn(cases, kind).even
        recent[kind] = rows.filter(pc.greater_equal(rows["started_at"], since_day))
    verdict = judge(model, champion, recent, decided, labels, unlearned)
    newest = max((each.decided_at for each in known.values()), default=None)
    folder = None
    if verdict.passed:
        folder = write_risk_model(model, metrics, cases, labels, until, root, decided_until=newest)
    return Challenge(folder, verdict, metrics)


def judge(
    challenger: RiskModel,
    champion: RiskModel | None,
    recent: Mapping[Kind, pa.Table],
    decided: pa.Table,
    labels: Mapping[str, bool],
    unlearned: RiskModel,
) -> GateVerdict:
    """Hold `challenger` against what everybody knows, its shares of reviewed and of blocked, and the live model.

    Args:
        challenger: the model to be published.
        champion: the live one, if there is one.
        recent: by kind the RISK_CASE_SCHEMA rows of the days on which its thresholds were set, all or evenly drawn.
        decided: rows decided since the champion learned.
        labels: the decisions by case id.
        unlearned: the challenger learned once more without those decisions, which stands for it beside the champion:
            neither has seen them.
    """
    problems = [f"probe: {each}" for each in wrong_probes(challenger)]
    figures: dict[str, float] = {}
    for kind, rows in recent.items():
        shares = decision_shares(challenger, kind, rows)
        reviewed, blocked = shares[Decision.REVIEW], shares[Decision.BLOCK]
        budget, most = challenger.policy.alert_budget.of(kind), challenger.policy.most_blocked.of(kind)
        figures |= {f"{kind}/alert_share": reviewed, f"{kind}/blocked_share": blocked}
        if challenger.policy.review_at is None and reviewed > budget + 1e-9:
            problems.append(f"{kind}: {reviewed:.2%} of recent cases would be reviewed, the budget is {budget:.2%}")
        if is_above(blocked, most, rows.num_rows):
            problems.append(
                f"{kind}: {blocked:.2%} of recent cases would be blocked, most_blocked is {most:.2%}: look at the "
                "rules; where so many are robots, raise it"
            )
    for kind in (Kind.SESSION, Kind.ORDER):
        rows = decided.filter(pc.equal(decided["kind"], kind.value))
        risky = np.array([labels[each] for each in rows["case_id"].to_pylist()], dtype=bool)
        if champion is None or min(risky.sum(), (~risky).sum()) < LEAST_DECIDED:
            continue
        theirs, ours = (roc_auc(risky, _scores(model, rows, kind)) for model in (champion, unlearned))
        figures |= {f"{kind}/champion_auc": theirs, f"{kind}/challenger_auc": ours}
        if ours < theirs - TOLERANCE:
            problems.append(
                f"{kind}: on {len(risky)} newly decided cases the live model has an area of {theirs:.3f} under the "
                f"curve, this one {ours:.3f}"
            )
    return GateVerdict(tuple(problems), figures)


def decision_shares(model: RiskModel, kind: Kind, rows: pa.Table) -> dict[Decision, float]:
    """The share of each decision among `rows`, cases of `kind`; 0 without any."""
    said = [each.decision for each in model.assess_many(kind, values_of(rows, features_of(kind)))]
    return {decision: said.count(decision) / max(1, len(said)) for decision in Decision}


def is_above(share: float, most: float, cases: int) -> bool:
    """Whether `share` of so many cases is above `most` by more than chance brings: three standard errors and one case.

    The one case is for few of them, of which the first that is risky would be too many.
    """
    return cases > 0 and share > most + 3 * sqrt(most * (1 - most) / cases) + 1 / cases


def _scores(model: RiskModel, rows: pa.Table, kind: Kind) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([each.score for each in model.assess_many(kind, values_of(rows, features_of(kind)))])
