"""What is asked about now, judged: the order, the session, or else what is known of the shopper."""

from __future__ import annotations

from dataclasses import dataclass

from intent_tracking.applications.risk.features import (
    Kind,
    Order,
    Values,
    currencies_of,
    order_values,
    session_values,
    shopper_values,
)
from intent_tracking.applications.risk.model import Assessment, RiskModel
from intent_tracking.applications.risk.shop import complete
from intent_tracking.sessions.state import LiveSession


@dataclass(frozen=True)
class Asked:
    """What is known at this moment; None for what is not.

    Attributes:
        session: the session under way.
        shopper: features of `intent_tracking.features`.
        order: an order about to be placed.
    """

    session: LiveSession | None
    shopper: Values | None
    order: Order | None


def assess(model: RiskModel, asked: Asked) -> Assessment:
    """The worst of what can be judged: order and session; of a shopper without either, the last 30 days."""
    about = shopper_values(asked.shopper)
    session = asked.session
    during = session_values(session.events, session.event_count, session.started_at) if session is not None else {}
    currencies = currencies_of(session.events) if session is not None else frozenset()
    found = []
    if asked.order is not None:
        parts = {**during, **order_values(asked.order), **about}
        found.append(model.assess(Kind.ORDER, complete(model.shop, parts, asked.order, currencies)))
    if session is not None:
        found.append(model.assess(Kind.SESSION, complete(model.shop, {**during, **about}, currencies=currencies)))
    if not found:
        return model.assess(Kind.SHOPPER, about)
    worst = found[0]
    for each in found[1:]:
        worst = each if each.is_worse_than(worst) else worst
    return worst
