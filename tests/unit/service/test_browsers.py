"""What a browser is told: origins, preflight requests, and headers on every answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from bentos.intent_service.browsers import SafeHeaders
from bentos.intent_service.runtime import Runtime
from intent_tracking.settings import Settings
from tests.fakes.service_client import client_of, error

pytestmark = pytest.mark.unit

SHOP = "https://shop.example"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}


@pytest.fixture(scope="module")
def client(shared_runtime: Runtime) -> TestClient:
    settings = Settings(home=Path("/nonexistent"), api_keys="secret", cors_origins=f" {SHOP}, https://m.shop.example,")
    return client_of(shared_runtime, settings=settings)


def test_a_preflight_request_of_a_listed_origin_needs_no_key(client: TestClient) -> None:
    answer = client.options("/v1/track", headers={"origin": SHOP, **PREFLIGHT})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example.evil.example",
        "http://shop.example",
        "https://shop.example:444",
        "https://x.example",
        "null",
    ],
)
def test_other_origins_are_not_allowed(client: TestClient, origin: str) -> None:
    answer = client.options("/v1/track", headers={"origin": origin, **PREFLIGHT})
    assert "INTENT_CORS_ORIGINS" in error(answer, 403, "forbidden")["message"]
    assert "access-control-allow-origin" not in answer.headers
    sent = client.post(
        "/v1/intent", json={"texts": ["a"]}, headers={"origin": origin, "authorization": "Bearer secret"}
    )
    assert "access-control-allow-origin" not in sent.headers


def test_a_page_may_read_refusals_too(client: TestClient) -> None:
    answer = client.post("/v1/track", json={"events": []}, headers={"origin": SHOP})
    error(answer, 401, "unauthorized")
    assert answer.headers["access-control-allow-origin"] == SHOP
    assert "Retry-After" in answer.headers["access-control-expose-headers"]


def test_without_origins_no_page_may_call(shared: TestClient) -> None:
    answer = shared.options("/v1/track", headers={"origin": SHOP, **PREFLIGHT})
    assert answer.status_code >= 400
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/livez", "/v1/release", "/docs.json", "/metrics", "/elsewhere"])
def test_every_answer_is_safe_in_a_browser(shared: TestClient, path: str) -> None:
    headers = shared.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_a_page_takes_its_own_files_alone_and_keeps_the_headers_that_it_sets() -> None:
    async def page(_: Request) -> Response:
        return HTMLResponse("<p>hello</p>", headers={"Cache-Control": "no-cache"})

    app = TestClient(SafeHeaders(Starlette(routes=[Route("/", page)])))
    headers = app.get("/").headers
    policy = headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-cache"
