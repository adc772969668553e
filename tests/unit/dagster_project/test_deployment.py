"""Publishing a version: what is released, and what is taken back."""

import itertools
import json

import pytest

from dagster_project.defs.serving.deployment import deploy
from dagster_project.resources.service import IntentService, ReleaseRefusedError, ServiceError
from intent_tracking.artifact import ArtifactError
from intent_tracking.release import read_release
from intent_tracking.settings import Settings
from tests.artifacts import tiny_artifact
from tests.fakes.release_server import release_server

pytestmark = pytest.mark.unit

NOBODY = IntentService("http://127.0.0.1:9")


@pytest.fixture
def settings(tmp_path) -> Settings:
    made = Settings(home=tmp_path)
    for number, version in enumerate(("v1", "v2")):
        tiny_artifact(made.models / version, version, seed=number)
    return made


def live(settings):
    return read_release(settings.release_file).components["intent_model"].version


def test_without_a_running_service_the_release_file_is_the_deployment(settings):
    release, served = deploy(settings, NOBODY, "v1", "first", 1)
    assert (release.number, served, live(settings)) == (1, None, "v1")


def test_what_is_live_is_not_published_twice(settings):
    deploy(settings, NOBODY, "v1", "first", 1)
    release, _ = deploy(settings, NOBODY, "v1", "again", 1)
    assert release.number == 1


def test_a_release_that_the_service_refuses_is_taken_back(settings):
    deploy(settings, NOBODY, "v1", "first", 1)
    refusal = 200, {"number": 1, "model_version": "v1", "refused": "release 2: golden request 1"}
    with release_server(lambda: refusal) as address, pytest.raises(ReleaseRefusedError):
        deploy(settings, IntentService(address), "v2", "retrained", 10)
    assert live(settings) == "v1"


def test_a_service_that_is_slow_leaves_the_release_for_a_person_to_judge(settings):
    deploy(settings, NOBODY, "v1", "first", 1)
    slow = 200, {"number": 1, "model_version": "v1", "refused": None}
    with release_server(lambda: slow) as address, pytest.raises(ServiceError, match="rollback_job"):
        deploy(settings, IntentService(address), "v2", "retrained", 0.1)
    assert live(settings) == "v2"


def test_a_service_that_switches_is_reported(settings):
    answers = itertools.chain(
        [(503, {})], itertools.repeat((200, {"number": 1, "model_version": "v1", "refused": None}))
    )
    with release_server(lambda: next(answers)) as address:
        _, served = deploy(settings, IntentService(address), "v1", "first", 10)
    assert served.model_version == "v1"


def test_a_damaged_artifact_is_not_published(settings):
    labels = settings.models / "v1" / "labels.json"
    labels.write_text(json.dumps({}))
    with pytest.raises(ArtifactError, match=r"labels\.json"):
        deploy(settings, NOBODY, "v1", "first", 1)
    assert read_release(settings.release_file) is None
