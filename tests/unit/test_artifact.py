from __future__ import annotations

from pathlib import Path

import pytest

from intent_tracking.artifact import ArtifactError, read_manifest, require_place, verify, write_manifest

pytestmark = pytest.mark.unit


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "weights.bin").write_bytes(b"weights")
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"graph")
    write_manifest(tmp_path, kind="item_index", version="v1", code_version="1", dataset_fingerprint="f")
    return tmp_path


def test_manifest_names_every_file_and_survives_a_round_trip(artifact: Path) -> None:
    manifest = verify(artifact)
    assert sorted(manifest.files) == ["onnx/model.onnx", "weights.bin"]
    assert manifest == read_manifest(artifact)


def test_changed_file_is_refused_by_name(artifact: Path) -> None:
    (artifact / "weights.bin").write_bytes(b"weightz")
    with pytest.raises(ArtifactError, match=r"weights\.bin.*sha256.*roll back"):
        verify(artifact)


def test_missing_file_is_refused_by_name(artifact: Path) -> None:
    (artifact / "onnx" / "model.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"model\.onnx: missing"):
        verify(artifact)


def test_folder_without_manifest_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json: not found; give the folder"):
        verify(tmp_path)


def test_manifest_that_is_not_one_names_the_field(artifact: Path) -> None:
    (artifact / "manifest.json").write_text('{"kind": "item_index"}')
    with pytest.raises(ArtifactError, match=r"manifest\.json: version"):
        verify(artifact)


def test_other_kind_is_refused(artifact: Path) -> None:
    with pytest.raises(ArtifactError, match="is a 'item_index', not a 'intent_model'"):
        verify(artifact, kind="intent_model")


def test_an_artifact_takes_the_place_of_its_kind_alone(artifact: Path, tmp_path: Path) -> None:
    """A folder of models, named where one model was meant, was exchanged for that model and removed."""
    require_place(artifact, "item_index")
    for kind, file in (("intent_model", None), ("item_index", "notes.txt")):
        if file is not None:
            (artifact / file).write_text("mine")
        with pytest.raises(FileExistsError, match="which would be erased; give a folder that is new or empty"):
            require_place(artifact, kind)
    (tmp_path / "models" / "v1").mkdir(parents=True)
    require_place(tmp_path / "models", "intent_model")
    (tmp_path / "models" / "v1" / "manifest.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"models: holds v1/manifest\.json"):
        require_place(tmp_path / "models", "intent_model")


def test_intent_model_without_its_files_is_unfinished(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    write_manifest(tmp_path, kind="intent_model", version="v1", code_version="1", dataset_fingerprint="f")
    with pytest.raises(ArtifactError, match=r"lists no model\.safetensors"):
        verify(tmp_path)


def test_path_out_of_the_artifact_is_refused(artifact: Path) -> None:
    manifest = read_manifest(artifact)
    outside = manifest.model_copy(update={"files": {"../secret": "0" * 64}})
    (artifact / "manifest.json").write_text(outside.model_dump_json())
    with pytest.raises(ArtifactError, match="leaves the artifact"):
        verify(artifact)


def test_links_are_not_packed(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ArtifactError, match="plain files only"):
        write_manifest(tmp_path, kind="x", version="v", code_version="1", dataset_fingerprint="f")
