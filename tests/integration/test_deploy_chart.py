"""The Helm chart: rendered by Helm itself, checked against the schemas of Kubernetes, and by what it promises."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from bentos.intent_service.app import OPERATIONS
from intent_tracking.settings import Settings

pytestmark = pytest.mark.integration

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "intent-tracking"
KUBERNETES = ("1.29", "1.33", "1.37")
# A resource of the Prometheus operator: its schema is the cluster's own.
WITHOUT_SCHEMA = {"ServiceMonitor"}

LEAST: dict[str, Any] = {"keys": {"existingSecret": "intent-keys"}}
SCALED: dict[str, Any] = LEAST | {
    "sessionStore": {"existingSecret": "redis"},
    "eventLog": {"existingSecret": "kafka"},
    "persistence": {"accessModes": ["ReadWriteMany"]},
    "autoscaling": {"enabled": True},
}
EVERYTHING: dict[str, Any] = SCALED | {
    "image": {"repository": "registry.example/intent", "digest": "sha256:" + "a" * 64},
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {
        "INTENT_CORS_ORIGINS": "https://shop.example",
        "INTENT_MAX_IN_FLIGHT": 64,
        "INTENT_ANSWER_MODEL_URL": "https://words.example/v1",
    },
    "answerModel": {"existingSecret": "words"},
    "gpu": {"enabled": True},
    "ingress": {"enabled": True, "className": "nginx", "host": "intent.shop.example", "tlsSecret": "tls"},
    "trustedProxies": ["10.4.0.0/16", "fd00::7"],
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"team": "shop"}, "authorization": {"existingSecret": "metrics"}},
    "serviceAccount": {"annotations": {"a": "b"}},
    "service": {"annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"tier": "live"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "intent-tracking"}},
        }
    ],
}
BARE: dict[str, Any] = LEAST | {
    "persistence": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
    "serviceAccount": {"create": False},
}
CASES = {"least": LEAST, "scaled": SCALED, "everything": EVERYTHING, "bare": BARE}


@pytest.fixture(scope="module")
def helm() -> str:
    found = shutil.which("helm") or shutil.which("helm", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("Helm is not installed: python deploy/fetch_helm.py .venv/bin")
    return found


Rendered = Callable[[str], dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def rendered(helm: str, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """The resources of a case by their kind, rendered once. Tests do not change them."""
    folder = tmp_path_factory.mktemp("rendered")

    @cache
    def of_case(case: str) -> dict[str, dict[str, Any]]:
        done = call(helm, folder, CASES[case], "template", "shop", "--namespace", "live")
        assert done.returncode == 0, done.stderr
        documents = [document for document in yaml.safe_load_all(done.stdout) if document]
        by_kind = {document["kind"]: document for document in documents}
        assert len(by_kind) == len(documents)
        return by_kind

    return of_case


def call(helm: str, tmp_path: Path, values: dict[str, Any], *command: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [helm, *command, str(CHART), "--values", str(file)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def container_of(documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    (container,) = documents["Deployment"]["spec"]["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


@pytest.mark.parametrize("values", CASES.values(), ids=CASES)
def test_helm_has_nothing_to_complain_about(helm: str, tmp_path: Path, values: dict[str, Any]) -> None:
    done = call(helm, tmp_path, values, "lint", "--strict")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("case", CASES)
def test_every_resource_is_one_that_kubernetes_knows(rendered: Rendered, case: str) -> None:
    documents = rendered(case)
    for kind in documents.keys() - WITHOUT_SCHEMA:
        for version in KUBERNETES:
            kubernetes_validate.validate(documents[kind], version, strict=True)


def test_the_checker_refuses_a_field_that_kubernetes_does_not_know(rendered: Rendered) -> None:
    deployment = deepcopy(rendered("least")["Deployment"])
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(deployment, KUBERNETES[-1], strict=True)


def test_what_is_rendered_by_default_and_with_everything(rendered: Rendered) -> None:
    least = {"Deployment", "Service", "ServiceAccount", "PersistentVolumeClaim", "PodDisruptionBudget", "NetworkPolicy"}
    assert set(rendered("least")) == least
    more = {"Ingress", "HorizontalPodAutoscaler", "ServiceMonitor"}
    assert set(rendered("everything")) == least | more
    assert set(rendered("bare")) == {"Deployment", "Service"}


@pytest.mark.parametrize("case", CASES)
def test_the_pod_has_no_right_that_it_does_not_need(rendered: Rendered, case: str) -> None:
    documents = rendered(case)
    pod = documents["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    container = container_of(documents)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"]["cpu"]
    assert ":latest" not in container["image"]
    # The image writes nowhere else.
    assert {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")} == {
        "/var/lib/intent",
        "/tmp",  # noqa: S108 - in the container
    }


def test_secrets_are_referred_to_and_never_made(rendered: Rendered) -> None:
    documents = rendered("everything")
    assert "Secret" not in documents
    environment = {each["name"]: each for each in container_of(documents)["env"]}
    for name, secret, key in (
        ("INTENT_SESSION_STORE", "redis", "url"),
        ("INTENT_EVENT_LOG_KAFKA", "kafka", "url"),
        ("INTENT_ANSWER_MODEL_KEY", "words", "key"),
    ):
        assert environment[name]["valueFrom"] == {"secretKeyRef": {"name": secret, "key": key}}
    assert "INTENT_ANSWER_MODEL_KEY" not in {each["name"] for each in container_of(rendered("least"))["env"]}
    volumes = {volume["name"]: volume for volume in documents["Deployment"]["spec"]["template"]["spec"]["volumes"]}
    assert volumes["keys"]["secret"] == {"secretName": "intent-keys"}
    assert environment["INTENT_KEYS_FILE"]["value"] == "/etc/intent/keys.json"


def test_settings_and_probes_are_those_of_the_service(rendered: Rendered) -> None:
    container = container_of(rendered("everything"))
    fields = {f"INTENT_{name.upper()}" for name in Settings.model_fields}
    assert {each["name"] for each in container["env"]} - {"FORWARDED_ALLOW_IPS"} <= fields
    paths = {operation.path for operation in OPERATIONS if operation.scope is None}
    probes = [container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert {probe["httpGet"]["path"] for probe in probes} <= paths
    monitor = rendered("everything")["ServiceMonitor"]["spec"]["endpoints"][0]
    assert monitor["path"] in {operation.path for operation in OPERATIONS}
    assert monitor["authorization"] == {"type": "Bearer", "credentials": {"name": "metrics", "key": "key"}}


def test_the_service_and_the_policies_select_the_pods(rendered: Rendered) -> None:
    documents = rendered("everything")
    labels = documents["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        documents["Service"]["spec"]["selector"],
        documents["Deployment"]["spec"]["selector"]["matchLabels"],
        documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        documents["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        documents["ServiceMonitor"]["spec"]["selector"]["matchLabels"],
    ]
    assert all(selector and selector.items() <= labels.items() for selector in selectors)
    assert documents["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "shop-intent-tracking"
    assert "replicas" not in documents["Deployment"]["spec"]


def test_the_ingress_shows_neither_the_figures_nor_the_console(rendered: Rendered) -> None:
    (rule,) = rendered("everything")["Ingress"]["spec"]["rules"]
    assert {path["path"]: path["pathType"] for path in rule["http"]["paths"]} == {
        "/v1": "Prefix",
        "/snippet.js": "Exact",
        "/docs.json": "Exact",
    }


def test_the_service_believes_the_proxies_that_are_named_and_no_others(rendered: Rendered) -> None:
    environment = {each["name"]: each.get("value") for each in container_of(rendered("everything"))["env"]}
    assert environment["FORWARDED_ALLOW_IPS"] == "10.4.0.0/16,fd00::7"
    assert "FORWARDED_ALLOW_IPS" not in {each["name"] for each in container_of(rendered("least"))["env"]}


def test_no_file_of_sqlite_lies_on_a_volume_of_several_pods(rendered: Rendered) -> None:
    environment = {each["name"]: each for each in container_of(rendered("scaled"))["env"]}
    assert environment["INTENT_CONSOLE_FEED_FILE"]["value"].startswith("/tmp/")  # noqa: S108 - in the container
    volumes = {each["name"]: each for each in rendered("scaled")["Deployment"]["spec"]["template"]["spec"]["volumes"]}
    assert "emptyDir" in volumes["tmp"]
    assert "INTENT_SESSION_STORE" in environment
    assert "INTENT_CONSOLE_FEED_FILE" not in {each["name"] for each in container_of(rendered("least"))["env"]}


def test_a_pod_has_time_for_its_last_requests_and_for_writing_what_it_holds(rendered: Rendered) -> None:
    pod = rendered("least")["Deployment"]["spec"]["template"]["spec"]
    wait = int(container_of(rendered("least"))["lifecycle"]["preStop"]["exec"]["command"][-1])
    last_request = Settings.model_fields["request_seconds"].default
    assert pod["terminationGracePeriodSeconds"] >= wait + last_request + 20


def test_a_volume_of_one_pod_is_given_up_before_the_next_pod_takes_it(rendered: Rendered) -> None:
    assert rendered("least")["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    assert rendered("scaled")["Deployment"]["spec"]["strategy"]["type"] == "RollingUpdate"


def test_a_gpu_is_asked_for_beside_the_other_limits(rendered: Rendered) -> None:
    limits = container_of(rendered("everything"))["resources"]["limits"]
    assert limits == {"memory": "4Gi", "nvidia.com/gpu": 1}


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "keys.existingSecret is empty"),
        (LEAST | {"replicaCount": 2}, "more than one replica needs sessionStore.existingSecret"),
        (SCALED | {"eventLog": {}}, "more than one replica needs eventLog.existingSecret"),
        (SCALED | {"persistence": {"accessModes": ["ReadWriteOnce"]}}, "ReadWriteMany"),
        # Erasures and tombstones are files of the home: with a home for each pod they were lost with it.
        (SCALED | {"persistence": {"enabled": False}}, "ReadWriteMany"),
        (SCALED | {"autoscaling": {}, "replicaCount": 2, "persistence": {"enabled": False}}, "ReadWriteMany"),
        (SCALED | {"autoscaling": {"enabled": True, "minReplicas": 9}}, "minReplicas is larger"),
        (LEAST | {"image": {"repository": "intent", "tag": "latest"}}, "tag"),
        (LEAST | {"ingress": {"enabled": True}}, "host"),
        (
            LEAST | {"ingress": {"enabled": True, "host": "intent.shop.example"}},
            "ingress.enabled needs trustedProxies",
        ),
        (LEAST | {"terminationGracePeriodSeconds": 44}, "terminationGracePeriodSeconds has to be 45 or more"),
        (
            LEAST | {"settings": {"INTENT_REQUEST_SECONDS": "59.5"}},
            "terminationGracePeriodSeconds has to be 85 or more",
        ),
        (LEAST | {"trustedProxies": ["*"]}, "trustedProxies"),
        (LEAST | {"trustedProxies": ["0.0.0.0/0"]}, "trustedProxies"),
        (LEAST | {"serviceMonitor": {"enabled": True}}, "existingSecret"),
        (LEAST | {"settings": {"INTENT_API_KEYS": "plain"}}, "INTENT_API_KEYS"),
        (LEAST | {"settings": {"INTENT_ANSWER_MODEL_KEY": "plain"}}, "INTENT_ANSWER_MODEL_KEY"),
        (LEAST | {"replicas": 2}, "replicas"),
    ],
)
def test_values_that_would_do_harm_are_refused_by_name(
    helm: str, tmp_path: Path, values: dict[str, Any], why: str
) -> None:
    done = call(helm, tmp_path, values, "template", "shop")
    assert done.returncode != 0
    assert why in done.stderr
