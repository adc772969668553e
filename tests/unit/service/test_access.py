"""Who is answered: this machine without keys, whoever has a key with the scope of the operation with them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bentos.intent_service.app import OPERATIONS
from bentos.intent_service.runtime import Runtime
from intent_tracking.access.keys import Scope, create_key, revoke_key
from intent_tracking.access.ring import REFRESH_SECONDS
from intent_tracking.settings import Settings
from tests.fakes.service_client import client_of, error, logged, message

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "options",
    [
        {"client": ("192.0.2.7", 1)},
        {"client": ("::ffff:192.0.2.7", 1)},
        {"base_url": "http://shop.example:3000"},
        {"base_url": "http://192.0.2.1:3000"},
    ],
)
def test_without_keys_only_this_machine_is_answered(shared_runtime: Runtime, options: dict[str, Any]) -> None:
    client = client_of(shared_runtime, **options)
    assert "INTENT_API_KEYS" in error(client.post("/v1/intent", json={"texts": ["a"]}), 403, "loopback_only")["message"]
    error(client.get("/metrics"), 403, "loopback_only")
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("address", ["http://localhost:3000", "http://[::1]:3000"])
def test_this_machine_has_several_names(shared_runtime: Runtime, address: str) -> None:
    assert client_of(shared_runtime, base_url=address).get("/v1/release").status_code == 200


def test_a_socket_for_both_families_names_this_machine_in_its_own_way(shared_runtime: Runtime) -> None:
    assert client_of(shared_runtime, client=("::ffff:127.0.0.1", 1)).get("/v1/release").status_code == 200


def test_with_keys_any_machine_is_answered_that_has_one(shared_runtime: Runtime) -> None:
    client = client_of(shared_runtime, ("first", "second"), client=("192.0.2.7", 1), base_url="http://shop.example")
    body = {"texts": ["a"]}
    assert client.post("/v1/intent", json=body, headers={"authorization": "Bearer second"}).status_code == 200
    for given_key in (
        {},
        {"authorization": "Bearer third"},
        {"authorization": "second"},
        {"authorization": "Basic first"},
    ):
        answer = client.post("/v1/intent", json=body, headers=given_key)
        error(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_with_keys_this_machine_needs_one_too(shared_runtime: Runtime) -> None:
    error(client_of(shared_runtime, ("first",)).get("/v1/release"), 401, "unauthorized")


def _bearer(plain: str) -> dict[str, str]:
    return {"authorization": f"Bearer {plain}"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_is_open_to_its_scope_alone(shared_runtime: Runtime, tmp_path: Path, operation: Any) -> None:
    now = datetime.now(UTC)
    settings = Settings(home=tmp_path)
    keys = {scope: create_key(settings.key_file, [scope], scope, now=now)[0] for scope in Scope}
    client = client_of(shared_runtime, settings=settings)
    for scope, plain in keys.items():
        answer = client.request(operation.method, operation.path, headers=_bearer(plain))
        if operation.scope in (None, scope):
            assert answer.status_code not in (401, 403)
        else:
            refused = error(answer, 403, "forbidden")["message"]
            assert operation.scope in refused
            assert plain not in refused
    if operation.scope is not None:
        error(client.request(operation.method, operation.path), 401, "unauthorized")


def test_an_expired_key_says_so(shared_runtime: Runtime, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    before = datetime.now(UTC) - timedelta(days=2)
    plain, key = create_key(settings.key_file, [Scope.READ], "old", now=before, expires_at=before + timedelta(days=1))
    answer = client_of(shared_runtime, settings=settings).get("/v1/release", headers=_bearer(plain))
    assert f"{key.id} has expired" in error(answer, 401, "unauthorized")["message"]


def test_a_running_service_takes_new_keys_and_refuses_revoked_ones(shared_runtime: Runtime, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    client = client_of(shared_runtime, settings=settings)
    assert client.get("/v1/release").status_code == 200
    plain, key = create_key(settings.key_file, [Scope.READ], "new", now=datetime.now(UTC))
    time.sleep(REFRESH_SECONDS)
    error(client.get("/v1/release"), 401, "unauthorized")
    assert client.get("/v1/release", headers=_bearer(plain)).status_code == 200
    revoke_key(settings.key_file, key.id)
    time.sleep(REFRESH_SECONDS)
    error(client.get("/v1/release", headers=_bearer(plain)), 401, "unauthorized")


def test_the_key_of_a_page_stores_events_and_learns_nothing_of_sessions(runtime: Runtime, home: Path) -> None:
    settings = Settings(home=home)
    now = datetime.now(UTC)
    public, _ = create_key(settings.key_file, [Scope.TRACK], "pages", now=now, public=True)
    backend, _ = create_key(settings.key_file, [Scope.TRACK, Scope.READ], "backend", now=now)
    client = client_of(runtime, settings=settings)
    answer = client.post("/v1/track", json={"events": [message(1)]}, headers=_bearer(public))
    assert answer.status_code == 200
    assert (answer.json()["accepted"], answer.json()["sessions"]) == (1, [])
    assert [event["event_id"] for event in logged(home)] == ["e1"]
    answer = client.post("/v1/track", json={"events": [message(1)]}, headers=_bearer(backend))
    assert [session["scene"] for session in answer.json()["sessions"]] == ["customer_service"]


def test_no_key_reaches_an_answer_or_a_log(
    shared_runtime: Runtime, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings(home=tmp_path)
    plain, _ = create_key(settings.key_file, [Scope.TRACK], "pages", now=datetime.now(UTC))
    client = client_of(shared_runtime, settings=settings)
    with caplog.at_level("DEBUG"):
        for given in (plain, plain[:-1] + "!"):
            for path in ("/v1/track", "/v1/intent", "/v1/release", "/elsewhere", "/livez"):
                answer = client.post(path, json={"texts": ["a"]}, headers=_bearer(given))
                assert given not in answer.text + str(answer.headers)
    assert plain[:-1] not in caplog.text
