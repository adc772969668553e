"""The code location loads, quickly and whole, and every asset tells people what it is."""

import subprocess
import sys
from datetime import date

import dagster as dg
import pytest
from dagster._utils.tags import TagConcurrencyLimitsCounter  # what the daemon of the queue asks; it has no public name

from dagster_project.definitions import build_definitions
from dagster_project.instance import prepare_dagster_home
from intent_tracking.settings import Settings

pytestmark = pytest.mark.unit

ASSETS = {
    "raw_events",
    "validated_events",
    "quarantined_events",
    "sessions",
    "session_texts",
    "user_features",
    "item_features",
    "online_features",
    "training_examples",
    "domain_adapted_encoder",
    "tokenized_sessions",
    "recipe_search",
    "intent_model",
    "intent_model_evaluation",
    "intent_bento",
    "deployed_intent_service",
    "served_predictions",
    "drift_report",
}
DAILY = {
    "raw_events",
    "validated_events",
    "quarantined_events",
    "sessions",
    "session_texts",
    "user_features",
    "item_features",
    "served_predictions",
    "drift_report",
}
APPLICATIONS = {
    "answer_index",
    "insights_report",
    "propensity_model",
    "audiences",
    "audience_effects",
    "audience_files",
    "online_derived_views",
    "risk_cases",
    "risk_model",
    "risk_scores",
    "user_segments",
    "item_index",
    "user_items",
}
# Their assets by the day.
DAILY_APPLICATIONS = {"insights_report", "user_segments", "audiences", "audience_files", "risk_cases", "risk_scores"}
HEAVY = (
    "torch",
    "transformers",
    "great_expectations",
    "evidently",
    "feast",
    "sklearn",
    "matplotlib",
    "pandas",
    "optuna",
)


@pytest.fixture(scope="module")
def definitions(tmp_path_factory):
    return build_definitions(Settings(home=tmp_path_factory.mktemp("home"), first_day=date(2026, 3, 1)))


@pytest.fixture(scope="module")
def specs(definitions):
    found = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}
    stubs = {name for name, spec in found.items() if spec.metadata.get("dagster/auto_created_stub_asset")}
    assert not stubs
    return found


def test_the_code_location_is_loadable(definitions):
    dg.Definitions.validate_loadable(definitions)


def test_the_service_is_called_with_the_first_key_that_it_takes(tmp_path):
    settings = Settings(home=tmp_path, api_keys=", first ,second")
    assert build_definitions(settings).resources["intent_service"].api_key == "first"


def test_the_assets_are_those_of_the_design(specs):
    assert set(specs) == ASSETS | APPLICATIONS
    assert {name for name, spec in specs.items() if spec.group_name == "applications"} == APPLICATIONS


def test_every_asset_says_what_it_is_where_it_belongs_and_whose_it_is(specs):
    for name, spec in specs.items():
        assert spec.description, name
        assert len(spec.description) > 60, name
        assert spec.owners, name
        assert spec.kinds, name
        assert spec.group_name not in (None, "default"), name


def test_day_grained_assets_begin_with_the_first_day_of_the_settings(specs):
    daily = {name for name, spec in specs.items() if spec.partitions_def is not None}
    assert daily == DAILY | DAILY_APPLICATIONS
    for name in daily:
        assert specs[name].partitions_def.get_first_partition_key() == "2026-03-01"


def test_checks_are_named_after_their_asset_and_block(definitions):
    graph = definitions.resolve_asset_graph()
    for key in graph.asset_check_keys:
        assert key.name.startswith(f"{key.asset_key.to_user_string()}_")
    blocking = {key.name for key in graph.asset_check_keys if graph.get(key).blocking}
    assert blocking
    # Behind a risk model that is refused the day is scored by the live one.
    not_blocking = {
        "audiences_channels_known",
        "drift_report_calm",
        "user_segments_large",
        "risk_model_passes_gate",
        "risk_scores_seldom_block",
        "risk_scores_within_budget",
        "answer_index_files_are_read",
        "validated_events_usual",
        "raw_events_in_time",
    }
    assert blocking == {k.name for k in graph.asset_check_keys} - not_blocking


def test_the_way_of_the_data_has_no_gap(definitions):
    graph = definitions.resolve_asset_graph()
    ancestors = {key.to_user_string() for key in graph.get_ancestor_asset_keys(dg.AssetKey("drift_report"))}
    assert ancestors == ASSETS - {"drift_report", "quarantined_events"}


@pytest.mark.parametrize("name", ["intent_model", "recipe_search", "domain_adapted_encoder"])
def test_training_goes_through_the_gpu_pool(definitions, name):
    assert definitions.resolve_asset_graph().get(dg.AssetKey(name)).pools == {"gpu"}


def test_whoever_starts_a_run_one_step_at_a_time_writes_day_tables_and_one_the_feature_registry(definitions):
    graph = definitions.resolve_asset_graph()
    for name in DAILY | DAILY_APPLICATIONS:
        assert graph.get(dg.AssetKey(name)).pools == {"tables"}, name
    for name in ("online_features", "online_derived_views"):
        assert graph.get(dg.AssetKey(name)).pools == {"feast"}


def test_every_job_has_a_time_limit(definitions):
    for name in (
        "ingest_job",
        "features_job",
        "retrain_job",
        "adaptation_job",
        "search_job",
        "drift_job",
        "rollback_job",
        "applications_job",
        "risk_lookback_job",
    ):
        assert int(definitions.resolve_job_def(name).tags["dagster/max_runtime"]) > 0


@pytest.fixture(scope="module")
def run_queue(tmp_path_factory):
    """The limits of the queue, as the instance of a new home has them."""
    home = prepare_dagster_home(Settings(home=tmp_path_factory.mktemp("home")))
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance.get_concurrency_config().run_queue_config


TRAINING_JOBS = ("retrain_job", "search_job", "adaptation_job")
NIGHTLY_JOBS = ("ingest_job", "features_job", "drift_job", "applications_job", "risk_lookback_job")


def test_what_trains_waits_in_the_queue_while_something_trains_and_nothing_else_does(definitions, run_queue):
    """Started, it would hold a room for as long as the other trains, and its own time would run out meanwhile."""
    for running in TRAINING_JOBS:
        limits = TagConcurrencyLimitsCounter(run_queue.tag_concurrency_limits, [definitions.resolve_job_def(running)])
        for waiting in TRAINING_JOBS:
            assert limits.is_blocked(definitions.resolve_job_def(waiting)), (running, waiting)
        for other in (*NIGHTLY_JOBS, "rollback_job", "erasure_job"):
            assert not limits.is_blocked(definitions.resolve_job_def(other)), (running, other)


def test_the_jobs_of_a_night_wait_for_each_other(definitions, run_queue):
    """Features looked for yesterday while it was still being ingested, and failed; audiences were drawn without it."""
    for running in NIGHTLY_JOBS:
        limits = TagConcurrencyLimitsCounter(run_queue.tag_concurrency_limits, [definitions.resolve_job_def(running)])
        for waiting in NIGHTLY_JOBS:
            assert limits.is_blocked(definitions.resolve_job_def(waiting)), (running, waiting)
        for other in (*TRAINING_JOBS, "rollback_job", "erasure_job"):
            assert not limits.is_blocked(definitions.resolve_job_def(other)), (running, other)


def test_a_rollback_finds_room_beside_a_training_and_the_whole_day_and_goes_before_all_else(definitions, run_queue):
    assert run_queue.max_concurrent_runs > 2  # one that trains, one of the night
    priority = {
        job.name: int(job.tags.get("dagster/priority", "0")) for job in definitions.get_repository_def().get_all_jobs()
    }
    first, second, third = sorted(priority, key=lambda name: -priority[name])[:3]
    assert (first, second) == ("rollback_job", "erasure_job")
    assert priority[first] > priority[second] > priority[third]


def test_building_the_definitions_imports_nothing_heavy_and_writes_nothing(tmp_path):
    program = (
        "import sys; from dagster_project.definitions import defs; defs();"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"INTENT_HOME": str(tmp_path / "home"), "PATH": "", "PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "[]"
    assert not (tmp_path / "home").exists()
