"""A thousand WseClusters and one operator. The tests are steps: each goes on from the one before."""

import time

from api import until
from fleet import CLUSTERS, condition, make

REST_SECONDS = 60
# Calls in that time by all that the operator does for clusters, Lease and watches excepted: none is aimed at.
CALLS_AT_REST = 20
# Of the operator's own. The aim is 50 for a thousand clusters; their two thousand pods are half of it, and the rest of
# this bound is what the allocator has not given back.
MEMORY_MB = 80
# What the operator reads and writes for clusters.
RESOURCES = {
    "configmaps", "events", "networkpolicies", "poddisruptionbudgets", "pods", "replicasets", "secrets",
    "serviceaccounts", "services", "wseclusters",
}  # fmt: skip
DEAD_PODS = 100


def quiet(operator, seconds: float) -> None:
    """Waits until the operator has written nothing for so long."""
    last = (operator.metric("wse_operator_writes_total"), time.monotonic())

    def is_quiet() -> bool:
        nonlocal last
        writes = operator.metric("wse_operator_writes_total")
        if writes != last[0]:
            last = (writes, time.monotonic())
        return time.monotonic() - last[1] >= seconds

    until("the operator has nothing more to write", is_quiet)


def test_all_settle(server, kubelets, operator, names, figure):
    began = time.monotonic()

    def are_made() -> list | str:
        operator.is_running()
        sets = server.items("/apis/apps/v1/replicasets")
        return sets if len(sets) == len(names) else f"{len(sets)} ReplicaSets"

    sets = until("every cluster has its ReplicaSet", are_made, pause=2)
    figure("clusters", len(names))
    figure("seconds until every cluster had its objects", round(time.monotonic() - began, 1))
    figure("peak memory until then, MB", operator.memory_mb("VmHWM"))
    kubelets.run_pods(sets)
    running = time.monotonic()

    def are_ready() -> bool | str:
        operator.is_running()
        clusters = server.items(f"{CLUSTERS}/wseclusters")
        ready = [
            each
            for each in clusters
            if each.get("status", {}).get("observedGeneration") == each["metadata"]["generation"]
            and condition(each, "Ready").get("status") == "True"
            and condition(each, "BackplaneReachable").get("status") == "True"
        ]
        return len(ready) == len(names) or f"{len(ready)} ready"

    until("every status is about its cluster as it is, and ready", are_ready, pause=2)
    quiet(operator, 10)
    figure("seconds until nothing more was written, from the last pod's start", round(time.monotonic() - running - 10, 1))
    figure("writes in all", int(operator.metric("wse_operator_writes_total")))
    assert operator.metric("wse_operator_clusters") == len(names)
    assert operator.metric("wse_operator_passes_total", 'result="refused"') == 0


def test_at_rest_they_cost_next_to_nothing(server, operator, names, figure):
    calls, cpu = server.requests(), operator.cpu_seconds()
    passes = operator.metric("wse_operator_passes_total")
    questions = operator.metric("wse_operator_pod_questions_total", "answered")
    time.sleep(REST_SECONDS)
    calls = server.requests() - calls
    cpu = operator.cpu_seconds() - cpu
    passes = operator.metric("wse_operator_passes_total") - passes
    questions = operator.metric("wse_operator_pod_questions_total", "answered") - questions

    for_clusters = {key: int(count) for key, count in calls.items() if key[1] in RESOURCES and key[0] != "WATCH"}
    leases = sum(count for (_, resource), count in calls.items() if resource == "leases")
    figure("operator's memory at rest, MB", operator.memory_mb("VmRSS"))
    figure("of that its own, without the program's text, MB", operator.memory_mb("RssAnon"))
    figure("its peak, MB", operator.memory_mb("VmHWM"))
    figure("calls a second at rest for clusters", round(sum(for_clusters.values()) / REST_SECONDS, 2))
    figure("calls a second at rest for Leases, the API server's own among them", round(leases / REST_SECONDS, 2))
    figure("processor seconds in 60 s at rest", round(cpu, 1))
    figure("passes a second at rest", round(passes / REST_SECONDS, 1))
    figure("questions to pods a second at rest", round(questions / REST_SECONDS, 1))
    assert sum(for_clusters.values()) <= CALLS_AT_REST, for_clusters
    # A debug build's text alone is most of what a release build takes in all.
    assert operator.memory_mb("RssAnon") <= MEMORY_MB
    assert questions > 0


def test_a_wedged_cluster_delays_no_other(server, kubelets, operator, names, figure):
    space, other = names[0]
    # A name that somebody else has, and pods that never answer.
    taken = {"metadata": {"name": "wedged"}, "spec": {"ports": [{"port": 80}]}}
    server.call("POST", f"/api/v1/namespaces/{space}/services", taken)
    wedged = f"{CLUSTERS}/namespaces/{space}/wseclusters/wedged"
    scaling = {"mode": "Fixed", "replicas": DEAD_PODS}
    make(server, [(space, "wedged")], scaling=scaling)

    def set_() -> list:
        sets = server.items(f"/apis/apps/v1/namespaces/{space}/replicasets")
        return [each for each in sets if each["metadata"]["labels"]["wse.dev/cluster"] == "wedged"]

    kubelets.run_pods(until("the wedged cluster has its ReplicaSet", set_, 60), dead=True)

    def is_wedged() -> bool | str:
        ready = condition(server.call("GET", wedged), "Ready")
        silent = operator.metric("wse_operator_pod_questions_total", "timeout")
        return (ready.get("reason") == "NameTaken" and silent >= DEAD_PODS) or f"{ready}, {silent} unanswered"

    until("the other's name is told of, and every pod was asked in vain", is_wedged, 60)

    edited = f"{CLUSTERS}/namespaces/{space}/wseclusters/{other}"
    passes, began = operator.metric("wse_operator_passes_total"), time.monotonic()
    generation = server.call("PATCH", edited, {"spec": {"log": "debug"}})["metadata"]["generation"]

    def is_carried_out() -> bool:
        config = server.call("GET", f"/api/v1/namespaces/{space}/configmaps/{other}-config")
        status = server.call("GET", edited)["status"]
        return '"debug"' in config["data"]["config.json"] and status["observedGeneration"] == generation

    until("the edit is carried out", is_carried_out, 30, pause=0.05)
    figure("seconds until an edit was carried out beside a wedged cluster", round(time.monotonic() - began, 2))
    figure("passes over all clusters meanwhile", int(operator.metric("wse_operator_passes_total") - passes))

    # It is told once, and not again and again.
    quiet(operator, 10)
    assert condition(server.call("GET", wedged), "Ready")["reason"] == "NameTaken"
