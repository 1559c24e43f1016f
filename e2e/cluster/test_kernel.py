"""Kernel settings: what pods get, what a kubelet forbids, and that neither harms a fleet.

The worker in zone b allows net.core.somaxconn and has the label that says so; the one in zone a does neither."""

import json
import urllib.request
from contextlib import contextmanager

import kube
import pytest
from fleet import KEY, SECRET, Fleet, cluster, secret

ACCEPT = "net.core.somaxconn"
FIN = "net.ipv4.tcp_fin_timeout"
LABEL = "wse.dev/unsafe-sysctls"
REQUIRED = {"sysctls": [{"name": ACCEPT, "value": "8192"}], "unsafeSysctls": "Require"}


def worker(zone: str) -> str:
    [node] = kube.get("nodes", f"--selector=topology.kubernetes.io/zone={zone}")["items"]
    return node["metadata"]["name"]


@contextmanager
def label_that_lies(zone: str):
    """Its node says that it allows what its kubelet forbids."""
    node = worker(zone)
    kube.kubectl("label", "node", node, f"{LABEL}=allowed")
    try:
        yield node
    finally:
        kube.kubectl("label", "node", node, f"{LABEL}-")


def in_zone(zone: str) -> dict:
    return {"spec": {"nodeSelector": {"topology.kubernetes.io/zone": zone}}}


def preflights(fleet: Fleet) -> list[dict]:
    return kube.get("pods", "--namespace", fleet.namespace, f"--selector=wse.dev/preflight={fleet.name}")["items"]


def in_force(fleet: Fleet, pod: str) -> dict[str, str]:
    """What the gateway in a pod sees."""
    with kube.forward(fleet.namespace, f"pod/{pod}", 9090) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/load", timeout=10) as answer:
            return json.load(answer)["sysctls"]


def asked(pod: dict) -> dict[str, str]:
    context = pod["spec"].get("securityContext") or {}
    return {it["name"]: it["value"] for it in context.get("sysctls", [])}


def is_unharmed(fleet: Fleet, uids: set[str]) -> None:
    whole = fleet.seen()
    assert fleet.uids() == uids
    assert kube.condition(whole, "Ready")["status"] == "True", whole["status"]
    assert not any(asked(pod) for pod in fleet.pods())


def test_a_tier_brings_its_settings_to_new_pods_and_leaves_old_ones_alone(space):
    # A tier's pods ask for whole cores, which nobody needs here.
    small = {"name": "gateway", "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}}}
    fleet = Fleet(space, cluster("tiers", scaling={"replicas": 1}, podTemplate={"spec": {"containers": [small]}}))
    [old] = fleet.pods()
    default = in_force(fleet, old["metadata"]["name"])[FIN]
    fleet.change({"capacity": {"tier": "High"}, "scaling": {"replicas": 2}})
    whole = fleet.until_settled()
    assert old["metadata"]["uid"] in fleet.uids()
    [new] = [pod for pod in fleet.pods() if pod["metadata"]["uid"] != old["metadata"]["uid"]]
    wanted = {it["name"]: it["value"] for it in whole["status"]["kernel"]["appliedSysctls"]}
    assert wanted[FIN] != default and wanted == asked(new)
    seen = in_force(fleet, new["metadata"]["name"])
    assert {name: seen[name] for name in wanted} == wanted
    assert in_force(fleet, old["metadata"]["name"])[FIN] == default
    assert kube.condition(whole, "KernelTuned")["status"] == "True", whole["status"]


def test_what_a_kubelet_forbids_is_tried_by_one_pod_and_harms_nobody(space):
    with label_that_lies("a") as node:
        fleet = Fleet(space, cluster("forbidden", podTemplate=in_zone("a")))
        uids = fleet.uids()
        fleet.change({"kernel": REQUIRED})
        told = fleet.until_condition("KernelTuned", "SysctlForbidden")
        for part in (node, "allowedUnsafeSysctls", "forbidden-preflight", "delete the pod"):
            assert part in told["message"], told
        [tried] = preflights(fleet)
        assert tried["status"]["reason"] == "SysctlForbidden"
        is_unharmed(fleet, uids)

        # The operator looks again, and so does its successor.
        fleet.change({"log": "debug"})
        fleet.until_settled()
        kube.kubectl("rollout", "restart", "--namespace", "wse-system", "deployment/wse-operator")
        kube.kubectl("rollout", "status", "--namespace", "wse-system", "deployment/wse-operator")
        fleet.change({"log": "info"})
        fleet.until_settled()
        [still] = preflights(fleet)
        assert still["metadata"]["uid"] == tried["metadata"]["uid"]
        assert len(fleet.events("PreflightStarted")) == 1
        assert len(fleet.events("SysctlForbidden")) == 1
        is_unharmed(fleet, uids)

        # A hand that deletes the pod asks for another try.
        kube.kubectl("delete", "pod", "--namespace", space, "forbidden-preflight")

        def again():
            pods = preflights(fleet)
            new = [it for it in pods if it["metadata"]["uid"] != tried["metadata"]["uid"]]
            return new if new and new[0]["status"].get("reason") == "SysctlForbidden" else f"{pods}"

        kube.until("it is tried again", again)
        fleet.change({"kernel": {"unsafeSysctls": "Omit"}})
        kube.until("nothing is tried any more", lambda: not preflights(fleet))
        fleet.until_condition("KernelTuned", "UnsafeSysctlsOmitted")
        is_unharmed(fleet, uids)


def test_what_a_kubelet_allows_is_applied_and_seen(space):
    fleet = Fleet(space, cluster("allowed"))
    before = fleet.uids()
    fleet.change({"kernel": REQUIRED})
    kube.until("it is allowed", lambda: fleet.seen()["status"].get("kernel", {}).get("allowedUnsafeSysctls") == [ACCEPT])
    whole = fleet.until_settled()
    assert not fleet.uids() & before
    for pod in fleet.pods():
        assert asked(pod) == {ACCEPT: "8192"}
        assert pod["spec"]["nodeName"] == worker("b")
        assert in_force(fleet, pod["metadata"]["name"])[ACCEPT] == "8192"
    assert whole["status"]["kernel"]["appliedSysctls"] == REQUIRED["sysctls"]
    assert fleet.until_condition("KernelTuned", "CoversTier")["status"] == "True"
    kube.until("the pod that tried has gone", lambda: not preflights(fleet))
    turned_away(space, fleet)


def turned_away(space: str, fleet: Fleet) -> None:
    """Another node says that it allows what it does not: pods that land there are turned away, for a moment."""
    good = fleet.seen()["status"]["revision"]
    with label_that_lies("a") as node:
        fleet.change({"scaling": {"replicas": 4}})
        fleet.until_condition("KernelTuned", "SysctlForbidden")
        whole = fleet.until_settled()
        kernel = whole["status"]["kernel"]
        assert kernel["refusedSysctls"] == [{"name": ACCEPT, "node": node}]
        assert "allowedUnsafeSysctls" not in kernel and kernel["appliedSysctls"] == []
        assert whole["status"]["revision"] != good
        kube.until("nothing has failed", lambda: all(it["status"]["phase"] == "Running" for it in fleet.pods()))
        assert not preflights(fleet)
        assert not any(asked(pod) for pod in fleet.pods())
        made = set(fleet.uids())
        fleet.change({"log": "debug"})
        fleet.until_settled()
        assert fleet.uids() == made, "nothing is made any more"


def make_in(space: str, **spec) -> None:
    whole = cluster(scaling={"replicas": 1}, backplane={"type": "Memory"}, **spec)
    kube.apply(space, secret("chat-jwt", secret=SECRET), secret("chat-key", key=KEY), whole)


def test_where_pod_security_forbids_it_too_the_fleet_is_unharmed(operator):
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    with kube.namespace("test-kernel-baseline", **labels) as space:
        make_in(space, kernel=REQUIRED)

        def denied():
            told = kube.condition(kube.get("wse", "chat", "--namespace", space), "KernelTuned")
            return told if told.get("reason") == "PreflightDenied" else f"{told}"

        told = kube.until("it may not be tried", denied)
        assert "PodSecurity" in told["message"] and ACCEPT in told["message"], told
        kube.kubectl("wait", "--namespace", space, "wse/chat", "--for=condition=Ready", "--timeout=120s")


def test_a_namespace_whose_rules_are_older_than_a_tiers_setting_has_pods_without_it(operator):
    labels = {"pod-security.kubernetes.io/enforce": "baseline", "pod-security.kubernetes.io/enforce-version": "v1.28"}
    with kube.namespace("test-kernel-older", **labels) as space:
        make_in(space, capacity={"tier": "Medium"})
        kube.kubectl("wait", "--namespace", space, "wse/chat", "--for=condition=Ready", "--timeout=120s")
        whole = kube.get("wse", "chat", "--namespace", space)
        assert whole["status"]["kernel"]["refusedSysctls"] == [{"name": FIN, "node": ""}]
        assert "pod security level" in kube.condition(whole, "KernelTuned")["message"]


@pytest.mark.parametrize("name", ["fs.file-max", "kernel.pid_max"])
def test_what_is_the_nodes_is_left_out_and_told(space, name):
    whole = cluster(f"node-{name.replace('.', '-').replace('_', '-')}", scaling={"replicas": 1})
    whole["spec"]["kernel"] = {"sysctls": [{"name": name, "value": "1"}]}
    fleet = Fleet(space, whole)
    told = fleet.until_condition("KernelTuned", "NodeLevelSysctls")
    assert name in told["message"] and "node's own configuration" in told["message"]
    [omitted] = fleet.seen()["status"]["kernel"]["omittedSysctls"]
    assert omitted["name"] == name
