"""What a person adds to the pods, and where they may run."""

from datetime import datetime

import kube
from fleet import Fleet, cluster

# Any program that runs by itself: it starts before the gateway, so it must not end where there is none yet. It ends at
# once when it is told to.
APPLICATION = {
    "name": "application",
    "image": "wse-redis:dev",
    "imagePullPolicy": "IfNotPresent",
    "command": ["redis-server", "--port", "7000", "--save", "", "--dir", "/tmp"],
}


def test_an_application_beside_the_gateway_outlives_its_drain(space):
    template = {
        "metadata": {"labels": {"team": "realtime"}},
        "spec": {
            "containers": [
                APPLICATION,
                {"name": "gateway", "resources": {"requests": {"cpu": "20m"}}, "env": [{"name": "A", "value": "b"}],
                 "readinessProbe": {"httpGet": {"path": "/mine", "port": 1}}},
            ],
        },
    }
    fleet = Fleet(space, cluster(scaling={"replicas": 1}, podTemplate=template))
    [pod] = fleet.pods()
    spec, name = pod["spec"], pod["metadata"]["name"]
    [gateway], [application] = spec["containers"], spec["initContainers"]
    assert (application["name"], application["restartPolicy"]) == ("application", "Always")
    assert gateway["resources"]["requests"]["cpu"] == "20m"
    assert {"name": "A", "value": "b"} in gateway["env"]
    assert pod["metadata"]["labels"]["team"] == "realtime"
    # Wait, deadline and margin.
    assert spec["terminationGracePeriodSeconds"] == 3 + 8 + 10
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert any("containers[gateway].readinessProbe" in note for note in fleet.events("PodTemplateOverridden"))

    # The gateway drains for some seconds after it was told to end, and the application is told only then. The
    # finalizer keeps the pod's last status.
    kube.patch(space, f"pod/{name}", {"metadata": {"finalizers": ["tests.wse.dev/status"]}})
    try:
        kube.kubectl("delete", "pod", name, "--namespace", space, "--wait=false")

        def ends():
            status = kube.get("pod", name, "--namespace", space)["status"]
            containers = status["containerStatuses"] + status["initContainerStatuses"]
            ends = {it["name"]: it["state"].get("terminated", {}).get("finishedAt") for it in containers}
            return ends if all(ends.values()) else f"{ends}"

        end = kube.until("both have ended", ends)
        told = kube.get("pod", name, "--namespace", space)["metadata"]["deletionTimestamp"]
        grace = spec["terminationGracePeriodSeconds"]
        began = seconds(told) - grace
        assert seconds(end["gateway"]) - began >= 3, "it kept accepting until endpoints had followed"
        assert end["application"] >= end["gateway"], end
    finally:
        kube.patch(space, f"pod/{name}", {"metadata": {"finalizers": None}})
    fleet.until_settled()


def seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def test_a_fleet_runs_where_only_restricted_pods_may(operator):
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    with kube.namespace("test-restricted", **labels) as space:
        whole = cluster(scaling={"replicas": 1}, backplane={"type": "Memory"})
        secrets = [
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: "x" * 32}}
            for name, key in [("chat-jwt", "secret"), ("chat-key", "key")]
        ]
        kube.apply(space, *secrets, whole)
        kube.kubectl("wait", "--namespace", space, "wse/chat", "--for=condition=Ready", "--timeout=120s")


def test_only_the_api_is_guarded(space):
    fleet = Fleet(space, cluster("guarded", scaling={"replicas": 1}))
    policy = kube.get("netpol", fleet.name, "--namespace", space)["spec"]
    anybody, api = policy["ingress"]
    tcp = [(it["port"], it["endPort"]) for it in anybody["ports"] if it["protocol"] == "TCP"]
    assert tcp == [(1, 8080), (8082, 65_535)] and "from" not in anybody
    assert api["from"] == [{"podSelector": {}}]
    assert [it["port"] for it in api["ports"]] == [8081]
