"""The fleet follows its load, others' numbers, and nodes that go, and nobody is cut off."""

import json
import threading

import pytest

import kube
from fleet import DRAIN, Bench, Fleet, cluster, publisher

CLIENTS = 1_500
# So many subscribe to one topic, which Light covers.
LISTENERS = 15
# Far more of a processor than is used here, so that connections decide.
ROOMY = {"containers": [{"name": "gateway", "resources": {"requests": {"cpu": "20m"}, "limits": {"cpu": "2"}}}]}


def autoscaled(least: int, most: int) -> dict:
    down = {"stabilizationWindowSeconds": 10}
    return {"mode": "Autoscale", "minReplicas": least, "maxReplicas": most, "autoscale": {"scaleDown": down}}


@pytest.fixture(scope="module")
def chat(space):
    return Fleet(space, cluster(
        # The tier follows what is there, from Light on; a pod is meant for 560 clients.
        capacity={"tier": "Auto", "expectedConnections": 100},
        limits={"connections": 800},
        scaling=autoscaled(1, 5),
        drain={**DRAIN, "rebalance": "OnImbalance"},
        podTemplate={"spec": ROOMY},
    ))  # fmt: skip


class Watch:
    """Looks at a fleet all the time, in a thread."""

    def __init__(self, fleet: Fleet):
        self.fleet, self.seen, self.ends = fleet, [], threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self.ends.wait(0.5):
            try:
                pods, whole = self.fleet.pods(), self.fleet.seen()
            except kube.Refused:
                continue
            draining = [pod["metadata"]["name"] for pod in pods if "wse.dev/draining" in pod["metadata"].get("annotations", {})]
            self.seen.append({"pods": {pod["metadata"]["name"] for pod in pods}, "draining": draining, **whole["status"]})

    def __enter__(self) -> list[dict]:
        self.thread.start()
        return self.seen

    def __exit__(self, *_) -> None:
        self.ends.set()
        self.thread.join()


def sizes(seen: list[dict]) -> list[int]:
    """The numbers of pods that were wanted, one after another."""
    all_ = [it["desiredReplicas"] for it in seen]
    return [size for index, size in enumerate(all_) if index == 0 or all_[index - 1] != size]


def test_a_ramp_takes_a_fleet_from_light_to_high_and_back(chat, bench_image):
    assert chat.seen()["status"]["tier"] == "Light" and len(chat.names()) == 1
    first = chat.names()
    with Watch(chat) as seen, publisher(chat, bench_image, 20):
        listeners = Bench(chat, LISTENERS, bench_image, name="listeners")
        bench = Bench(chat, CLIENTS - LISTENERS, bench_image, rate=50, topic=None)
        kube.until("the fleet has grown", lambda: len(chat.names()) == 3, 120)
        whole = chat.until_settled()
        # The load asks for three; losing one leaves two, which carry it.
        assert whole["status"]["tier"] == "High"
        assert first < chat.names(), "nobody's pod was replaced for a tier"

        def even():
            counts = [load["connections"] for load in chat.loads().values()]
            mean = sum(counts) / len(counts)
            return counts if sum(counts) >= CLIENTS and max(counts) <= 1.2 * mean else f"{counts}"

        kube.until("clients are spread", even, 120)
        kube.until("that is told", lambda: kube.condition(chat.seen(), "Balanced").get("status") == "True")
        moves = bench.report()["moves"]
        kube.until("the load is gone", lambda: one_pod(chat), 180)
        heard = listeners.report()["moves"]
    # Until the second pod is ready the first may be full, and says so to some: they come back.
    for seen_by, count in ((moves, CLIENTS - LISTENERS), (heard, LISTENERS)):
        assert set(seen_by["closes"]) <= {"4300"} and sum(seen_by["nodes"].values()) == count, seen_by
    # They stayed to the end, through growth, rebalancing and the way back.
    assert heard["lost"] == heard["repeated"] == 0, heard
    # Asked by a shed: half of 1,000 a second.
    tenths = {int(tenth): count for tenth, count in moves["tenths"].items()}
    assert max(sum(tenths.get(start + at, 0) for at in range(50)) for start in tenths) <= 2_500, moves

    tiers = [it["tier"] for it in seen]
    assert "High" in tiers and tiers[-1] in ("Light", "Low"), tiers
    grown = sizes(seen)
    top = grown.index(3)
    assert grown[: top + 1] == sorted(grown[: top + 1]) and grown[top:] == sorted(grown[top:], reverse=True), grown
    assert all(len(it["draining"]) <= 1 for it in seen), "never two at a time"
    drained = {name for it in seen for name in it["draining"]}
    gone = set.union(*(it["pods"] for it in seen)) - chat.names()
    assert gone == drained, "none went that was not drained"
    assert len(chat.events("DrainStarted")) >= 2 and chat.events("Rebalanced")


def one_pod(chat: Fleet):
    whole = chat.seen()["status"]
    return whole["replicas"] == whole["desiredReplicas"] == 1 or f"{whole['replicas']} of {whole['desiredReplicas']}"


def test_a_drain_is_taken_back_when_the_load_comes_back(chat, bench_image):
    chat.change({"scaling": {"minReplicas": 2}})
    chat.until_settled()
    bench, pods = Bench(chat, 90, bench_image, topic=None), chat.uids()
    # A long window, so that the drain is still going on.
    chat.change({"drain": {"windowSeconds": 60, "deadlineSeconds": 90}, "scaling": {"minReplicas": 1}})
    kube.until("a pod drains", lambda: chat.seen()["status"]["drainingReplicas"] == 1, 120)
    chat.change({"scaling": {"minReplicas": 2}})
    chat.until_settled()
    assert chat.uids() == pods and chat.events("DrainTakenBack")
    assert {load["drain"] for load in chat.loads().values()} == {"serving"}
    moves = bench.report()["moves"]
    assert set(moves["closes"]) <= {"4300"} and moves["failed_attempts"] == 0, moves
    chat.change({"drain": {"windowSeconds": 4, "deadlineSeconds": 8}})


def test_the_number_is_others_in_the_mode_external(chat):
    space = chat.namespace
    with pytest.raises(kube.Refused, match="`replicas` must be left out in the mode `Autoscale`"):
        kube.kubectl("scale", "--namespace", space, "wse/chat", "--replicas=2")
    chat.change({"scaling": {"mode": "External", "replicas": 2, **dict.fromkeys(("minReplicas", "maxReplicas", "autoscale"))}})
    chat.until_settled()
    kube.kubectl("scale", "--namespace", space, "wse/chat", "--replicas=3")
    assert chat.until_settled()["status"]["desiredReplicas"] == 3
    path = f"/apis/wse.dev/v1alpha1/namespaces/{space}/wseclusters/chat/scale"
    scale = json.loads(kube.kubectl("get", "--raw", path))
    assert (scale["spec"]["replicas"], scale["status"]["replicas"]) == (3, 3)
    # An autoscaler looks at the pods that this selects.
    selected = kube.get("pods", "--namespace", space, f"--selector={scale['status']['selector']}")["items"]
    assert {pod["metadata"]["name"] for pod in selected} == chat.names()


def test_an_autoscaler_of_kubernetes_chooses_the_number_by_what_pods_use(chat):
    space = chat.namespace
    chat.change({"scaling": {"replicas": 2}})
    chat.until_settled()
    drains = len(chat.events("DrainStarted"))
    # Memory, because a pod at rest has some from the first moment on.
    target = {"type": "AverageValue", "averageValue": "1Mi"}
    spec = {
        "scaleTargetRef": {"apiVersion": "wse.dev/v1alpha1", "kind": "WseCluster", "name": "chat"},
        "minReplicas": 2,
        "maxReplicas": 3,
        "metrics": [{"type": "Resource", "resource": {"name": "memory", "target": target}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    }
    autoscaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "chat"}}
    metrics_server = ["--filename", str(kube.REPO / "e2e/kind/metrics-server.yaml")]
    try:
        kube.kubectl("apply", *metrics_server)
        kube.kubectl("wait", "apiservice/v1beta1.metrics.k8s.io", "--for=condition=Available", "--timeout=100s")
        kube.apply(space, {**autoscaler, "spec": spec})
        kube.until("there are three", lambda: len(chat.names()) == 3)
        chat.until_settled()
        target["averageValue"] = "1Gi"
        kube.apply(space, {**autoscaler, "spec": spec})
        kube.until("there are two", lambda: len(chat.names()) == 2)
        chat.until_settled()
        status = kube.get("hpa", "chat", "--namespace", space)
        assert kube.condition(status, "ScalingActive")["reason"] == "ValidMetricFound"
        assert len(chat.events("DrainStarted")) == drains + 1
    finally:
        kube.kubectl("delete", "hpa", "chat", "--namespace", space, "--ignore-not-found")
        # While an API service is known that does not answer, no namespace can go.
        kube.kubectl("delete", "--wait=false", *metrics_server)


def test_a_node_is_drained_at_the_pace_of_a_drain(chat, bench_image):
    bench = Bench(chat, 300, bench_image)
    # Where one leaves, or both: a scale-in before takes the pod with the fewest clients, wherever it is.
    node = chat.pods()[0]["spec"]["nodeName"]
    try:
        kube.run(
            "kubectl", "drain", node, "--pod-selector=wse.dev/cluster=chat", "--ignore-daemonsets", "--timeout=110s",
        )  # fmt: skip
        chat.until_settled()
        assert node not in {pod["spec"]["nodeName"] for pod in chat.pods()}
    finally:
        kube.kubectl("uncordon", node)
    moves = bench.report()["moves"]
    # No close but the drain's, and each came to a pod that took it. One that was evicted next moved it again.
    assert set(moves["closes"]) == {"4300"} and moves["failed_attempts"] == 0, moves
    assert sum(moves["nodes"].values()) == 300


def test_a_fleet_that_may_reconnect_slowly_is_replaced_slowly(space, bench_image):
    # A full pod takes 16 s for it, whatever the window says.
    slow = Fleet(space, cluster("slow", limits={"connections": 800}, drain={**DRAIN, "reconnectsPerSecond": 50}))
    bench = Bench(slow, 600, bench_image)
    slow.until_known()
    slow.change({"podTemplate": {"metadata": {"labels": {"tests/rollout": "slow"}}}})
    slow.until_settled(300)
    moves = bench.report()["moves"]
    assert moves["connections"] == {"1": 600} and set(moves["closes"]) == {"4300"}, moves
    tenths = {int(tenth): count for tenth, count in moves["tenths"].items()}
    most = max(sum(tenths.get(start + at, 0) for at in range(50)) for start in tenths)
    # 250 in five seconds, by chance more: six standard deviations of a Poisson count.
    assert most < 250 + 6 * 250**0.5, most
