"""The Bento: exact tag, exact model, the core alone; and it serves without a home to read from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from dagster_project.resources.bento import BentoError, BuiltBento, build_bento, core_requirements
from intent_tracking.settings import Settings
from tests.artifacts import tiny_artifact
from tests.fakes.service_process import RunningService, running_service

pytestmark = pytest.mark.integration

VERSION = "20260302t0930-ab12"
FOREIGN = {"dagster", "dagster-webserver", "feast", "great-expectations", "evidently", "pytest", "matplotlib"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bento-home")


@pytest.fixture(scope="module")
def bento(home: Path) -> BuiltBento:
    artifact = home / "models" / VERSION
    tiny_artifact(artifact, VERSION)
    return build_bento(Settings(home=home), artifact)


@pytest.fixture(scope="module")
def service(bento: BuiltBento, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with running_service(tmp_path_factory.mktemp("empty-home"), str(bento.path), bento.path / "src") as running:
        yield running


def test_the_tag_is_the_model_version_and_the_label_names_the_artifact(bento: BuiltBento) -> None:
    described = yaml.safe_load((bento.path / "bento.yaml").read_text())
    assert bento.tag == f"intent_service:{VERSION}"
    assert (described["name"], described["version"]) == ("intent_service", VERSION)
    assert described["labels"]["model-version"] == VERSION


def test_installing_the_bento_installs_the_core_alone_with_exact_versions(bento: BuiltBento) -> None:
    lines = (bento.path / "env" / "python" / "requirements.txt").read_text().split()
    names = {line.partition("==")[0] for line in lines if "==" in line}
    assert {"bentoml", "torch", "transformers", "starlette", "duckdb"} <= names
    assert not FOREIGN & names
    assert set(core_requirements()) <= set(lines)


def test_the_bento_holds_the_library_and_the_service_and_nothing_else(bento: BuiltBento) -> None:
    found = {path.name for path in (bento.path / "src").iterdir() if path.is_dir()}
    assert found == {"intent_tracking", "bentos", "bundled"}


def test_building_again_gives_the_same_bento_without_work(home: Path, bento: BuiltBento) -> None:
    again = build_bento(Settings(home=home), home / "models" / VERSION)
    assert (again.tag, again.path, again.seconds) == (bento.tag, bento.path, 0.0)


def test_a_version_that_is_no_tag_is_refused_before_building(home: Path) -> None:
    artifact = home / "models" / "Upper Case"
    tiny_artifact(artifact, "Upper Case")
    with pytest.raises(BentoError, match="is no tag"):
        build_bento(Settings(home=home), artifact)


def test_the_bento_serves_the_model_that_it_carries(service: RunningService) -> None:
    assert service.wait_for_release(1)["model_version"] == VERSION
    status, body = service.call("/v1/intent", {"texts": ["where is my parcel", "我想退货"]})
    assert (status, body["model_version"]) == (200, VERSION)
