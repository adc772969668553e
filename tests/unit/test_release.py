"""The release file: atomic, numbered, with a way back."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from intent_tracking.artifact import ArtifactError, write_manifest
from intent_tracking.release import (
    Component,
    ReleaseError,
    component_directory,
    publish,
    read_release,
    releases,
    rollback,
    verify_component,
    withdraw,
)

pytestmark = pytest.mark.unit


def artifact(home: Path, version: str) -> Component:
    folder = home / "models" / version
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.json").write_text(json.dumps([version]))
    write_manifest(folder, kind="test", version=version, code_version="0", dataset_fingerprint="none")
    return Component.of(folder)


@pytest.fixture
def release_file(tmp_path: Path) -> Path:
    return tmp_path / "release.json"


def test_nothing_is_live_before_the_first_publish(release_file: Path) -> None:
    assert read_release(release_file) is None
    assert releases(release_file) == []


def test_publish_is_read_back_and_kept_in_the_history(release_file: Path, tmp_path: Path) -> None:
    published = publish(release_file, {"intent_model": artifact(tmp_path, "a")}, "first model")
    assert published.number == 1
    assert read_release(release_file) == published
    assert releases(release_file) == [published]


def test_paths_inside_the_home_survive_a_move_of_the_home(tmp_path: Path) -> None:
    home = tmp_path / "before"
    release = publish(home / "release.json", {"intent_model": artifact(home, "a")}, "first model")
    moved = home.rename(tmp_path / "after")
    component = release.components["intent_model"]
    assert verify_component(moved / "release.json", component) == moved / "models" / "a"


def test_a_path_outside_the_home_stays_absolute(tmp_path: Path) -> None:
    component = artifact(tmp_path / "elsewhere", "a")
    release = publish(tmp_path / "home" / "release.json", {"intent_model": component}, "first model")
    assert component_directory(tmp_path / "home" / "release.json", release.components["intent_model"]).is_absolute()
    verify_component(tmp_path / "home" / "release.json", release.components["intent_model"])


def test_a_component_that_is_not_named_stays_live(release_file: Path, tmp_path: Path) -> None:
    publish(release_file, {"intent_model": artifact(tmp_path, "a"), "item_index": artifact(tmp_path, "i")}, "both")
    second = publish(release_file, {"intent_model": artifact(tmp_path, "b")}, "better on the last days")
    assert {name: component.version for name, component in second.components.items()} == {
        "intent_model": "b",
        "item_index": "i",
    }


def test_rollback_publishes_the_former_components_under_a_new_number(release_file: Path, tmp_path: Path) -> None:
    first = publish(release_file, {"intent_model": artifact(tmp_path, "a")}, "first")
    publish(release_file, {"intent_model": artifact(tmp_path, "b")}, "second")
    back = rollback(release_file, "complaints about b")
    assert back.number == 3
    assert back.components == first.components
    assert back.restores == 1
    assert "complaints about b" in back.reason
    assert read_release(release_file) == back


def test_a_second_rollback_goes_further_back(release_file: Path, tmp_path: Path) -> None:
    for version in "abc":
        publish(release_file, {"intent_model": artifact(tmp_path, version)}, version)
    rollback(release_file, "c is bad")
    assert rollback(release_file, "b is bad too").components["intent_model"].version == "a"
    with pytest.raises(ReleaseError, match="no release older than 1"):
        rollback(release_file, "a as well")


def test_rollback_does_not_bring_back_what_was_rolled_back(release_file: Path, tmp_path: Path) -> None:
    for version in ("good", "bad"):
        publish(release_file, {"intent_model": artifact(tmp_path, version)}, version)
    rollback(release_file, "bad is bad")
    publish(release_file, {"intent_model": artifact(tmp_path, "next")}, "next try")
    assert rollback(release_file, "next is bad too").components["intent_model"].version == "good"


def test_rollback_to_a_named_release(release_file: Path, tmp_path: Path) -> None:
    for version in "abc":
        publish(release_file, {"intent_model": artifact(tmp_path, version)}, version)
    assert rollback(release_file, "as of Monday", to=1).components["intent_model"].version == "a"
    with pytest.raises(ReleaseError, match="no release 99"):
        rollback(release_file, "typing mistake", to=99)


def test_rollback_without_a_release_says_so(release_file: Path) -> None:
    with pytest.raises(ReleaseError, match="nothing is published"):
        rollback(release_file, "why not")


def test_an_artifact_changed_after_it_was_described_is_not_published(release_file: Path, tmp_path: Path) -> None:
    component = artifact(tmp_path, "a")
    (tmp_path / "models" / "a" / "manifest.json").write_text("{}")
    with pytest.raises(ReleaseError, match="changed after it was released"):
        publish(release_file, {"intent_model": component}, "first")
    assert read_release(release_file) is None


def test_a_folder_without_a_manifest_is_no_component(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="not found"):
        Component.of(tmp_path)


def test_a_damaged_artifact_is_no_component(tmp_path: Path) -> None:
    artifact(tmp_path, "a")
    (tmp_path / "models" / "a" / "labels.json").write_text("[]")
    with pytest.raises(ArtifactError, match="sha256 is not the manifest"):
        Component.of(tmp_path / "models" / "a")


def test_a_rollback_to_an_artifact_that_is_gone_keeps_the_live_one(release_file: Path, tmp_path: Path) -> None:
    publish(release_file, {"intent_model": artifact(tmp_path, "a")}, "first")
    second = publish(release_file, {"intent_model": artifact(tmp_path, "b")}, "second")
    shutil.rmtree(tmp_path / "models" / "a")
    with pytest.raises(ReleaseError, match="cannot be read"):
        rollback(release_file, "b is bad")
    assert read_release(release_file) == second


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_release_says_why(release_file: Path, tmp_path: Path, reason: str) -> None:
    with pytest.raises(ReleaseError, match="says why"):
        publish(release_file, {"intent_model": artifact(tmp_path, "a")}, reason)


def test_a_release_names_something(release_file: Path) -> None:
    with pytest.raises(ReleaseError, match="at least one component"):
        publish(release_file, {}, "nothing")


@pytest.mark.parametrize(
    ("text", "place"), [("{", "file"), ("[]", "file"), ('{"number": 0}', "number"), ('{"nummer": 1}', "number")]
)
def test_a_broken_release_file_is_named_with_the_field(release_file: Path, text: str, place: str) -> None:
    release_file.write_text(text)
    with pytest.raises(ReleaseError, match=f"release.json: {place}"):
        read_release(release_file)


def test_a_number_is_not_used_twice_after_a_crash_between_the_two_writes(release_file: Path, tmp_path: Path) -> None:
    publish(release_file, {"intent_model": artifact(tmp_path, "a")}, "first")
    text = release_file.read_text()
    publish(release_file, {"intent_model": artifact(tmp_path, "b")}, "second")
    release_file.write_text(text)
    assert publish(release_file, {"intent_model": artifact(tmp_path, "c")}, "third").number == 3


def test_concurrent_writers_get_numbers_of_their_own(release_file: Path, tmp_path: Path) -> None:
    components = [artifact(tmp_path, f"v{index}") for index in range(8)]
    numbers: list[int] = []

    def write(component: Component) -> None:
        numbers.append(publish(release_file, {"intent_model": component}, "load").number)

    writers = [threading.Thread(target=write, args=(component,)) for component in components]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(numbers) == list(range(1, 9))
    live = read_release(release_file)
    assert live is not None
    assert live.number == 8


def test_withdrawing_the_first_release_leaves_nothing_published_and_its_number_used(
    release_file: Path, tmp_path: Path
) -> None:
    publish(release_file, {"intent_model": artifact(tmp_path, "a")}, "first")
    assert withdraw(release_file, 1, "refused") is None
    assert read_release(release_file) is None
    assert publish(release_file, {"intent_model": artifact(tmp_path, "b")}, "second").number == 2
    assert [release.number for release in releases(release_file)] == [2]
    with pytest.raises(ReleaseError, match="no release older"):
        rollback(release_file, "b is bad")


def test_withdrawing_brings_the_release_before_back(release_file: Path, tmp_path: Path) -> None:
    first = publish(release_file, {"intent_model": artifact(tmp_path, "a")}, "first")
    publish(release_file, {"intent_model": artifact(tmp_path, "b")}, "second")
    restored = withdraw(release_file, 2, "refused")
    assert restored == read_release(release_file)
    assert restored is not None
    assert (restored.number, restored.components, restored.restores) == (3, first.components, 1)
    assert [release.number for release in releases(release_file)] == [1, 3]


def test_a_release_that_is_no_longer_live_is_not_withdrawn(release_file: Path, tmp_path: Path) -> None:
    for version in ("a", "b", "c"):
        publish(release_file, {"intent_model": artifact(tmp_path, version)}, version)
    live = read_release(release_file)
    assert withdraw(release_file, 2, "refused") == live
    assert read_release(release_file) == live


def test_one_component_goes_back_and_the_others_stay(release_file: Path, tmp_path: Path) -> None:
    publish(release_file, {"intent_model": artifact(tmp_path, "a"), "item_index": artifact(tmp_path, "i1")}, "first")
    publish(release_file, {"intent_model": artifact(tmp_path, "b")}, "better")
    publish(release_file, {"item_index": artifact(tmp_path, "i2")}, "daily")
    back = rollback(release_file, "worse", component="intent_model")
    assert {name: each.version for name, each in back.components.items()} == {"intent_model": "a", "item_index": "i2"}


def test_one_component_never_goes_forth_again(release_file: Path, tmp_path: Path) -> None:
    for version in "abc":
        publish(release_file, {"intent_model": artifact(tmp_path, version)}, "better")
    rollback(release_file, "worse", component="intent_model")
    publish(release_file, {"item_index": artifact(tmp_path, "i1")}, "daily")
    back = rollback(release_file, "worse still", component="intent_model")
    assert (back.components["intent_model"].version, back.components["item_index"].version) == ("a", "i1")
    with pytest.raises(ReleaseError, match="no release before 1 has another intent_model"):
        rollback(release_file, "further", component="intent_model")


def test_a_component_that_is_not_live_cannot_go_back(release_file: Path, tmp_path: Path) -> None:
    publish(release_file, {"intent_model": artifact(tmp_path, "a")}, "first")
    with pytest.raises(ReleaseError, match="names no item_index; it has intent_model"):
        rollback(release_file, "worse", component="item_index")
    with pytest.raises(ReleaseError, match="no release 7 that names intent_model"):
        rollback(release_file, "worse", to=7, component="intent_model")
