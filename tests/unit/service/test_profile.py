"""`/v1/profile`: a stored segment and the features online, with what they were read from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from bentos.intent_service.applications.loaders import LOADERS
from bentos.intent_service.runtime import Runtime
from intent_tracking.applications.artifacts import USER_SEGMENTS
from intent_tracking.applications.profiles.building import day_rows, fit_segments, write_segments
from intent_tracking.applications.profiles.segments import Segments
from intent_tracking.client.answers import Profile, decode
from intent_tracking.features.catalogue import TTL, USER_FEATURES
from intent_tracking.features.derived import USER_SEGMENT
from intent_tracking.features.schema import views
from intent_tracking.release import Component, publish
from intent_tracking.settings import Settings
from tests.fakes.online_store import put_online
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.service_client import client_of, error
from tests.fakes.shopper_groups import DAY, shop, small_rules

pytestmark = pytest.mark.unit

NOW = datetime.now(UTC).replace(microsecond=0)
BUYER = "buyer-000"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop whose segments are live, and a buyer and a guest of whom they are stored."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    features, tokens = shop()
    fitted = fit_segments(features, tokens, small_rules(), DAY)
    folder = write_segments(settings.applications, fitted, features, tokens, small_rules(), DAY)
    segments = Component.of(folder)
    publish(settings.release_file, {"intent_model": fake_artifact(home, "m1"), USER_SEGMENTS: segments}, "first")
    rows = day_rows(Segments.load(folder), features, tokens, DAY).to_pylist()
    stored = {name: rows[50][name] for name in (field.name for field in USER_SEGMENT.fields)}
    assert rows[50]["shopper_id"] == BUYER
    online = settings.feast / "online.db"
    put_online(online, USER_SEGMENT.name, BUYER, stored, NOW - timedelta(hours=20))
    put_online(online, USER_SEGMENT.name, "anonymous:old", stored, NOW - TTL - timedelta(hours=1))
    put_online(online, USER_SEGMENT.name, "left", stored | {"segment": "long-gone"}, NOW)
    own = features.to_pylist()[50]
    for view, of_view in views(USER_FEATURES).items():
        put_online(online, view, BUYER, {feature.name: own[feature.name] for feature in of_view}, NOW)
    return home


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    runtime = Runtime(Settings(home=home), FakePredictor.load)
    runtime.start()
    yield client_of(runtime)
    runtime.close()


def profile(client: TestClient, user_id: str) -> dict[str, Any]:
    answer = client.post("/v1/profile", json={"user_id": user_id})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_profile_says_who_it_is_and_what_it_was_read_from(client: TestClient, home: Path) -> None:
    found = profile(client, BUYER)
    assert {"segment", "traits", "features", "as_of"} <= set(found)
    segments = LOADERS[USER_SEGMENTS](next((home / "applications" / USER_SEGMENTS).glob("[!.]*")))
    assert isinstance(segments, Segments)
    assert found["name"] == segments.name_of(found["segment"])
    assert datetime.fromisoformat(found["as_of"]) == NOW - timedelta(hours=20)
    assert found["stale"] == []
    assert set(found["features"]) == {feature.name for feature in USER_FEATURES}
    spend = found["traits"]["user_spend_30d"]
    assert spend["level"] == "high"
    assert spend["words"] == {"en": "spends a lot", "zh": "消费金额高"}
    assert spend["value"] == pytest.approx(found["features"]["user_spend_30d"], abs=1e-4)
    assert spend["value"] > spend["typical"] >= 0
    assert spend["percentile"] > 70
    assert spend["source"] == "user_features.user_spend_30d"
    shoes = found["traits"]["category:shoes"]
    assert (shoes["level"], shoes["words"]["en"], shoes["percentile"]) == ("likes", "likes shoes", None)


def test_what_is_stale_is_said_to_be_and_what_is_missing_is_null(client: TestClient) -> None:
    found = profile(client, "anonymous:old")
    assert found["stale"] == ["segment"]
    assert set(found["features"].values()) == {None}
    assert found["traits"]


def test_a_segment_that_the_live_version_never_had_is_called_by_its_id(client: TestClient) -> None:
    assert profile(client, "left")["name"] == {"en": "long-gone", "zh": "long-gone"}


def test_a_shopper_without_a_profile_is_not_found(client: TestClient) -> None:
    found = error(client.post("/v1/profile", json={"user_id": "nobody"}), 404, "not_found")
    assert found["field"] == "user_id"
    assert "once a day" in found["message"]


def test_a_request_of_another_form_is_refused(client: TestClient) -> None:
    for body in ({}, {"user_id": ""}, {"user_id": 7}, {"user_id": "u", "session_id": "s"}):
        error(client.post("/v1/profile", json=body), 422, "invalid_request")


def test_the_client_reads_every_field(client: TestClient) -> None:
    answer = profile(client, BUYER)
    found = decode(Profile, answer)
    assert {field.name for field in fields(Profile)} == set(answer)
    assert found.traits["user_spend_30d"].words.zh == "消费金额高"
    assert found.as_of == NOW - timedelta(hours=20)
