"""The Compose file: read as the Compose specification says, and checked for what it promises."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from typer.testing import CliRunner

from intent_tracking.access.keys import Scope, read_keys
from intent_tracking.cli import app
from intent_tracking.settings import Settings

pytestmark = pytest.mark.integration

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
TEXT = (DEPLOY / "docker-compose.yml").read_text()
PROFILES = {"core", "gpu", "scale", "observability", "keys"}
_VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^}]*))?\}")


def interpolated(text: str, environment: dict[str, str]) -> str:
    """`text` with its variables, as Compose puts them in."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if found := environment.get(name):
            return found
        if kind == "?":
            raise KeyError(f"{name}: {rest}")
        return rest or ""

    return _VARIABLE.sub(value, text).replace("$$", "$")


@pytest.fixture(scope="module")
def text() -> str:
    return interpolated(TEXT, {})


@pytest.fixture(scope="module")
def services(text: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    return found


def test_it_is_a_compose_file_whose_parts_refer_to_each_other(text: str) -> None:
    # The library has no merge keys: PyYAML merges them before.
    PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(text))).validate()


@pytest.mark.parametrize(
    ("part", "wrong"),
    [("mem_limit: 2g", "mem_limit: much"), ("networks: [back]", "networks: [nowhere]"), ("cap_drop:", "cap_dorp:")],
)
def test_the_checker_refuses_what_compose_does_not_know(text: str, part: str, wrong: str) -> None:
    assert part in text
    with pytest.raises(ValueError, match=r"."):
        PyCompose.from_yaml(yaml.safe_dump(yaml.safe_load(text.replace(part, wrong)))).validate()


def test_the_service_knows_hashes_of_keys_and_each_caller_its_own_key_alone(
    text: str, services: dict[str, dict[str, Any]]
) -> None:
    for name in ("intent-service", "intent-service-gpu"):
        # Keys in the environment of the service would have every scope.
        assert "INTENT_API_KEYS" not in services[name]["environment"]
        assert services[name]["environment"]["INTENT_KEYS_FILE"] == "/etc/intent/keys.json"
        assert "intent-keys:/etc/intent:ro" in services[name]["volumes"]
    assert [name for name, each in services.items() if "intent-keys:/etc/intent" in each.get("volumes", [])] == ["keys"]
    pipeline = {name for name, each in services.items() if each.get("env_file") == ["./secrets/pipeline.env"]}
    assert pipeline == {name for name in services if name.startswith("dagster-")}
    (shown,) = (each for each in services["prometheus"]["secrets"] if each["target"].endswith(".key"))
    assert yaml.safe_load(text)["secrets"][shown["source"]] == {"file": "./secrets/prometheus.key"}


def test_the_quick_start_gives_each_caller_what_it_needs_and_no_more(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    guide = (DEPLOY.parent / "docs" / "deploy.md").read_text()
    commands = re.findall(r"docker compose run --rm -T keys (create [^>)#\n]+)", guide)
    program, *first = services["keys"]["entrypoint"]
    assert program == "intent-tracking"
    file = tmp_path / "keys.json"
    environment = services["keys"]["environment"]
    assert environment == {"INTENT_KEYS_FILE": "/etc/intent/keys.json"}
    for command in commands:
        made = CliRunner().invoke(app, [*first, *shlex.split(command)], env={"INTENT_KEYS_FILE": str(file)})
        assert made.exit_code == 0, made.output
    assert {key.label: key.scopes for key in read_keys(file) or ()} == {
        "prometheus": (Scope.READ,),
        "pipeline": (Scope.READ,),
        "shop backend": (Scope.TRACK, Scope.READ),
    }


def test_every_service_belongs_to_a_profile_and_every_profile_has_services(services: dict[str, Any]) -> None:
    assert all(service["profiles"] for service in services.values())
    assert {profile for service in services.values() for profile in service["profiles"]} == PROFILES


def test_every_service_is_hardened(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        # Kafka's start script writes its configuration.
        assert service["read_only"] is (name != "kafka"), name
        assert service["pids_limit"], name
        # Images of ours name their user, see the Dockerfiles; the others' users are set here.
        assert "build" in service or re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), name
        assert service.get("healthcheck") or service["restart"] == "no", name


def test_images_are_pinned(services: dict[str, Any]) -> None:
    tags = {name: service["image"].rpartition(":")[2] for name, service in services.items()}
    assert all(re.match(r"v?\d+\.\d+\.\d+", tag) for tag in tags.values()), tags
    for file in DEPLOY.glob("*.Dockerfile"):
        (base,) = re.findall(r"^FROM (\S+)", file.read_text(), re.MULTILINE)
        assert re.match(r"python:3\.11\.\d+-", base), file


def test_what_an_image_adds_to_the_bento_is_of_the_lock() -> None:
    added = re.findall(r"(\S+==\S+)", (DEPLOY / "service.Dockerfile").read_text())
    assert added
    assert set(added) <= set((DEPLOY.parent / "requirements.lock").read_text().split())


def test_our_images_run_as_a_user_without_rights() -> None:
    for file in DEPLOY.glob("*.Dockerfile"):
        users = re.findall(r"^USER (\S+)", file.read_text(), re.MULTILINE)
        assert users == ["10001:10001"], file


def test_nothing_is_published_beyond_this_machine_by_default(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_password_stands_in_the_file(text: str, services: dict[str, Any]) -> None:
    for service in services.values():
        for name in service.get("environment", {}):
            if re.search(r"PASSWORD|KEY|TOKEN", name):
                assert name.endswith("_FILE"), name
    secrets = yaml.safe_load(text)["secrets"]
    assert all(set(secret) == {"file"} for secret in secrets.values())


def test_settings_are_those_of_the_platform(services: dict[str, Any]) -> None:
    fields = {f"INTENT_{name.upper()}" for name in Settings.model_fields}
    for name, service in services.items():
        given = {each for each in service.get("environment", {}) if each.startswith("INTENT_")}
        assert given <= fields, name


def test_answers_can_be_worded_by_a_model_whose_key_stands_in_a_file_of_its_own() -> None:
    # Cause: the endpoint was a setting of the service that reached no container.
    given = {"INTENT_ANSWER_MODEL_URL": "https://words.example/v1", "INTENT_ANSWER_MODEL": "small"}
    found = yaml.safe_load(interpolated(TEXT, given))["services"]
    for name in ("intent-service", "intent-service-gpu"):
        assert given.items() <= found[name]["environment"].items()
        assert found[name]["env_file"] == [{"path": "./secrets/service.env", "required": False}]
        # The way out; the other network has none.
        assert "front" in found[name]["networks"]
    asked = {name for name in Settings.model_fields if name.startswith("answer_") and name != "answer_model_key"}
    passed = found["intent-service"]["environment"].keys() | found["dagster-code"]["environment"].keys()
    assert {f"INTENT_{name.upper()}" for name in asked} <= passed


def test_the_service_believes_the_proxy_that_is_named_and_by_default_none_of_another_machine() -> None:
    for given, believed in ({}, "127.0.0.1"), ({"FORWARDED_ALLOW_IPS": "172.18.0.1"}, "172.18.0.1"):
        found = yaml.safe_load(interpolated(TEXT, given))["services"]
        for name in ("intent-service", "intent-service-gpu"):
            assert found[name]["environment"]["FORWARDED_ALLOW_IPS"] == believed


def test_the_service_has_time_for_its_last_requests_and_for_writing_what_it_holds(services: dict[str, Any]) -> None:
    last_request = Settings.model_fields["request_seconds"].default
    for name in ("intent-service", "intent-service-gpu"):
        assert int(services[name]["stop_grace_period"].removesuffix("s")) >= last_request + 20
        # With another limit for requests the period would have to be another.
        assert "INTENT_REQUEST_SECONDS" not in services[name]["environment"]


def test_what_is_mounted_and_built_from_is_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert not source.startswith(".") or (DEPLOY / source).exists(), source
        if "build" in service:
            context = DEPLOY / service["build"]["context"]
            assert (context / service["build"]["dockerfile"]).is_file()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DEPLOY / "pipeline.Dockerfile").read_text(), re.MULTILINE)
    assert all((DEPLOY.parent / part).exists() for line in copied for part in line.split())
