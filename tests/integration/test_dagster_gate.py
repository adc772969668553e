"""The gate in the graph: a refused challenger is neither packaged nor deployed, whoever asks; an accepted one is."""

import dagster as dg
import pytest

from dagster_project.definitions import build_definitions
from dagster_project.defs.evaluation.acceptance import accepted
from dagster_project.defs.evaluation.checks import (
    intent_model_evaluation_accepted,
    intent_model_evaluation_behaves,
    intent_model_evaluation_calibrated,
)
from dagster_project.defs.serving.assets import BentoConfig, DeploymentConfig
from intent_tracking.evaluation.report import write_report
from intent_tracking.release import Component, publish, read_release
from intent_tracking.settings import Settings
from tests.artifacts import tiny_artifact, tiny_component

pytestmark = pytest.mark.integration

VERSION = "20260301-0badcafe"


@pytest.fixture
def settings(tmp_path) -> Settings:
    made = Settings(home=tmp_path, service_url="http://127.0.0.1:9")
    tiny_artifact(made.models / VERSION, VERSION)
    return made


def judged(
    settings: Settings,
    *,
    promote: bool = True,
    ece: float | None = 0.04,
    behaves: bool = True,
    champion: str | None = None,
) -> None:
    """What an evaluation leaves behind."""
    folder = settings.evaluations / VERSION
    decision = {
        "promote": promote,
        "reasons": ["passed: calibrated"] if promote else ["refused: may be worse than the champion"],
        "figures": {"ece": ece, "examples": 300.0},
        "max_ece": 0.1,
        "version": VERSION,
        "champion": champion,
    }
    failure = {"kind": "invariance", "name": "case", "language": "en", "intent": None, "before": "a", "after": "A"}
    behaviour = {
        "passed": behaves,
        "reason": "behaviour: invariance 90%",
        "pass_rate": 0.9,
        "rates": [{"kind": "invariance", "language": "en", "passed": 9, "total": 10}],
        "tests": [{"kind": "invariance: case", "language": "en", "passed": 9, "total": 10}],
        "failures": [{**failure, "said": "x -> y"}],
        "skipped": 0,
    }
    write_report(folder / "decision.json", decision)
    write_report(folder / "behaviour.json", behaviour)


@dg.asset
def intent_model_evaluation() -> dg.MaterializeResult:
    """Stands for the evaluation that left `judged` behind."""
    return dg.MaterializeResult(metadata={"model_version": VERSION})


@dg.asset(deps=[intent_model_evaluation])
def behind_the_gate() -> None:
    """Stands for the Bento."""


def run_gate(settings: Settings) -> dg.ExecuteInProcessResult:
    checks = [intent_model_evaluation_behaves, intent_model_evaluation_calibrated, intent_model_evaluation_accepted]
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(
            [intent_model_evaluation, behind_the_gate, *checks],
            instance=instance,
            resources={"settings": settings},
            raise_on_error=False,
        )


def materialized(result: dg.ExecuteInProcessResult) -> set[str]:
    return {event.asset_key.to_user_string() for event in result.get_asset_materialization_events()}


def test_an_accepted_challenger_passes_the_gate(settings):
    judged(settings)
    result = run_gate(settings)
    assert result.success
    assert "behind_the_gate" in materialized(result)


@pytest.mark.parametrize(
    ("verdict", "check"),
    [
        ({"promote": False}, "intent_model_evaluation_accepted"),
        ({"behaves": False}, "intent_model_evaluation_behaves"),
        ({"ece": 0.2}, "intent_model_evaluation_calibrated"),
        ({"ece": None}, "intent_model_evaluation_calibrated"),
    ],
)
def test_each_test_of_the_gate_stops_what_stands_behind_it(settings, verdict, check):
    judged(settings, **verdict)
    result = run_gate(settings)
    assert {c.check_name for c in result.get_asset_check_evaluations() if not c.passed} == {check}
    assert materialized(result) == {"intent_model_evaluation"}


def selected(settings: Settings, asset: str, config: dg.RunConfig, instance: dg.DagsterInstance):
    job = dg.define_asset_job("one", selection=dg.AssetSelection.assets(asset).without_checks())
    definitions = dg.Definitions.merge(build_definitions(settings), dg.Definitions(jobs=[job]))
    return definitions.resolve_job_def("one").execute_in_process(
        run_config=config, instance=instance, raise_on_error=False
    )


def test_a_refused_version_is_not_packaged_when_a_person_asks_for_it_alone(settings):
    judged(settings, promote=False)
    with dg.DagsterInstance.ephemeral() as instance:
        result = selected(
            settings, "intent_bento", dg.RunConfig(ops={"intent_bento": BentoConfig(version=VERSION)}), instance
        )
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "may be worse than the champion" in failure.step_failure_data.error.cause.message
    assert not (settings.home / "bentoml").exists()


ALONE = {
    "intent_bento": BentoConfig(version=VERSION),
    "deployed_intent_service": DeploymentConfig(version=VERSION),
}


def refusal(settings: Settings, asset: str) -> str:
    """Why `asset` is not made of VERSION when a person asks for it alone."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = selected(settings, asset, dg.RunConfig(ops={asset: ALONE[asset]}), instance)
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert not (settings.home / "bentoml").exists()
    return str(failure.step_failure_data.error.cause.message)


def go_live(settings: Settings, version: str) -> None:
    publish(settings.release_file, {"intent_model": tiny_component(settings.home, version, seed=1)}, "by hand")


def live(settings: Settings) -> str | None:
    release = read_release(settings.release_file)
    return release.components["intent_model"].version if release else None


def test_a_refused_version_is_not_published_when_a_person_asks_for_it_alone(settings):
    judged(settings, promote=False)
    assert "may be worse than the champion" in refusal(settings, "deployed_intent_service")
    assert live(settings) is None


@pytest.mark.parametrize("asset", list(ALONE))
def test_a_version_that_was_never_evaluated_goes_nowhere(settings, asset):
    assert "never evaluated" in refusal(settings, asset)
    assert live(settings) is None


@pytest.mark.parametrize("asset", list(ALONE))
@pytest.mark.parametrize("champion", [None, "v1"])
def test_what_was_accepted_against_another_champion_than_the_live_one_is_evaluated_again_first(
    settings, asset, champion
):
    judged(settings, champion=champion)
    go_live(settings, "v2")
    said = refusal(settings, asset)
    assert f"held against {champion or 'no champion'}, but v2 is live now" in said
    assert "materialize intent_model_evaluation" in said
    assert live(settings) == "v2"


def test_what_is_live_already_may_be_asked_for_again(settings):
    judged(settings, champion="v1")
    publish(settings.release_file, {"intent_model": Component.of(settings.models / VERSION)}, "by hand")
    assert accepted(settings, VERSION)["champion"] == "v1"


def test_an_accepted_version_is_released_with_its_reason(settings):
    judged(settings)
    config = DeploymentConfig(version=VERSION, reason="better on March")
    with dg.DagsterInstance.ephemeral() as instance:
        result = selected(
            settings, "deployed_intent_service", dg.RunConfig(ops={"deployed_intent_service": config}), instance
        )
    release = read_release(settings.release_file)
    assert result.success
    assert (release.components["intent_model"].version, release.reason) == (VERSION, "better on March")
