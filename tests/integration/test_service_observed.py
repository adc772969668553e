"""What an operator sees of the running service: every line of its log, its figures, and its traces."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from intent_tracking.release import publish
from tests.artifacts import tiny_component
from tests.fakes.service_process import ROOT, RunningService, free_port, running_service
from tests.fakes.trace_collector import TraceCollector, trace_collector

pytestmark = pytest.mark.integration

REQUEST = "0f6a2b3c4d5e4f608a9b0c1d2e3f4a5b"
OBSERVABILITY = ROOT / "deploy" / "observability"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(scope="module")
def collector() -> Iterator[TraceCollector]:
    with trace_collector() as found:
        yield found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, collector: TraceCollector) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("observed")
    publish(home / "release.json", {"intent_model": tiny_component(home, "m-seen")}, "first")
    with running_service(home, environment={"INTENT_OTLP_ENDPOINT": collector.address}) as running:
        running.wait_for_release(1)
        yield running


def test_a_request_is_found_by_its_id_in_answer_log_and_trace(
    service: RunningService, collector: TraceCollector
) -> None:
    answer = httpx.post(
        service.address + "/v1/intent?user=jane.doe",
        json={"texts": ["where is Jane's parcel"]},
        headers={"X-Request-Id": REQUEST, "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
        timeout=60,
    )
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] == REQUEST
    spans = collector.wait_for(3, TRACE)
    request = next(span for span in spans if span.name == "POST /v1/intent")
    assert "inference" in {span.name for span in spans}
    assert request.attributes["intent.request_id"] == REQUEST
    assert request.attributes["intent.model_version"] == "m-seen"
    [line] = [line for line in lines_of(service.log) if line.get("request_id") == REQUEST]
    assert (line["status"], line["model_version"], line["trace_id"]) == (200, "m-seen", TRACE)


def test_every_line_of_every_process_has_the_one_shape(service: RunningService) -> None:
    lines = lines_of(service.log)
    assert all({"time", "level", "message", "logger"} <= set(line) for line in lines)
    loggers = {line["logger"] for line in lines}
    # Of BentoML's parent process, of its worker, and of our own.
    assert {"bentoml.serve", "bentos.intent_service.releases", "bentos.intent_service.observed"} <= loggers
    assert "jane" not in service.log.read_text().lower()


def test_figures_of_the_worker_processes_are_those_of_the_service(service: RunningService) -> None:
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(service.call("/metrics")[1])
        for sample in family.samples
    }
    assert samples["intent_model_info", "m-seen"] == 1
    assert samples["intent_process_resident_bytes", "1"] > 1e8
    assert samples["intent_http_request_seconds_count", "/v1/intent"] >= 1


def test_prometheus_scrapes_the_service_by_our_configuration_and_no_alert_fires(
    service: RunningService, tmp_path: Path
) -> None:
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    configuration = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())
    # A scrape may take as long as the interval.
    configuration["global"] = {"scrape_interval": "3s", "evaluation_interval": "500ms"}
    configuration["rule_files"] = [str(OBSERVABILITY / "alerts.yml")]
    [scrape] = configuration["scrape_configs"]
    scrape["static_configs"] = [{"targets": [service.address.removeprefix("http://")]}]
    scrape["authorization"]["credentials_file"] = str(tmp_path / "key")
    (tmp_path / "key").write_text("none is asked for on this machine")
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    address = f"127.0.0.1:{free_port()}"
    command = [program, f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        assert len(asked(address, "up == 1", tmp_path / "log")) == 1
        [model] = asked(address, "intent_model_info", tmp_path / "log")
        assert (model["metric"]["model_version"], model["metric"]["job"]) == ("m-seen", "intent-service")
        groups = httpx.get(f"http://{address}/api/v1/rules", timeout=60).json()["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
        assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def asked(address: str, query: str, log: Path) -> list[dict[str, Any]]:
    """The series that Prometheus has for `query`, once there are some."""
    deadline = time.monotonic() + 120
    while True:
        try:
            answer = httpx.get(f"http://{address}/api/v1/query", params={"query": query}, timeout=20)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code == 200 and answer.json()["data"]["result"]:
            found: list[dict[str, Any]] = answer.json()["data"]["result"]
            return found
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def lines_of(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]
