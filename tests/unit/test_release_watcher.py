"""The live switch: the next model takes over only when it is proven, and nothing else changes what is served."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from bentos.intent_service.metrics import Metrics
from bentos.intent_service.releases import MAX_RETRY_SECONDS, ReleaseWatcher
from intent_tracking.applications.artifacts import ANSWER_INDEX, ITEM_INDEX, RISK_MODEL
from intent_tracking.artifact import ArtifactError, write_manifest
from intent_tracking.release import Component, publish, rollback
from tests.fakes.predictors import FakePredictor, fake_artifact

pytestmark = pytest.mark.unit


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


@pytest.fixture
def release_file(tmp_path: Path) -> Path:
    return tmp_path / "release.json"


@pytest.fixture
def watcher(release_file: Path) -> ReleaseWatcher:
    return ReleaseWatcher(release_file, FakePredictor.load, Metrics())


def live(watcher: ReleaseWatcher) -> str | None:
    return watcher.serving.predictor.version if watcher.serving else None


def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_nothing_is_served_before_the_first_release(watcher: ReleaseWatcher) -> None:
    watcher.check()
    assert live(watcher) is None
    assert watcher.refusal is None


def test_each_release_takes_over_and_a_rollback_takes_over_again(
    watcher: ReleaseWatcher, release_file: Path, tmp_path: Path
) -> None:
    seen = []
    for version in ("a", "b"):
        publish(release_file, {"intent_model": fake_artifact(tmp_path, version)}, version)
        watcher.check()
        seen.append(live(watcher))
    rollback(release_file, "b is bad")
    watcher.check()
    assert [*seen, live(watcher)] == ["a", "b", "a"]
    assert watcher.serving is not None
    assert watcher.serving.release.number == 3


def test_a_failed_golden_replay_keeps_the_live_model_and_says_why(
    watcher: ReleaseWatcher, release_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "good")}, "good")
    watcher.check()
    broken = fake_artifact(tmp_path, "bad", differences=["golden.jsonl line 3: intent refund 0.1 instead of 0.9"])
    publish(release_file, {"intent_model": broken}, "bad")
    watcher.check()
    assert live(watcher) == "good"
    assert watcher.refusal is not None
    assert watcher.refusal.number == 2
    assert "golden.jsonl line 3" in watcher.refusal.reason
    assert "ALERT" in caplog.text
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "better")}, "better")
    watcher.check()
    assert live(watcher) == "better"
    assert watcher.refusal is None


def test_a_model_that_fails_its_golden_requests_is_loaded_once(release_file: Path, tmp_path: Path) -> None:
    # Cause: it was loaded and replayed every 30 s by every worker, beside the live model and at the cost of its cores.
    loads: list[str] = []
    clock = Clock()

    def load(directory: Path) -> FakePredictor:
        loads.append(directory.name)
        return FakePredictor.load(directory)

    watcher = ReleaseWatcher(release_file, load, Metrics(), clock=clock)
    for version in ("older", "bad"):
        broken = fake_artifact(tmp_path, version, differences=["line 1"])
        publish(release_file, {"intent_model": broken}, version)
    for _ in range(10):
        watcher.check()
        clock.now += MAX_RETRY_SECONDS
    assert loads == ["bad", "older"]
    assert watcher.refusal is not None
    assert "line 1" in watcher.refusal.reason


def test_a_release_that_may_become_readable_is_tried_again_ever_more_rarely(release_file: Path, tmp_path: Path) -> None:
    tries: list[float] = []
    clock = Clock()
    away = True

    def load(directory: Path) -> FakePredictor:
        tries.append(clock.now)
        if away:
            raise OSError("stale file handle")
        return FakePredictor.load(directory)

    watcher = ReleaseWatcher(release_file, load, Metrics(), clock=clock)
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "a")}, "a")
    for _ in range(1_000):
        watcher.check()
        clock.now += 10
    assert tries[:4] == [0, 30, 90, 210]
    assert {later - earlier for earlier, later in pairwise(tries[-3:])} == {MAX_RETRY_SECONDS}
    away = False
    clock.now += MAX_RETRY_SECONDS
    watcher.check()
    assert live(watcher) == "a"


@pytest.mark.parametrize("damage", ["labels.json", "manifest.json"])
def test_a_damaged_artifact_keeps_the_live_model(
    watcher: ReleaseWatcher, release_file: Path, tmp_path: Path, damage: str
) -> None:
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "good")}, "good")
    watcher.check()
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "bad")}, "bad")
    (tmp_path / "models" / "bad" / damage).write_text("{}")
    watcher.check()
    assert live(watcher) == "good"
    assert watcher.refusal is not None
    assert damage in watcher.refusal.reason


def test_a_broken_release_file_keeps_the_live_model(
    watcher: ReleaseWatcher, release_file: Path, tmp_path: Path
) -> None:
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "good")}, "good")
    watcher.check()
    release_file.write_text("{half a rele")
    watcher.check()
    assert live(watcher) == "good"
    assert watcher.refusal is not None
    release_file.unlink()
    watcher.check()
    assert live(watcher) == "good"


def test_a_release_of_another_component_does_not_load_the_model_again(release_file: Path, tmp_path: Path) -> None:
    loads: list[Path] = []

    def load(directory: Path) -> FakePredictor:
        loads.append(directory)
        return FakePredictor.load(directory)

    watcher = ReleaseWatcher(release_file, load, Metrics())
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "a")}, "a")
    watcher.check()
    publish(release_file, {"item_index": fake_artifact(tmp_path, "items")}, "items")
    watcher.check()
    assert len(loads) == 1
    assert watcher.serving is not None
    assert watcher.serving.release.number == 2


def test_a_release_without_an_intent_model_is_refused(
    watcher: ReleaseWatcher, release_file: Path, tmp_path: Path
) -> None:
    publish(release_file, {"item_index": fake_artifact(tmp_path, "items")}, "items")
    watcher.check()
    assert live(watcher) is None
    assert watcher.refusal is not None
    assert "names no intent_model" in watcher.refusal.reason


def test_the_release_that_a_bento_carries_is_served_until_one_is_published(release_file: Path, tmp_path: Path) -> None:
    bundled = tmp_path / "bundled" / "release.json"
    publish(bundled, {"intent_model": fake_artifact(tmp_path / "bundled", "carried")}, "carried")
    watcher = ReleaseWatcher(release_file, FakePredictor.load, Metrics(), bundled=bundled)
    watcher.check()
    assert live(watcher) == "carried"
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "published")}, "published")
    watcher.check()
    assert live(watcher) == "published"
    release_file.unlink()
    watcher.check()
    assert live(watcher) == "published"


def test_any_error_of_a_model_refuses_its_release_and_the_thread_goes_on(tmp_path: Path) -> None:
    # What torch raises when memory runs out, and what tokenizers raise for any reason.
    for version, failure in (("b", RuntimeError("CUDA out of memory")), ("c", Exception("data did not match"))):

        def load(directory: Path, version: str = version, failure: Exception = failure) -> FakePredictor:
            if directory.name == version:
                raise failure
            return FakePredictor.load(directory)

        home = tmp_path / version
        watcher = ReleaseWatcher(home / "release.json", load, Metrics())
        publish(home / "release.json", {"intent_model": fake_artifact(home, "a")}, "a")
        watcher.start()
        try:
            publish(home / "release.json", {"intent_model": fake_artifact(home, version)}, version)
            wait_until(lambda watcher=watcher: watcher.refusal is not None)
            assert watcher.is_alive()
            assert live(watcher) == "a"
            assert str(failure) in watcher.refusal.reason
            publish(home / "release.json", {"intent_model": fake_artifact(home, "next")}, "next")
            wait_until(lambda watcher=watcher: live(watcher) == "next")
        finally:
            watcher.stop()


def test_a_start_on_a_refused_release_serves_the_newest_older_one_that_can_be_served(
    release_file: Path, tmp_path: Path
) -> None:
    for version in ("a", "b"):
        publish(release_file, {"intent_model": fake_artifact(tmp_path, version)}, version)
    for version in ("c", "d"):
        broken = fake_artifact(tmp_path, version, differences=["line 1"])
        publish(release_file, {"intent_model": broken}, version)
    watcher = ReleaseWatcher(release_file, FakePredictor.load, Metrics())
    watcher.check()
    assert watcher.serving is not None
    assert (live(watcher), watcher.serving.release.number) == ("b", 2)
    assert watcher.refusal is not None
    assert watcher.refusal.number == 4
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "e")}, "e")
    watcher.check()
    assert (live(watcher), watcher.refusal) == ("e", None)


def test_a_start_on_a_broken_release_file_serves_the_newest_of_the_history(
    watcher: ReleaseWatcher, release_file: Path, tmp_path: Path
) -> None:
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "a")}, "a")
    release_file.write_text("{half a rele")
    watcher.check()
    assert live(watcher) == "a"
    assert watcher.refusal is not None


def test_a_stop_does_not_wait_for_the_load_of_a_model_which_is_given_up(release_file: Path, tmp_path: Path) -> None:
    # A load of minutes used up the grace period of the process, which was then killed with its logs unwritten.
    loading, loaded = threading.Event(), threading.Event()

    def load(directory: Path) -> FakePredictor:
        loading.set()
        assert loaded.wait(60)
        return FakePredictor.load(directory)

    watcher = ReleaseWatcher(release_file, load, Metrics(), stop_seconds=0.05)
    watcher.start()
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "a")}, "a")
    assert loading.wait(60)
    watcher.stop()
    assert watcher.is_alive()
    loaded.set()
    wait_until(lambda: not watcher.is_alive())
    assert live(watcher) is None
    assert watcher.refusal is None


def test_the_thread_notices_a_release_by_itself(watcher: ReleaseWatcher, release_file: Path, tmp_path: Path) -> None:
    watcher.start()
    try:
        publish(release_file, {"intent_model": fake_artifact(tmp_path, "a")}, "a")
        wait_until(lambda: live(watcher) is not None)
    finally:
        watcher.stop()
    assert not watcher.is_alive()


class FakeIndex:
    """An application of one version; its golden answers differ as its artifact says."""

    def __init__(self, version: str, differences: list[str]) -> None:
        self.version = version
        self._differences = differences

    def replay_golden(self) -> list[str]:
        return self._differences


def index(home: Path, version: str, *, differences: int = 0) -> Component:
    folder = home / "applications" / version
    folder.mkdir(parents=True)
    (folder / "differences").write_text("x" * differences)
    write_manifest(folder, kind=ITEM_INDEX, version=version, code_version="0", dataset_fingerprint="none")
    return Component.of(folder)


def test_applications_are_served_with_the_model_and_loaded_once(release_file: Path, tmp_path: Path) -> None:
    loads: list[str] = []

    def load(folder: Path) -> FakeIndex:
        loads.append(folder.name)
        return FakeIndex(folder.name, list((folder / "differences").read_text()))

    watcher = ReleaseWatcher(release_file, FakePredictor.load, Metrics(), applications={ITEM_INDEX: load})
    unknown = fake_artifact(tmp_path, "of-a-later-service")
    first = {"intent_model": fake_artifact(tmp_path, "a"), ITEM_INDEX: index(tmp_path, "i1"), "of_later": unknown}
    publish(release_file, first, "first")
    watcher.check()
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "b")}, "a new model")
    watcher.check()
    assert watcher.serving is not None
    assert (live(watcher), watcher.serving.applications[ITEM_INDEX].version) == ("b", "i1")
    publish(release_file, {ITEM_INDEX: index(tmp_path, "i2")}, "a new index")
    watcher.check()
    assert (live(watcher), watcher.serving.applications[ITEM_INDEX].version) == ("b", "i2")
    publish(release_file, {ITEM_INDEX: index(tmp_path, "bad", differences=2)}, "a bad index")
    watcher.check()
    assert watcher.serving.applications[ITEM_INDEX].version == "i2"
    assert watcher.refusal is not None
    assert "2 golden answers of bad differ" in watcher.refusal.reason
    assert loads == ["i1", "i2", "bad"]


def test_a_bad_index_does_not_keep_a_starting_service_from_the_same_model(release_file: Path, tmp_path: Path) -> None:
    watcher = ReleaseWatcher(
        release_file,
        FakePredictor.load,
        Metrics(),
        applications={ITEM_INDEX: lambda folder: FakeIndex(folder.name, list((folder / "differences").read_text()))},
    )
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "a")}, "first")
    publish(release_file, {ITEM_INDEX: index(tmp_path, "bad", differences=1)}, "a bad index")
    watcher.check()
    assert live(watcher) == "a"
    assert watcher.serving is not None
    assert not watcher.serving.applications


def test_an_application_that_cannot_be_loaded_costs_no_other_one(release_file: Path, tmp_path: Path) -> None:
    # Cause: after an upgrade that reads another form of one index, a starting service refused every release that named
    # it and went back to an old model without applications; each index made anew was refused for the other old one.
    old_form, clock = {"i1", "w1"}, Clock()

    def load(folder: Path) -> FakeIndex:
        if folder.name in old_form:
            raise ArtifactError(f"{folder}: of another form; materialize it again")
        return FakeIndex(folder.name, list((folder / "differences").read_text()))

    loaders = dict.fromkeys((ITEM_INDEX, ANSWER_INDEX, RISK_MODEL), load)
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "a")}, "first")
    now = {ITEM_INDEX: index(tmp_path, "i1"), ANSWER_INDEX: index(tmp_path, "w1"), RISK_MODEL: index(tmp_path, "r1")}
    publish(release_file, {"intent_model": fake_artifact(tmp_path, "b"), **now}, "before the upgrade")
    watcher = ReleaseWatcher(release_file, FakePredictor.load, Metrics(), clock=clock, applications=loaders)

    def served() -> tuple[int, list[str]]:
        assert watcher.serving is not None
        found = [each.version for each in watcher.serving.applications.values()]
        return watcher.serving.release.number, sorted(found)

    watcher.check()
    assert (live(watcher), served()) == ("b", (2, ["r1"]))
    assert watcher.serving is not None
    assert "i1: of another form" in watcher.serving.lacking[ITEM_INDEX]
    assert watcher.refusal is not None
    assert "served without item_index: " in watcher.refusal.reason
    publish(release_file, {ITEM_INDEX: index(tmp_path, "i2")}, "one is made anew")
    watcher.check()
    assert served() == (3, ["i2", "r1"])
    publish(release_file, {RISK_MODEL: index(tmp_path, "r2", differences=1)}, "what it changes is bad")
    watcher.check()
    assert served() == (3, ["i2", "r1"])
    rollback(release_file, "r2 is bad")
    watcher.check()
    assert served() == (5, ["i2", "r1"])
    old_form.clear()
    clock.now += MAX_RETRY_SECONDS
    watcher.check()
    assert served() == (5, ["i2", "r1", "w1"])
    assert watcher.refusal is None
