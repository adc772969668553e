"""A running service for each test, and one for tests whose answers do not depend on what was sent before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from bentos.intent_service.runtime import Runtime
from intent_tracking.release import publish
from intent_tracking.settings import Settings
from tests.fakes.predictors import FakePredictor, fake_artifact
from tests.fakes.released_applications import released_applications
from tests.fakes.service_client import client_of


@pytest.fixture
def home(tmp_path: Path) -> Path:
    publish(tmp_path / "release.json", {"intent_model": fake_artifact(tmp_path, "m1")}, "first")
    return tmp_path


@pytest.fixture
def runtime(home: Path) -> Iterator[Runtime]:
    running = Runtime(Settings(home=home), FakePredictor.load)
    running.start()
    yield running
    running.close()


@pytest.fixture
def client(runtime: Runtime) -> TestClient:
    return client_of(runtime)


@pytest.fixture(scope="module")
def shared_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """For tests whose answers do not depend on what was tracked before: a start takes half a second."""
    folder = tmp_path_factory.mktemp("shared")
    components = {"intent_model": fake_artifact(folder, "m1"), **released_applications(folder)}
    publish(folder / "release.json", components, "first")
    running = Runtime(Settings(home=folder), FakePredictor.load)
    running.start()
    yield running
    running.close()


@pytest.fixture(scope="module")
def shared(shared_runtime: Runtime) -> TestClient:
    return client_of(shared_runtime)
