"""Benchmarks say that a claim does not hold: a run that loses an event, or is too slow, is no success."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.bench_kill import Load, Verdict
from benchmarks.bench_track import missed
from intent_tracking.events.segment_log import SegmentLog
from tests.fakes.app_server import served

pytestmark = pytest.mark.unit


def verdict(home: Path, logged: list[str], answered: set[str]) -> Verdict:
    log = SegmentLog(home / "event_log")
    log.append([json.dumps({"event_id": event_id}).encode() for event_id in logged])
    log.close()
    return Verdict.of(home, Load(answered=answered))


@pytest.mark.parametrize(
    ("logged", "answered", "wrong"),
    [
        (["a", "b"], {"a", "b"}, {}),
        (["a"], {"a", "b"}, {"lost": {"b"}}),
        (["a", "a"], {"a"}, {"doubled": {"a"}}),
        (["a", "b"], {"a"}, {"unanswered": {"b"}}),
    ],
)
def test_what_kills_do_holds_where_the_log_has_what_was_accepted_once_and_nothing_else(
    tmp_path: Path, logged: list[str], answered: set[str], wrong: dict[str, set[str]]
) -> None:
    found = verdict(tmp_path, logged, answered)
    assert {name: ids for name in ("lost", "doubled", "unanswered") if (ids := getattr(found, name))} == wrong
    assert found.holds == (not wrong)


def test_a_caller_that_fails_ends_the_run() -> None:
    async def take_nothing(_: Request) -> JSONResponse:
        return JSONResponse({"accepted": 0, "duplicates": 0, "rejected": [{"index": 0, "reason": "too old"}]})

    app = Starlette(routes=[Route("/v1/track", take_nothing, methods=["POST"])])
    with served(app) as (host, port), pytest.raises(ValueError, match=r"not taken as a whole.*too old"):
        load = Load(f"http://{host}:{port}")
        with load.running(1):
            while not load.statuses:
                time.sleep(0.01)


@pytest.mark.parametrize(
    ("batch", "rate", "p99", "claims"),
    [
        (100, 5_000.0, 900.0, []),
        (100, 4_999.0, 1.0, ["batch 100: 5,000 events/s"]),
        (1, 500.0, 50.0, []),
        (1, 499.0, 50.1, ["batch 1: 500 events/s", "batch 1: p99 50 ms"]),
    ],
)
def test_tracking_that_is_too_slow_is_named(batch: int, rate: float, p99: float, claims: list[str]) -> None:
    assert missed(batch, {"events/s": rate, "p99 ms": p99}) == claims
