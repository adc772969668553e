"""One shopper at this moment: what the applications ask about before they answer."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import UTC, datetime

from bentos.intent_service.features import ShopperFeatures
from bentos.intent_service.inference import Inference
from bentos.intent_service.tracking import Tracker
from intent_tracking.features.derived import DerivedView
from intent_tracking.features.online import DerivedRow, OnlineRow, OnlineViews
from intent_tracking.inference import Features, Prediction
from intent_tracking.sessions.render import render_session
from intent_tracking.sessions.state import LiveSession
from intent_tracking.sessions.vocabulary import SESSION_GAP
from intent_tracking.settings import Settings


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


class Shoppers:
    """Finds what is known of a shopper, in threads that may wait for storage."""

    def __init__(
        self,
        settings: Settings,
        tracker: Tracker,
        features: ShopperFeatures,
        inference: Inference,
        storage: Executor,
    ) -> None:
        self._tracker = tracker
        self._features = features
        self._inference = inference
        self._storage = storage
        self._views = OnlineViews(settings.feast / "online.db")
        # Archived traffic has a clock of its own, by which none of its sessions is over.
        self._live = not settings.trust_received_time

    def close(self) -> None:
        """Close the files."""
        self._views.close()

    async def now(self, session_id: str | None, user_id: str | None) -> Shopper:
        """Who is asked about, and what the live model says of the session under way.

        Without `session_id` that is the newest session of the user, if it is not over. A session that nobody knows is
        none: it may be about to begin.

        Raises:
            OSError: the session state cannot be read.
        """
        loop = asyncio.get_running_loop()
        session, shopper_id, features = await loop.run_in_executor(self._storage, self._look_up, session_id, user_id)
        if session is None:
            return Shopper(shopper_id, None, None, features)
        entry = render_session(session.events[-1].scene, session.events, clean_already=True)
        answered = await self._inference.predict([entry], [features])
        return Shopper(shopper_id, session, answered.predictions[0] if answered else None, features)

    async def derived(self, view: DerivedView, key: str) -> DerivedRow | None:
        """What the application behind `view` said of `key` last; None where nothing is stored. A stale row says so.

        Raises:
            sqlite3.Error: the online store cannot be read.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._storage, self._views.read, view, key, datetime.now(UTC))

    async def online_features(self, shopper_id: str) -> OnlineRow | None:
        """The features of one shopper, with what is missing or stale of them; None while no store is there.

        Raises:
            sqlite3.Error: the online store cannot be read.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._storage, self._features.row, shopper_id, datetime.now(UTC))

    def _look_up(
        self, session_id: str | None, user_id: str | None
    ) -> tuple[LiveSession | None, str | None, Features | None]:
        now = datetime.now(UTC)
        session = self._tracker.session(session_id) if session_id is not None else None
        if session_id is None and user_id is not None:
            session = self._tracker.latest_session(user_id)
            if session is not None and self._live and session.last_event_at < now - SESSION_GAP:
                session = None
        shopper_id = user_id if user_id is not None else session.shopper_id if session is not None else None
        if shopper_id is None:
            return session, None, None
        moment = session.last_event_at if session is not None else now
        return session, shopper_id, self._features.of([(shopper_id, moment)])[0]
