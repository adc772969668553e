"""The search as a job: its recipe, its pictures, and a training that uses it and says so."""

import json
from datetime import date

import dagster as dg
import pytest

from dagster_project.definitions import build_definitions
from dagster_project.defs.training.assets import TrainingConfig
from dagster_project.defs.training.examples import (
    TrainingWindow,
    read_examples,
    recipe_path,
    tokenized_path,
    write_examples,
)
from dagster_project.defs.training.search import SearchConfig
from intent_tracking.artifact import read_manifest
from intent_tracking.modeling.dataset import prepare_dataset
from intent_tracking.modeling.search_result import read_found_recipe
from intent_tracking.settings import Settings
from tests.fakes.tiny_encoder import tiny_encoder, tiny_examples

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    made = Settings(home=home, device="cpu", base_encoder=str(tiny_encoder(home / "encoder")))
    write_examples(made, tiny_examples(), TrainingWindow(date(2026, 3, 1), date(2026, 3, 10)))
    prepare_dataset(read_examples(made), made.base_encoder).save(tokenized_path(made))
    return made


@pytest.fixture(scope="module")
def searched(settings) -> dg.ExecuteInProcessResult:
    config = dg.RunConfig(ops={"recipe_search": SearchConfig(max_trials=2)})
    with dg.DagsterInstance.ephemeral() as instance:
        job = build_definitions(settings).resolve_job_def("search_job")
        return job.execute_in_process(run_config=config, instance=instance)


def train(settings: Settings, config: TrainingConfig) -> dg.ExecuteInProcessResult:
    job = dg.define_asset_job("one", selection=dg.AssetSelection.assets("intent_model").without_checks())
    definitions = dg.Definitions.merge(build_definitions(settings), dg.Definitions(jobs=[job]))
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def("one").execute_in_process(
            run_config=dg.RunConfig(ops={"intent_model": config}), instance=instance, raise_on_error=False
        )


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, object]:
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_the_job_leaves_a_recipe_its_study_and_pictures(settings, searched):
    said = metadata(searched)
    found = read_found_recipe(recipe_path(settings))
    folder = settings.search / found.study
    assert (folder / "study.sqlite").exists()
    assert json.loads((folder / "recipe.json").read_text()) == json.loads(recipe_path(settings).read_text())
    assert said["score"] == found.score >= said["default_score"] == found.default_score
    assert said["trials/complete"] == 2
    assert said["trials"].count("\n") == 3
    for name in ("search_history", "search_parallel", "search_slices"):
        assert said[name].startswith(f"![{name}](data:image/png;base64,")


def test_a_training_uses_the_recipe_when_it_is_told_to(settings, searched):
    found = read_found_recipe(recipe_path(settings))
    said = metadata(train(settings, TrainingConfig(searched_recipe=True)))
    assert said["recipe_from"] == f"search {found.study}, on this data"
    assert said["recipe"] == found.recipe.model_dump()
    assert read_manifest(settings.models / said["model_version"]).dataset_fingerprint == found.dataset_fingerprint


def test_a_recipe_of_other_data_is_used_and_one_of_another_encoder_is_refused(settings, searched):
    found = read_found_recipe(recipe_path(settings))
    text = recipe_path(settings).read_text()
    other = found.model_copy(
        update={"dataset_fingerprint": "0" * 64, "recipe": found.recipe.model_copy(update={"epochs": 1})}
    )
    try:
        recipe_path(settings).write_text(other.model_dump_json())
        said = metadata(train(settings, TrainingConfig(searched_recipe=True)))
        assert said["recipe_from"] == f"search {found.study}, where dataset_fingerprint differed"
        recipe_path(settings).write_text(found.model_copy(update={"base_encoder": "other"}).model_dump_json())
        refused = train(settings, TrainingConfig(searched_recipe=True))
        assert not refused.success
        (failure,) = [event for event in refused.all_events if event.event_type_value == "STEP_FAILURE"]
        assert "was found for base encoder other" in failure.event_specific_data.error.to_string()
    finally:
        recipe_path(settings).write_text(text)
