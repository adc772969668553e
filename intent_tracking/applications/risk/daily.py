"""Risk control over the tables of one home: what the daily job calls."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date, timedelta

from intent_tracking.applications.artifacts import RISK_MODEL, newest_artifact
from intent_tracking.applications.risk.cases import RISK_CASE_SCHEMA, orders_of, read_cases
from intent_tracking.applications.risk.gate import Challenge, challenge
from intent_tracking.applications.risk.model import RiskModel
from intent_tracking.applications.risk.policy import load_policy
from intent_tracking.applications.risk.review import (
    QUEUE_COLUMNS,
    RISK_SCORE_SCHEMA,
    counted,
    queue,
    read_decisions,
)
from intent_tracking.applications.risk.shop import READ, Shop
from intent_tracking.artifact import ArtifactError
from intent_tracking.events.contract import EVENT_SCHEMA
from intent_tracking.release import component_directory, read_release
from intent_tracking.settings import Settings
from intent_tracking.tables import DayTable

logger = logging.getLogger(__name__)

SHOP_DAYS = 30


def learned_until(settings: Settings, until: date) -> Challenge:
    """The risk model of the weeks up to `until`, held against the live one.

    Raises:
        NoCasesError: there are no cases.
        ValueError: the policy or a decision cannot be read.
    """
    policy = load_policy(settings.home)
    days = [until - timedelta(days=back) for back in reversed(range(policy.train_days))]
    cases = read_cases(DayTable(settings.tables, "risk_cases", RISK_CASE_SCHEMA), days)
    shop_days = [until - timedelta(days=back) for back in reversed(range(SHOP_DAYS))]
    events = DayTable(settings.tables, "validated_events", EVENT_SCHEMA)
    return challenge(
        cases,
        read_decisions(settings.annotations),
        Shop.learned(orders_of(events, shop_days, READ)),
        policy,
        until,
        to_beat(settings),
        settings.applications,
    )


def to_beat(settings: Settings) -> RiskModel | None:
    """The live model; None also where it is damaged or of an older form: no service serves it, and it must go."""
    try:
        return _released(settings)
    except ArtifactError as error:
        logger.warning("the new risk model is judged alone, the live one cannot be read: %s", error)
        return None


def live_model(settings: Settings) -> RiskModel | None:
    """What the release names; before there is one, the newest that passed its gate.

    Raises:
        ArtifactError: it is damaged.
    """
    newest = newest_artifact(settings.applications, RISK_MODEL)
    return _released(settings) or (RiskModel.load(newest) if newest is not None else None)


def queue_counts(settings: Settings) -> Mapping[str, int]:
    """Cases of the queue by state; they sum to `queued`.

    Of twice `expire_days`: those that can be open, and as many days of those that no longer can.
    """
    scores = DayTable(settings.tables, "risk_scores", RISK_SCORE_SCHEMA)
    policy = load_policy(settings.home)
    days = scores.days()
    newest = [day for day in days if day > days[-1] - timedelta(days=2 * policy.expire_days)]
    cases = queue(scores, newest, read_decisions(settings.annotations), policy.expire_days, QUEUE_COLUMNS)
    return {"queued": len(cases), **{state.value: count for state, count in counted(cases).items()}}


def _released(settings: Settings) -> RiskModel | None:
    release = read_release(settings.release_file)
    component = release.components.get(RISK_MODEL) if release is not None else None
    return RiskModel.load(component_directory(settings.release_file, component)) if component is not None else None
