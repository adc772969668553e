"""How much of a stored session a training example may see: what the service would have seen at a random moment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from intent_tracking.events.contract import EventName

OUTCOME_EVENTS = frozenset({EventName.PURCHASE.value, EventName.REFUND.value})


def shopper_seen(session: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    """Whom the service took for the shopper when `event` was the newest of the session: before a login the visitor.

    An example with the features of a user who had not yet logged in would tell the model that a login follows.

    Args:
        session: a row of SESSION_SCHEMA.
        event: one of its events.
    """
    visitor: str | None = event["visitor_id"]
    shopper: str = session["shopper_id"]
    return shopper if visitor is None else visitor


def observation_cutoff(session: Mapping[str, Any], seed: int = 0) -> int:
    """The number of events, from the first, that are visible: uniformly random among the moments before the outcome.

    The outcome is the first purchase or refund; the cut lies strictly before it, so nothing after a purchase ever
    stands in the input of a purchase label. The steps of the checkout before it may be visible: the service sees them
    too, and a label that is easy then is easy live. A session without an outcome is cut anywhere, its last event
    included. The moment depends on `session_id` and `seed` alone: made again, a session is cut at the same place.

    Args:
        session: a row of SESSION_SCHEMA.
        seed: another seed gives another cut of the same session.

    Returns:
        1 to the number of events; 0 for a session that begins with its outcome, of which nothing may be seen.
    """
    events = session["events"]
    limit = next((place for place, event in enumerate(events) if event["event_name"] in OUTCOME_EVENTS), len(events))
    if limit == 0:
        return 0
    digest = hashlib.blake2b(f"{seed}:{session['session_id']}".encode(), digest_size=8).digest()
    return 1 + int.from_bytes(digest, "big") % limit
