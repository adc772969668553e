"""Publishing a version: what is released, and what is taken back."""

import itertools
import json

import pytest

from dagster_project.defs.serving.deployment import deploy
from dagster_project.defs.serving.jobs import rollback_job, went_back
from dagster_project.resources.alerts import Alerts
from dagster_project.resources.service import (
    REFUSED_HEADER,
    IntentService,
    ReleaseRefusedError,
    ReleaseSupersededError,
    ServiceError,
)
from intent_tracking.artifact import ArtifactError, write_manifest
from intent_tracking.release import Component, publish, read_release, rollback
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


def answer_index(settings, version) -> Component:
    folder = settings.applications / "answer_index" / version
    folder.mkdir(parents=True)
    write_manifest(folder, kind="answer_index", version=version, code_version="0", dataset_fingerprint="none")
    return Component.of(folder)


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
        deploy(settings, IntentService(address), "v2", "retrained", 60)
    assert live(settings) == "v1"


def test_a_first_release_that_the_service_refuses_leaves_nothing_published(settings):
    # A service without a model has no release to name; it says which one it refused.
    refusal = 503, {"error": {"code": "no_model", "message": "release 1 was refused"}}, {REFUSED_HEADER: "1"}
    with release_server(lambda: refusal) as address, pytest.raises(ReleaseRefusedError, match="release 1"):
        deploy(settings, IntentService(address), "v1", "first", 60)
    assert read_release(settings.release_file) is None


def test_a_refusal_does_not_take_back_what_was_published_meanwhile(settings):
    deploy(settings, NOBODY, "v1", "first", 1)
    # Made before the service is asked: a call that takes long counts as nobody there.
    tiny_artifact(settings.models / "v3", "v3", seed=3)
    by_hand = Component.of(settings.models / "v3")

    def refuse_after_another_publishes():
        if read_release(settings.release_file).number == 2:
            publish(settings.release_file, {"intent_model": by_hand}, "by hand")
        return 200, {"number": 1, "model_version": "v1", "refused": "release 2: golden request 1"}

    with release_server(refuse_after_another_publishes) as address, pytest.raises(ReleaseRefusedError):
        deploy(settings, IntentService(address), "v2", "retrained", 60)
    assert live(settings) == "v3"


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
        _, served = deploy(settings, IntentService(address), "v1", "first", 60)
    assert served.model_version == "v1"


@pytest.mark.parametrize(("component", "is_served"), [("intent_model", False), ("answer_index", True)])
def test_a_deployment_that_is_rolled_back_before_it_is_seen_counts_where_what_it_released_is_served(
    settings, component, is_served
):
    # Cause: any later release ended the wait as a success, also one that went back from a model that was refused.
    model = Component.of(settings.models / "v1")
    for version in ("old", "new"):
        publish(
            settings.release_file, {"intent_model": model, "answer_index": answer_index(settings, version)}, version
        )

    def answer():
        if read_release(settings.release_file).number == 3:
            rollback(settings.release_file, "by hand", component=component)
        number = read_release(settings.release_file).number
        return 200, {"number": 2 if number == 3 else number, "model_version": "v", "refused": None}

    with release_server(answer) as address:
        service = IntentService(address)
        if is_served:
            _, served = deploy(settings, service, "v2", "retrained", 60)
            assert served.number == 4
        else:
            with pytest.raises(
                ReleaseSupersededError, match=r"release 4 \(rollback of intent_model to release 2: by hand"
            ):
                deploy(settings, service, "v2", "retrained", 60)
    assert live(settings) == ("v2" if is_served else "v1")


def test_a_damaged_artifact_is_not_published(settings):
    labels = settings.models / "v1" / "labels.json"
    labels.write_text(json.dumps({}))
    with pytest.raises(ArtifactError, match=r"labels\.json"):
        deploy(settings, NOBODY, "v1", "first", 1)
    assert read_release(settings.release_file) is None


def test_a_rollback_of_one_kind_says_what_went_back(settings, caplog):
    model = Component.of(settings.models / "v1")
    for version in ("old", "new"):
        publish(
            settings.release_file, {"intent_model": model, "answer_index": answer_index(settings, version)}, version
        )
    result = rollback_job.execute_in_process(
        run_config={"ops": {"roll_back": {"config": {"reason": "why", "component": "answer_index"}}}},
        resources={"settings": settings, "intent_service": NOBODY, "alerts": Alerts()},
    )
    assert result.success
    assert "release 3: answer_index new to old; why" in caplog.text
    release = read_release(settings.release_file)
    assert {kind: each.version for kind, each in release.components.items()} == {
        "intent_model": "v1",
        "answer_index": "old",
    }
    assert went_back(release, release) == "nothing"
