"""A key that sends too much waits; another key does not."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bentos.intent_service.rates import BURST_SECONDS, TokenBuckets
from bentos.intent_service.runtime import Runtime
from intent_tracking.access.keys import Scope, create_key
from intent_tracking.settings import Settings
from tests.fakes.service_client import app_of, client_of, error

pytestmark = pytest.mark.unit


def test_a_bucket_gives_a_burst_and_then_its_rate() -> None:
    buckets = TokenBuckets(rate=2)
    burst = int(2 * BURST_SECONDS)
    assert [buckets.take("a", 100.0) for _ in range(burst)] == [0.0] * burst
    assert buckets.take("a", 100.0) == pytest.approx(0.5)
    assert buckets.take("a", 100.25) == pytest.approx(0.25)
    assert buckets.take("a", 100.5) == 0.0
    assert buckets.take("a", 100.5) > 0
    assert buckets.take("b", 100.5) == 0.0
    in_ten_seconds = sum(buckets.take("a", 100.5 + step / 100) == 0.0 for step in range(1, 1001))
    assert in_ten_seconds == 20


def test_a_slow_rate_still_lets_one_through() -> None:
    buckets = TokenBuckets(rate=0.01)
    assert buckets.take("a", 0.0) == 0.0
    assert buckets.take("a", 1.0) == pytest.approx(99.0)


def test_the_buckets_are_bounded() -> None:
    buckets = TokenBuckets(rate=0.01, max_names=2)
    assert [buckets.take(name, 0.0) for name in ("a", "b", "c")] == [0.0] * 3
    assert buckets.take("c", 0.0) > 0
    assert buckets.take("a", 0.0) == 0.0


def test_a_key_over_its_rate_is_told_when_to_come_back(shared_runtime: Runtime, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, requests_per_second=0.01)
    now = datetime.now(UTC)
    first, second = (create_key(settings.key_file, [Scope.READ], name, now=now)[0] for name in ("first", "second"))
    client = client_of(shared_runtime, settings=settings)
    answers = [client.get("/v1/release", headers={"authorization": f"Bearer {first}"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    error(answers[1], 429, "too_many_requests")
    assert 1 <= int(answers[1].headers["retry-after"]) <= 100
    assert client.get("/v1/release", headers={"authorization": f"Bearer {second}"}).status_code == 200
    assert client.get("/livez").status_code == 200


def test_the_callers_of_a_public_key_are_limited_one_by_one(shared_runtime: Runtime, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, requests_per_second=0.01, public_requests_per_second=0.01)
    plain, _ = create_key(settings.key_file, [Scope.TRACK], "pages", now=datetime.now(UTC), public=True)

    # One app, which callers of several addresses reach.
    app = app_of(shared_runtime, settings=settings)

    def statuses(address: str, calls: int) -> list[int]:
        client = TestClient(app, base_url="http://shop.example", client=(address, 1))
        headers = {"authorization": f"Bearer {plain}"}
        return [client.post("/v1/track", json={"events": [{}]}, headers=headers).status_code for _ in range(calls)]

    assert statuses("192.0.2.1", 2) == [200, 429]
    assert statuses("192.0.2.2", 2) == [200, 429]
    assert statuses("2001:db8::1", 1) == [200]
    assert statuses("2001:db8::2", 1) == [429]
