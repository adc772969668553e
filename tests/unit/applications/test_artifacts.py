"""What applications learn: written whole, found again, and asked its golden requests."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from intent_tracking.applications.artifacts import (
    GOLDEN,
    ITEM_INDEX,
    artifact_folder,
    fingerprint_of,
    golden_differences,
    judged,
    new_artifact,
    newest_artifact,
    remove_old_artifacts,
    verified,
)
from intent_tracking.artifact import ArtifactError

pytestmark = pytest.mark.unit

UNTIL = date(2026, 3, 1)


def write(root: Path, content: str, until: date = UNTIL) -> Path:
    fingerprint = fingerprint_of(content)
    with new_artifact(root, ITEM_INDEX, until, fingerprint) as draft:
        (draft.folder / "items.txt").write_text(content)
        draft.metrics["items"] = 1.0
        draft.golden.append(({"k": 1}, {"items": [{"id": content, "score": 0.5}]}))
    folder = artifact_folder(root, ITEM_INDEX, until, fingerprint)
    assert folder is not None
    return folder


def test_an_artifact_is_found_by_its_input_and_verified(tmp_path: Path) -> None:
    folder = write(tmp_path, "a")
    manifest = verified(folder, ITEM_INDEX)
    assert (manifest.version, manifest.metrics) == (folder.name, {"items": 1.0})
    assert artifact_folder(tmp_path, ITEM_INDEX, UNTIL, fingerprint_of("b")) is None


def test_a_damaged_artifact_is_made_again(tmp_path: Path) -> None:
    # Cause: its error says to materialize it again, which found it there and left it as it was.
    folder = write(tmp_path, "a")
    (folder / "items.txt").write_text("b")
    assert artifact_folder(tmp_path, ITEM_INDEX, UNTIL, fingerprint_of("a")) is None
    assert write(tmp_path, "a") == folder
    assert verified(folder, ITEM_INDEX).version == folder.name


def test_the_newest_is_that_of_the_newest_day(tmp_path: Path) -> None:
    assert newest_artifact(tmp_path, ITEM_INDEX) is None
    later = write(tmp_path, "a", date(2026, 3, 2))
    earlier = write(tmp_path, "b")
    assert newest_artifact(tmp_path, ITEM_INDEX) == later
    # What is said of a day again is said by what that day could know.
    assert newest_artifact(tmp_path, ITEM_INDEX, UNTIL) == earlier
    assert newest_artifact(tmp_path, ITEM_INDEX, date(2026, 2, 28)) is None


def test_what_was_refused_is_not_the_newest_until_it_is_judged_otherwise(tmp_path: Path) -> None:
    earlier, later = write(tmp_path, "a"), write(tmp_path, "b", date(2026, 3, 2))
    judged(later, ["it finds nothing"])
    assert newest_artifact(tmp_path, ITEM_INDEX) == earlier
    judged(later, [])
    assert newest_artifact(tmp_path, ITEM_INDEX) == later
    judged(earlier, ["it finds nothing"])
    assert remove_old_artifacts(tmp_path, ITEM_INDEX, 1, []) == [earlier.name]
    assert [path.name for path in (tmp_path / ITEM_INDEX).iterdir()] == [later.name]


def test_the_oldest_go_but_for_what_is_live(tmp_path: Path) -> None:
    folders = [write(tmp_path, "a", date(2026, 3, day)) for day in range(1, 6)]
    assert remove_old_artifacts(tmp_path, ITEM_INDEX, 2, [folders[1]]) == [folders[0].name, folders[2].name]
    assert [folder for folder in folders if folder.exists()] == [folders[1], folders[3], folders[4]]
    assert remove_old_artifacts(tmp_path, ITEM_INDEX, 5, []) == []


def test_an_error_while_it_is_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_artifact(tmp_path, ITEM_INDEX, UNTIL, fingerprint_of("a")):
        raise RuntimeError
    assert newest_artifact(tmp_path, ITEM_INDEX) is None
    assert list((tmp_path / ITEM_INDEX).iterdir()) == []


def test_an_artifact_without_golden_answers_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, "a")
    (folder / GOLDEN).unlink()
    with pytest.raises(ArtifactError, match=GOLDEN):
        verified(folder, ITEM_INDEX)


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ({"items": [{"id": "a", "score": 0.5001}]}, None),
        ({"items": [{"id": "a", "score": 0.6}]}, "answer.items[0].score: is 0.6, not 0.5"),
        ({"items": [{"id": "b", "score": 0.5}]}, "answer.items[0].id: is 'b', not 'a'"),
        ({"items": []}, "answer.items: has 0 entries, not 1"),
        ({"items": [{"id": "a", "score": True}]}, "answer.items[0].score: is True, not 0.5"),
        ({}, "answer: has the fields [], not ['items']"),
    ],
)
def test_a_golden_difference_names_its_place(tmp_path: Path, answer: dict[str, object], place: str | None) -> None:
    folder = write(tmp_path, "a")
    found = golden_differences(folder, lambda _: answer)
    assert found == ([] if place is None else [f"{folder / GOLDEN}:1: {place}"])
