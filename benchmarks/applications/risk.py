"""Risk control: bots and fraud of the simulator, and which orders of Online Retail are cancelled.

Rules, weights and settings were chosen on the simulated shops CHOSEN_ON and on the months of Online Retail before
TEST_FROM; what is printed comes from other shops and later months.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, timedelta
from functools import cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.applications.lines import Line
from intent_tracking.applications.risk.cases import risk_cases, values_of
from intent_tracking.applications.risk.features import Kind, features_of
from intent_tracking.applications.risk.model import Decision, RiskModel
from intent_tracking.applications.risk.policy import shipped_policy
from intent_tracking.applications.risk.shop import Shop
from intent_tracking.applications.risk.training import learn
from intent_tracking.datasets.folders import DataFolders
from intent_tracking.events.contract import Event, SourcePosition, events_to_table
from intent_tracking.events.simulator import FaultRates, SimulationConfig, simulate_day, stream_day
from intent_tracking.events.simulator import Shop as SimulatedShop
from intent_tracking.features.batch import user_feature_snapshot
from intent_tracking.sessions.sessionise import sessionise

CHOSEN_ON = (1, 2)
TESTED_ON = (11, 12, 13)
SESSIONS_A_DAY = 400
WARM_UP, TRAINED, TESTED = 5, 14, 9
FALSE_POSITIVES = 0.01


@dataclass(frozen=True)
class SimulatedCases:
    """The session cases of one simulated shop by day, and which of them are bots or fraud."""

    days: tuple[tuple[date, pa.Table], ...]
    bots: frozenset[str]
    frauds: frozenset[str]
    events: pa.Table


@cache
def simulated(seed: int) -> SimulatedCases:
    """A shop with bots and fraud at the simulator's default rates; its log has no faults, so that truth joins by id."""
    days = WARM_UP + TRAINED + TESTED
    faultless = FaultRates(**{each.name: 0.0 for each in fields(FaultRates)})
    config = SimulationConfig(days=days, sessions_per_day=SESSIONS_A_DAY, seed=seed, faults=faultless)
    shop = SimulatedShop(config)
    logs: list[pa.Table] = []
    bots: set[str] = set()
    frauds: set[str] = set()
    for day in range(days + 1):
        events = (Event.model_validate(each) for each in stream_day(config, day, shop))
        logs.append(events_to_table((event, SourcePosition()) for event in events))
        for row in simulate_day(config, day, shop).truth:
            if row["kind"] == "session":
                bots |= {f"session:{row['session']}"} if row["bot"] else set()
                frauds |= {f"session:{row['session']}"} if row["fraud"] else set()
    found = []
    for day in range(WARM_UP, days):
        at = config.date_of(day)
        sessions = sessionise(pa.concat_tables(logs[day - 1 : day + 2]), at)
        known = user_feature_snapshot(pa.concat_tables(logs[max(0, day - 30) : day]), at - timedelta(days=1))
        found.append((at, risk_cases(sessions, pa.concat_tables(logs[max(0, day - 30) : day + 2]), known, at)))
    return SimulatedCases(tuple(found), frozenset(bots), frozenset(frauds), pa.concat_tables(logs[:-TESTED]))


def simulated_scores(seed: int, *, with_labels: bool) -> tuple[npt.NDArray[np.float64], list[str], float]:
    """Scores and ids of the test days' sessions, and the share of ordinary ones that the calibrated threshold flags.

    With labels: people decided, rightly, about what the model without labels would have queued on the training days.
    """
    shop = simulated(seed)
    policy = shipped_policy()
    trained = pa.concat_tables([table for _, table in shop.days[:TRAINED]])
    until = shop.days[TRAINED - 1][0]
    learned = Shop.learned(shop.events)
    model, _ = learn(trained, {}, learned, policy, until, seed)
    if with_labels:
        model, _ = learn(trained, _decided(model, trained, shop), learned, policy, until, seed)
    tested = pa.concat_tables([table for _, table in shop.days[TRAINED:]])
    tested = tested.filter(pc.equal(tested["kind"], Kind.SESSION.value))
    said = model.assess_many(Kind.SESSION, values_of(tested, features_of(Kind.SESSION)))
    ids = tested["case_id"].to_pylist()
    risky = shop.bots | shop.frauds
    flagged = [each.decision is not Decision.ALLOW for each, case in zip(said, ids, strict=True) if case not in risky]
    return np.array([each.score for each in said]), ids, float(np.mean(flagged))


def _decided(model: RiskModel, cases: pa.Table, shop: SimulatedCases) -> dict[str, bool]:
    rows = cases.filter(pc.equal(cases["kind"], Kind.SESSION.value))
    said = model.assess_many(Kind.SESSION, values_of(rows, features_of(Kind.SESSION)))
    queued = [
        case
        for case, each in zip(rows["case_id"].to_pylist(), said, strict=True)
        if each.decision is not Decision.ALLOW
    ]
    return {case: case in shop.bots | shop.frauds for case in queued}


def recall_at(scores: npt.NDArray[np.float64], wanted: Sequence[bool], others: Sequence[bool], share: float) -> float:
    """Share of the wanted that score above all but `share` of the others."""
    falling = np.sort(scores[np.asarray(others)])[::-1]
    bar = falling[int(np.floor(share * len(falling)))]
    return float((scores[np.asarray(wanted)] > bar).mean())


def simulated_lines(seeds: Sequence[int] = TESTED_ON) -> Iterator[Line]:
    """Recall of bots and fraud at 1% false positives over the test days of `seeds`, each threshold of its own shop."""
    for with_labels in (False, True):
        recalls: dict[str, list[tuple[float, int]]] = {"bots and fraud": [], "bots": [], "fraud": []}
        flagged = []
        for seed in seeds:
            shop = simulated(seed)
            scores, ids, share = simulated_scores(seed, with_labels=with_labels)
            flagged.append(share)
            risky = {"bots and fraud": shop.bots | shop.frauds, "bots": shop.bots, "fraud": shop.frauds}
            others = [case not in risky["bots and fraud"] for case in ids]
            for name, those in risky.items():
                wanted = [case in those for case in ids]
                recalls[name].append((recall_at(scores, wanted, others, FALSE_POSITIVES), sum(wanted)))
        how = "rules, forest and decisions of a queue" if with_labels else "rules and forest, no labels"
        for name, found in recalls.items():
            count = sum(number for _, number in found)
            yield Line(
                f"simulator: recall of {name} at 1% false positives, {how}",
                sum(recall * number for recall, number in found) / count,
                target=0.9,
                note=f"{count} sessions of seeds {', '.join(map(str, seeds))}; the calibrated threshold flags "
                f"{np.mean(flagged):.2%} of ordinary sessions",
            )


def run(data: DataFolders) -> list[Line]:
    """Both."""
    return list(simulated_lines())
