"""The service in this process, with a fake model behind it, and what the tests send it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from bentos.intent_service.app import create_app
from bentos.intent_service.runtime import Runtime
from intent_tracking.events.segment_log import read_log
from intent_tracking.settings import Settings

LOCAL = {"base_url": "http://127.0.0.1:3000", "client": ("127.0.0.1", 50000), "raise_server_exceptions": False}

NOW = datetime.now(UTC).replace(microsecond=0)


def app_of(runtime: Runtime, keys: tuple[str, ...] = (), settings: Settings | None = None) -> ASGIApp:
    """The service around `runtime`; `settings` where the default ones with `keys`, and no key file, do not do."""
    chosen = settings or Settings(home=Path("/nonexistent"), api_keys=SecretStr(",".join(keys)) if keys else None)
    return create_app(runtime, chosen)


def client_of(
    runtime: Runtime, keys: tuple[str, ...] = (), settings: Settings | None = None, **options: Any
) -> TestClient:
    """A caller on this machine."""
    return TestClient(app_of(runtime, keys, settings), **{**LOCAL, **options})


def message(number: int, text: str = "where is my parcel", *, minutes: int = 0, shopper: str = "v1") -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "event_name": "message",
        "event_time": (NOW - timedelta(minutes=60 - minutes)).isoformat(),
        "anonymous_id": shopper,
        "source": "web",
        "params": {"text": text},
    }


def logged(home: Path) -> list[dict[str, Any]]:
    return [json.loads(line.data) for line in read_log(home / "event_log")]


def error(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["error"]
    assert set(body["error"]) <= {"code", "message", "field"}
    assert body["error"]["code"] == code
    assert body["error"]["message"]
    found: dict[str, Any] = body["error"]
    return found
