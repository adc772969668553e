"""The examples of docs/client.md, run as they stand against the service."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from bentos.intent_service.app import create_app
from bentos.intent_service.runtime import Runtime
from intent_tracking.client import AsyncTrackBuffer, TrackBuffer
from intent_tracking.release import publish
from intent_tracking.settings import Settings
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.service_client import logged
from tests.fakes.service_process import ROOT, free_port

pytestmark = pytest.mark.integration

DOCUMENTED = "http://127.0.0.1:3000"
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.DOTALL)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path / "release.json", {"intent_model": fake_artifact(tmp_path, "m1")}, "first")
    return tmp_path


@pytest.fixture
def address(home: Path) -> Iterator[str]:
    settings = Settings(home=home)
    runtime = Runtime(settings, FakePredictor.load)
    runtime.start()
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app(runtime, settings), host="127.0.0.1", port=port, log_level="error", ws="none")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()
    runtime.close()


def test_the_examples_run(
    address: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The examples give a buffer the five seconds that are its default; a busy machine takes longer.
    monkeypatch.setattr(TrackBuffer.close, "__defaults__", (60.0,))
    monkeypatch.setattr(AsyncTrackBuffer.flush, "__defaults__", (60.0,))
    monkeypatch.chdir(home)  # one of them keeps its outbox in the working directory
    assert len(EXAMPLES) == 3
    for number, example in enumerate(EXAMPLES):
        assert DOCUMENTED in example
        code = compile(example.replace(DOCUMENTED, address), f"docs/client.md, example {number + 1}", "exec")
        exec(code, {"__name__": "example"})  # noqa: S102 - our own documentation
    assert [event["event_name"] for event in logged(home)] == ["message", "search", "view_item"]
    assert "intent-of-m1" in capsys.readouterr().out
