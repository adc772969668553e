"""deploy/observability against what the service exposes: a renamed figure must not leave an alert that never fires."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric

from bentos.intent_service.app import OPERATIONS
from bentos.intent_service.errors import ErrorCode
from bentos.intent_service.metrics import Metrics

pytestmark = pytest.mark.contract

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "observability"
DASHBOARD = json.loads((FOLDER / "grafana" / "dashboards" / "intent-service.json").read_text())
RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
PROMETHEUS_S_OWN = {"up", "ALERTS"}
SELECTOR = re.compile(r"\b(intent[a-z0-9_:]*|up|ALERTS)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'([a-z_]+)\s*(=~|=)\s*"([^"]*)"')


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    found = {f"alerts.yml, {rule.get('alert') or rule['record']}": rule["expr"] for rule in RULES}
    for panel in panels():
        found |= {f"dashboard, {panel['title']}, {each['refId']}": each["expr"] for each in panel["targets"]}
    return found | {f"dashboard, {each['name']}": each["expr"] for each in DASHBOARD["annotations"]["list"]}


def exposed() -> dict[str, set[str]]:
    """Each series name that the service exposes, and its labels; from Metrics, where each metric is declared."""
    metrics: Iterator[Metric] = Metrics()._registry.collect()
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    declared = {metric._name: set(metric._labelnames) for metric in vars(Metrics())["_registry"]._collector_to_names}
    series = {}
    for metric in metrics:
        for suffix in suffixes[metric.type]:
            labels = declared[metric.name] | ({"le"} if suffix == "_bucket" else set())
            series[metric.name + suffix] = labels | {"instance", "job"}
    return series


def recorded() -> set[str]:
    return {rule["record"] for rule in RULES if "record" in rule}


@pytest.mark.parametrize("where", expressions())
def test_every_series_and_label_of_an_expression_exists(where: str) -> None:
    expression, series = expressions()[where], exposed()
    # Label names in `by (...)` are no series.
    clauses = r"\b(?:by|on|group_left|without) \(([^)]*)\)"
    names = set()
    for name, matchers in SELECTOR.findall(re.sub(clauses, "", expression)):
        names.add(name)
        if name in recorded() | PROMETHEUS_S_OWN or name == "intent":
            continue
        assert name in series, f"{where}: the service has no {name}"
        for label, _, _ in MATCHER.findall(matchers):
            assert label in series[name], f"{where}: {name} has no label {label}"
    of_all = set().union(*(series.get(name, {"intent", "instance"}) for name in names))
    for clause in re.findall(clauses, expression):
        for label in filter(None, (each.strip() for each in clause.split(","))):
            assert label in of_all, f"{where}: no series here has the label {label}"


def test_label_values_in_expressions_are_ones_that_occur() -> None:
    codes = {code.value for code in ErrorCode}
    routes = {operation.path for operation in OPERATIONS}
    seen = set()
    for where, expression in expressions().items():
        for label, how, value in MATCHER.findall(expression):
            seen.add(label)
            if label == "code":
                assert value in codes, where
            if label == "route":
                assert how == "=~"
                assert any(re.fullmatch(value, route) for route in routes), where
            if label == "le":
                bounds = [f'le="{bound}"' for bound in Metrics()._confidence._upper_bounds]
                assert f'le="{value}"' in bounds, where
    assert {"code", "route", "le", "status", "result", "why", "instance"} <= seen


def test_every_metric_of_the_service_is_looked_at_somewhere() -> None:
    text = "\n".join(expressions().values())
    unseen = {name for name in exposed() if name.endswith(("_total", "_count")) or "_bucket" not in name}
    families = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in unseen}
    # A switch is seen by the number of the release.
    assert {family for family in families if family not in text} == {"intent_release_switches"}


def test_every_alert_has_its_paragraph_in_the_operations_page_and_no_other_has() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert set(re.findall(r"\| `(Intent[A-Za-z]+)` \|", page)) == {rule["alert"] for rule in RULES if "alert" in rule}


def test_alerts_say_how_urgent_they_are_and_what_is_wrong() -> None:
    for rule in RULES:
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
            assert len(rule["annotations"]["summary"]) > 20, rule["alert"]


def test_panels_have_a_place_a_meaning_a_unit_and_the_provisioned_source() -> None:
    source = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        mine = {(place["x"] + column, place["y"] + line) for column in range(place["w"]) for line in range(place["h"])}
        assert not mine & cells, f"{panel['title']} lies over another panel"
        cells |= mine
    for panel in panels():
        assert panel["description"].endswith((".", "why.", "cause.")), panel["title"]
        if panel["type"] != "heatmap":
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": source["uid"]}, panel["title"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    assert len({panel["title"] for panel in panels()}) == len(panels())
    provider = yaml.safe_load((FOLDER / "grafana/provisioning/dashboards/intent.yml").read_text())["providers"][0]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    return found


def test_promtool_takes_the_configuration_and_the_rules(promtool: str) -> None:
    _checked(promtool, "check", "config", "--syntax-only", "prometheus.yml")
    _checked(promtool, "check", "rules", "alerts.yml")


@pytest.mark.parametrize("file", ["alerts.test.yml", "drift.test.yml"])
def test_alerts_fire_on_what_they_are_for_and_are_silent_otherwise(promtool: str, file: str) -> None:
    _checked(promtool, "test", "rules", file)


def test_each_alert_is_fired_by_a_test() -> None:
    fired: set[str] = set()
    for file in ("alerts.test.yml", "drift.test.yml"):
        for each in yaml.safe_load((FOLDER / file).read_text())["tests"]:
            fired |= {case["alertname"] for case in each["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in RULES if "alert" in rule}


def test_promtool_takes_every_expression_of_the_dashboard(promtool: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m").replace("$instance", ".*")}
        for number, (where, expression) in enumerate(expressions().items())
        if where.startswith("dashboard")
    ]
    assert len(rules) > 30
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    _checked(promtool, "check", "rules", str(file))


def _checked(*command: str) -> None:
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
