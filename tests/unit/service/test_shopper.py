"""Who an application is asked about: the session that is named, or the one of the user that is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bentos.intent_service.errors import RequestError
from bentos.intent_service.runtime import Runtime
from intent_tracking.applications.artifacts import ITEM_INDEX
from intent_tracking.release import publish
from intent_tracking.settings import Settings
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.service_client import message

pytestmark = pytest.mark.unit


class NeverLoaded:
    """An application that nobody releases."""

    version = "none"

    def replay_golden(self) -> list[str]:
        return []


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    settings = Settings(home=tmp_path)
    publish(settings.release_file, {"intent_model": fake_artifact(tmp_path, "a")}, "first")
    runtime = Runtime(settings, FakePredictor.load)
    runtime.start()
    yield runtime
    runtime.close()


def of_user(number: int, user: str, *, minutes_ago: int) -> dict[str, object]:
    document = message(number)
    del document["anonymous_id"]
    # The clock that decides whether a session is over goes on while other tests run.
    moment = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    return document | {"user_id": user, "event_time": moment.isoformat()}


def test_the_session_under_way_is_found_by_its_user(runtime: Runtime) -> None:
    answer = asyncio.run(runtime.track([of_user(1, "u1", minutes_ago=5)]))
    by_user = asyncio.run(runtime.shoppers.now(None, "u1"))
    by_session = asyncio.run(runtime.shoppers.now(answer.sessions[0].session_id, None))
    assert by_user.session is not None
    assert by_user.session == by_session.session
    assert (by_user.shopper_id, by_user.session.session_id) == ("u1", answer.sessions[0].session_id)
    assert by_user.prediction is not None
    assert by_user.prediction.intents[0].name == "intent-of-a"


def test_a_session_that_is_over_is_none_unless_it_is_named(runtime: Runtime) -> None:
    answer = asyncio.run(runtime.track([of_user(1, "u1", minutes_ago=50)]))
    assert asyncio.run(runtime.shoppers.now(None, "u1")).session is None
    assert asyncio.run(runtime.shoppers.now(answer.sessions[0].session_id, "u1")).session is not None


def test_a_stranger_has_no_session(runtime: Runtime) -> None:
    stranger = asyncio.run(runtime.shoppers.now("s-nobody", None))
    assert (stranger.shopper_id, stranger.session, stranger.prediction) == (None, None, None)
    assert asyncio.run(runtime.shoppers.now(None, "u9")).shopper_id == "u9"


def test_an_application_that_is_not_released_says_what_to_do(runtime: Runtime) -> None:
    with pytest.raises(RequestError, match="no item_index is released yet: materialize item_index"):
        runtime.application(ITEM_INDEX, NeverLoaded)
