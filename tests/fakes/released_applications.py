"""The smallest artifact of each application, for tests that ask a route and not how good its answer is."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Final

from intent_tracking.applications.artifacts import RISK_MODEL
from intent_tracking.applications.risk.policy import shipped_policy
from intent_tracking.applications.risk.shop import Shop
from intent_tracking.applications.risk.training import learn, write_risk_model
from intent_tracking.release import Component
from intent_tracking.settings import Settings
from tests.fakes.risk_cases import made_up_cases

UNTIL: Final = date(2026, 3, 8)


def released_applications(home: Path) -> dict[str, Component]:
    """Components for a release file of `home`."""
    root = Settings(home=home).applications
    return {RISK_MODEL: Component.of(_risk_model(root))}


def _risk_model(root: Path) -> Path:
    """Rules alone: of so few cases no forest is grown."""
    cases = made_up_cases(sessions=40)
    model, metrics = learn(cases, {}, Shop(usual_amount={"EUR": 50.0}), shipped_policy(), UNTIL)
    return write_risk_model(model, metrics, cases, {}, UNTIL, root)
