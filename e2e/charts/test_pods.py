"""wse-operator: the pods that run, of the operator and of the chart's test."""

import pytest
from conftest import OPERATOR, everything, render

DIGEST = "sha256:" + "0" * 64


def pod(objects):
    return objects.one("Deployment")["spec"]["template"]["spec"]


def container(objects):
    [found] = pod(objects)["containers"]
    return found


def test_the_operator_runs_with_these_arguments(default):
    assert container(default)["command"] == ["/wse-operator"]
    assert container(default)["args"] == [
        "run",
        "--sidecar-image=wse-sidecar:0.1.0",
        "--lease-name=wse-operator",
        "--listen=0.0.0.0:8080",
        "--log=info",
    ]
    fields = {each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"] for each in container(default)["env"]}
    assert fields == {"POD_NAME": "metadata.name", "POD_NAMESPACE": "metadata.namespace"}


@pytest.mark.parametrize(
    "image, reference",
    [
        ({}, "wse-operator:0.1.0"),
        ({"tag": "dev"}, "wse-operator:dev"),
        ({"repository": "registry.example.com:5000/wse"}, "registry.example.com:5000/wse:0.1.0"),
        ({"tag": "dev", "digest": DIGEST}, f"wse-operator@{DIGEST}"),
    ],
)
def test_an_image_is_a_tag_or_a_digest(image, reference):
    objects = render(OPERATOR, {"image": image})
    assert container(objects)["image"] == reference
    assert objects.one("Pod")["spec"]["containers"][0]["image"] == reference


def test_pods_are_as_pod_security_restricted_wants(default, full):
    for objects in (default, full):
        for spec in (pod(objects), objects.one("Pod")["spec"]):
            assert spec["securityContext"] == {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "runAsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            for each in spec["containers"]:
                assert each["securityContext"] == {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                }


def test_probes_ask_the_port_that_listens(default):
    ports = {each["name"]: each["containerPort"] for each in container(default)["ports"]}
    assert ports == {"http": 8080}
    assert container(default)["livenessProbe"]["httpGet"] == {"path": "/live", "port": "http"}
    assert container(default)["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "http"}
    [port] = default.one("Service")["spec"]["ports"]
    assert port["targetPort"] == "http"


def test_every_value_of_the_pod_arrives(full):
    values = everything(OPERATOR)
    for key in (
        "affinity",
        "imagePullSecrets",
        "nodeSelector",
        "priorityClassName",
        "tolerations",
        "topologySpreadConstraints",
    ):
        assert pod(full)[key] == values[key], key
    for key in ("imagePullSecrets", "nodeSelector", "tolerations"):
        assert full.one("Pod")["spec"][key] == values[key], key
    deployment = full.one("Deployment")["spec"]
    assert deployment["replicas"] == values["replicas"]
    assert deployment["template"]["metadata"]["annotations"] == values["podAnnotations"]
    assert deployment["template"]["metadata"]["labels"].items() >= values["podLabels"].items()
    assert container(full)["resources"] == values["resources"]
    assert container(full)["imagePullPolicy"] == values["image"]["pullPolicy"]
    assert f"--log={values['log']}" in container(full)["args"]
    sidecar = values["sidecar"]["image"]
    assert f"--sidecar-image={sidecar['repository']}@{sidecar['digest']}" in container(full)["args"]


def test_labels_of_the_selector_cannot_be_replaced():
    objects = render(OPERATOR, {"podLabels": {"app.kubernetes.io/name": "other"}})
    deployment = objects.one("Deployment")["spec"]
    assert deployment["template"]["metadata"]["labels"].items() >= deployment["selector"]["matchLabels"].items()


def test_the_test_asks_the_service_and_works_where_the_operator_looks(default, full):
    for objects, namespace, timeout in ((default, "wse-system", 120), (full, "team-a", 60)):
        test = objects.one("Pod")
        service = objects.one("Service")["metadata"]["name"]
        assert test["spec"]["containers"][0]["args"] == [
            "verify",
            f"--namespace={namespace}",
            f"--service=http://{service}.wse-system:8080",
            f"--timeout={timeout}",
        ]
        role = objects.one("Role", test["metadata"]["name"])
        assert role["metadata"]["namespace"] == namespace
        hooks = [each for each in objects if "helm.sh/hook" in each["metadata"].get("annotations", {})]
        assert {each["kind"] for each in hooks} == {"Pod", "ServiceAccount", "Role", "RoleBinding"}
        # Hooks are no part of the release, so nothing else takes them away.
        for each in hooks:
            assert "hook-succeeded" in each["metadata"]["annotations"]["helm.sh/hook-delete-policy"]
