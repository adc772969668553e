"""Callers behind a proxy: who they are is what a trusted proxy says, and what nobody else says."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from intent_tracking.access.keys import Scope, create_key
from tests.fakes.service_process import running_service

pytestmark = pytest.mark.integration

# A caller of this machine may come from any address of 127.0.0.0/8.
PROXIES = "127.0.0.8/30"
PROXY = "127.0.0.9"
STRANGER = "127.0.0.20"


def test_callers_of_a_public_key_are_told_apart_by_what_a_trusted_proxy_says(tmp_path: Path) -> None:
    key, _ = create_key(tmp_path / "keys.json", [Scope.TRACK], "pages", now=datetime.now(UTC), public=True)
    # One request, and the next after a quarter of an hour.
    settings = {"INTENT_PUBLIC_REQUESTS_PER_SECOND": "0.001", "FORWARDED_ALLOW_IPS": PROXIES}

    with running_service(tmp_path, environment=settings) as service:

        def track(via: str, forwarded_for: str) -> int:
            with httpx.Client(transport=httpx.HTTPTransport(local_address=via), timeout=60) as client:
                answer = client.post(
                    service.address + "/v1/track",
                    json={"events": [{}]},
                    headers={"Authorization": f"Bearer {key}", "X-Forwarded-For": forwarded_for},
                )
            return answer.status_code

        assert track(PROXY, "203.0.113.1") == 200
        assert track(PROXY, "203.0.113.1") == 429
        assert track(PROXY, "203.0.113.2") == 200
        # What a caller wrote into the header before the proxy added its address is not believed.
        assert track(PROXY, "203.0.113.99, 203.0.113.2") == 429
        # Who is no proxy of ours is who it is, whatever it says.
        assert track(STRANGER, "203.0.113.3") == 200
        assert track(STRANGER, "203.0.113.4") == 429
