"""The asset `answer_index` in the graph: the shop's folder in, a live index out; a worse one stays where it is."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from dagster_project.defs.applications.customer_service import READ, answer_index
from dagster_project.defs.applications.publishing import waiting_applications
from dagster_project.resources.service import IntentService
from intent_tracking.applications.artifacts import ANSWER_INDEX
from intent_tracking.applications.customer_service.making import live_index
from intent_tracking.release import publish, read_release
from intent_tracking.settings import Settings
from tests.fakes.predictors import fake_artifact

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(home=tmp_path, answer_encoder="none", service_url="http://127.0.0.1:9")
    publish(made.release_file, {"intent_model": fake_artifact(tmp_path, "m1")}, "first")
    made.answers.mkdir()
    pairs = "How long does delivery take?,Two days.\n怎么退货？,七天内可退。\n"
    (made.answers / "faq.csv").write_text(f"question,answer\n{pairs}")
    (made.answers / "returns.md").write_text("# Returns\nUnworn shoes go back within 30 days.\n")
    (made.answers / "golden.csv").write_text("question,passage\nreturn shoes,returns.md\n我想退货,faq.csv#2\n")
    return made


def materialize(settings: Settings) -> tuple[dg.ExecuteInProcessResult, dict[str, bool]]:
    resources = {"settings": settings, "intent_service": IntentService(settings.service_url, None)}
    result = dg.materialize([answer_index], resources=resources, raise_on_error=False)
    return result, {each.check_name: each.passed for each in result.get_asset_check_evaluations()}


def test_what_the_shop_wrote_goes_live(settings: Settings) -> None:
    (settings.answers / "broken.csv").write_text("a,b\n")
    result, checks = materialize(settings)
    assert result.success
    assert checks == {"answer_index_finds_its_questions": True, "answer_index_files_are_read": False}
    (read,) = [each for each in result.get_asset_check_evaluations() if each.check_name == READ.name]
    assert "broken.csv:1" in read.description
    live = live_index(settings)
    assert live is not None
    assert live.search("怎么退货", 1)[0].passage.id == "faq.csv#2"
    (materialized,) = result.asset_materializations_for_node("answer_index")
    assert materialized.metadata["golden"].value == 1.0
    assert "broken.csv:1" in str(materialized.metadata["problems"].value)
    number = read_release(settings.release_file).number
    materialize(settings)
    assert read_release(settings.release_file).number == number  # equal files: the same version, published once


def test_an_index_that_finds_less_than_the_live_one_does_not_go_live(settings: Settings) -> None:
    materialize(settings)
    before = read_release(settings.release_file)
    (settings.answers / "returns.md").unlink()
    result, checks = materialize(settings)
    assert not result.success  # so that a person is alerted
    assert not checks["answer_index_finds_its_questions"]
    assert read_release(settings.release_file) == before
    kept = [path for path in (settings.applications / ANSWER_INDEX).iterdir() if path.is_dir()]
    assert len(kept) == 2  # for people to look at
    # Cause: the first release of a model took the newest index along, whatever its judgement was.
    settings.release_file.unlink()
    taken = waiting_applications(settings)[ANSWER_INDEX]
    assert taken.version == before.components[ANSWER_INDEX].version


def test_a_live_index_that_cannot_be_read_is_replaced(settings: Settings) -> None:
    # Cause: an upgrade reads another form of the ranker, and the asset failed on the live one for ever.
    materialize(settings)
    old = read_release(settings.release_file).components[ANSWER_INDEX]
    (settings.release_file.parent / old.path / "ranker.safetensors").write_bytes(b"of another form")
    (settings.answers / "more.md").write_text("# Gift cards\nThere are none.\n")
    result, _ = materialize(settings)
    assert result.success
    assert read_release(settings.release_file).components[ANSWER_INDEX] != old
