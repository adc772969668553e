"""One shopper at this moment: what the applications ask about before they answer."""

from __future__ import annotations

from dataclasses import dataclass

from intent_tracking.inference import Features, Prediction
from intent_tracking.sessions.state import LiveSession


@dataclass(frozen=True)
class Shopper:
    """What is known of a shopper now.

    Attributes:
        shopper_id: key of features and tables; None where neither a user nor a known session is given.
        session: the session that was named, or the one under way; None where there is none.
        prediction: what the live model says of the session; None without a session.
        features: long-window features; None where no store is there.
    """

    shopper_id: str | None
    session: LiveSession | None
    prediction: Prediction | None
    features: Features | None
