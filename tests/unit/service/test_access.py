"""Who is answered: this machine without keys, whoever has one with them."""

from __future__ import annotations

from typing import Any

import pytest

from bentos.intent_service.runtime import Runtime
from tests.fakes.service_client import client_of, error

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
