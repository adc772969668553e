"""What the service says of itself: its release, its health, its figures and its document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bentos.intent_service.limits import MAX_TEXTS
from bentos.intent_service.runtime import Runtime
from intent_tracking.release import publish
from intent_tracking.settings import Settings
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.service_client import client_of, error, logged, message

pytestmark = pytest.mark.unit


def test_without_a_release_events_are_kept_and_questions_get_a_clear_503(tmp_path: Path) -> None:
    running = Runtime(Settings(home=tmp_path), FakePredictor.load)
    running.start()
    client = client_of(running)
    try:
        assert client.get("/livez").status_code == 200
        assert "released" in error(client.get("/readyz"), 503, "no_model")["message"]
        error(client.post("/v1/intent", json={"texts": ["hello"]}), 503, "no_model")
        error(client.get("/v1/release"), 503, "no_model")
        body = client.post("/v1/track", json={"events": [message(1)]}).json()
        assert (body["accepted"], body["sessions"], body["model_version"]) == (1, [], None)
        assert len(logged(tmp_path)) == 1
    finally:
        running.close()


def test_a_refused_first_release_says_why_in_readyz(tmp_path: Path) -> None:
    publish(tmp_path / "release.json", {"intent_model": fake_artifact(tmp_path, "m", differences=["line 1"])}, "first")
    running = Runtime(Settings(home=tmp_path), FakePredictor.load)
    running.start()
    try:
        assert "line 1" in error(client_of(running).get("/readyz"), 503, "no_model")["message"]
        assert client_of(running).get("/v1/release").headers["intent-refused-release"] == "1"
    finally:
        running.close()


def test_release_names_what_is_served(client: TestClient) -> None:
    body = client.get("/v1/release").json()
    assert (body["number"], body["model_version"], body["refused"]) == (1, "m1", None)
    assert set(body["components"]["intent_model"]) == {"version", "manifest_sha256"}


def test_health_and_figures(client: TestClient) -> None:
    client.post("/v1/intent", json={"texts": ["red shoes"]})
    client.get("/v1/made-up-path")
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 200
    figures = client.get("/metrics").text
    assert 'intent_predictions_total{intent="intent-of-m1",kind="intent"} 1.0' in figures
    assert 'intent_http_requests_total{route="other",status="404"} 1.0' in figures
    assert "intent_release_number 1.0" in figures
    assert "made-up-path" not in figures


def test_the_document_describes_every_route_and_only_what_exists(client: TestClient) -> None:
    document = client.get("/docs.json").json()
    assert set(document["paths"]) == {
        *("/v1/track", "/v1/intent", "/v1/explain", "/v1/erase", "/v1/release"),
        *("/livez", "/readyz", "/metrics", "/snippet.js"),
        *("/v1/answer", "/v1/profile", "/v1/recommend", "/v1/risk"),
    }
    text = json.dumps(document)
    schemas = document["components"]["schemas"]
    for reference in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert reference in schemas
    assert schemas["IntentRequest"]["properties"]["texts"]["maxItems"] == MAX_TEXTS
