"""The platform as the demo drives it: its real jobs, schedules and sensors, executed in this process.

`dagster dev` runs the same definitions with a daemon; here one process runs them, so that heavy imports are paid once
and nobody waits for the daemon's clock. Runs and events lie in the same instance that `make dev` opens.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any

import dagster as dg

from dagster_project.definitions import build_definitions
from dagster_project.instance import prepare_dagster_home
from dagster_project.resources.alerts import Alerts
from dagster_project.resources.tables import Tables
from intent_tracking.release import Release, read_release
from intent_tracking.settings import Settings

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class DemoError(RuntimeError):
    """A step did not do what the demo is there to show."""


@dataclass
class Platform:
    """Definitions and instance of one home directory."""

    settings: Settings

    @cached_property
    def definitions(self) -> dg.Definitions:
        """The code location."""
        return build_definitions(self.settings)

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The instance that `make dev` opens."""
        return dg.DagsterInstance.from_config(str(prepare_dagster_home(self.settings)))

    def run(
        self,
        job: str,
        *,
        tags: Mapping[str, str] | None = None,
        ops: Mapping[str, Mapping[str, Any]] | None = None,
        assets: Sequence[dg.AssetKey] | None = None,
        may_fail: bool = False,
    ) -> dg.ExecuteInProcessResult:
        """Execute `job`, or `assets` of it; `ops` gives the config of its steps by name.

        Raises:
            DemoError: it failed and may not; names the step and its error.
        """
        config = {**QUIET, **({"ops": {name: {"config": dict(value)} for name, value in ops.items()}} if ops else {})}
        result = self.definitions.resolve_job_def(job).execute_in_process(
            run_config=config,
            tags=dict(tags or {}),
            instance=self.instance,
            raise_on_error=False,
            asset_selection=assets,
        )
        if not result.success and not may_fail:
            raise DemoError(f"{job} failed: {'; '.join(failures(result)) or 'see the run in the Dagster UI'}")
        return result

    def schedule(self, name: str, day: date) -> list[dg.ExecuteInProcessResult]:
        """Tick the schedule as it ticks on the morning after `day`, and execute what it requests."""
        repository = self.definitions.get_repository_def()
        schedule = repository.get_schedule_def(name)
        moment = datetime.combine(day + timedelta(days=1), time(4), tzinfo=UTC)
        with dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=moment,
            repository_def=repository,
            resources={"settings": self.settings, "tables": Tables(self.settings.tables)},
        ) as context:
            ticked = schedule.evaluate_tick(context)
        return [
            self.run(schedule.job_name, tags=request.tags, assets=request.asset_selection)
            for request in ticked.run_requests or []
        ]

    def ask_drift_sensor(self) -> dg.RunRequest | str:
        """One tick of the drift sensor: its run request, or its reason for none."""
        repository = self.definitions.get_repository_def()
        resources = {"settings": self.settings, "alerts": Alerts()}
        with dg.build_sensor_context(instance=self.instance, repository_def=repository, resources=resources) as context:
            ticked = repository.get_sensor_def("drift_sensor").evaluate_tick(context)
        requests = list(ticked.run_requests or [])
        return requests[0] if requests else (ticked.skip_message or "no reason given")

    def release(self) -> Release:
        """What is live.

        Raises:
            DemoError: nothing is.
        """
        release = read_release(self.settings.release_file)
        if release is None:
            raise DemoError(f"nothing is live: {self.settings.release_file} does not exist")
        return release

    @property
    def live_model(self) -> str:
        """Version of the model that is live."""
        return self.release().components["intent_model"].version

    def evaluation(self, version: str) -> dict[str, Any]:
        """Report and gate decision of a model version, as its evaluation wrote them."""
        folder = self.settings.evaluations / version
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        report["decision"] = json.loads((folder / "decision.json").read_text(encoding="utf-8"))
        return dict(report)


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """Failed steps and blocking checks of a run, each with its reason in one line."""
    errors = [(e.step_key, e.step_failure_data.error) for e in result.all_events if e.is_step_failure]
    said = [
        f"{step}: {error.message.strip().splitlines()[0]}"
        for step, error in errors
        if error is not None and error.cls_name != "DagsterAssetCheckFailedError"
    ]
    checks = [
        f"check {check.check_name} did not pass" + (f" ({check.description})" if check.description else "")
        for check in result.get_asset_check_evaluations()
        if not check.passed
    ]
    return [*said, *checks]


def metadata_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """Metadata of the last materialization of `asset` in a run, as plain values."""
    found: Sequence[dg.AssetMaterialization] = [
        event.step_materialization_data.materialization
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey(asset)
    ]
    merged: dict[str, Any] = {}
    for materialization in found:
        merged.update({name: value.value for name, value in materialization.metadata.items()})
    return merged
