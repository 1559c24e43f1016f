"""Whatever happens to the operator, to Redis or to its objects: the status tells the truth, nothing flaps, no pod is lost."""

import time

import pytest

import kube
from fleet import Bench, Fleet, cluster

OWNED = "rs,svc,cm,sa,pdb,netpol"


@pytest.fixture(scope="module")
def chat(space):
    return Fleet(space, cluster())


def versions(chat: Fleet) -> dict[str, str]:
    """The version of everything that the operator writes."""
    owned = kube.get(OWNED, "--namespace", chat.namespace, "--selector=app.kubernetes.io/managed-by=wse-operator")
    things = [*owned["items"], chat.seen(), kube.get("secret", "chat-admin", "--namespace", chat.namespace)]
    return {f"{it['kind']}/{it['metadata']['name']}": it["metadata"]["resourceVersion"] for it in things}


def test_an_unchanged_cluster_is_not_written(chat, operator):
    before = versions(chat)
    time.sleep(25)  # Two passes that nothing but time asks for.
    assert versions(chat) == before
    # What a new process applies once is what is there already.
    operator.kill()
    kube.until("an operator leads", lambda: operator.leader() in {it["metadata"]["name"] for it in operator.pods()})
    time.sleep(5)
    assert versions(chat) == before


def test_hand_edits_are_put_back_and_foreign_fields_stay(chat):
    space = chat.namespace
    [replica_set] = kube.get("rs", "--namespace", space, "--selector=wse.dev/cluster=chat")["items"]
    name, pods = replica_set["metadata"]["name"], chat.uids()
    kube.kubectl("annotate", "--namespace", space, "service/chat", "example.com/note=mine")
    kube.kubectl("label", "--namespace", space, "cm/chat-config", "example.com/team=mine")
    extra = {"spec": {"ports": [{"name": "extra", "port": 9999, "targetPort": 8080}]}}
    kube.patch(space, "service/chat", extra, kind="strategic")
    kube.patch(space, "service/chat-api", {"spec": {"selector": {"wse.dev/cluster": "nobody"}}})
    kube.patch(space, "cm/chat-config", {"data": {"config.json": "{}"}})
    kube.kubectl("delete", "--namespace", space, "pdb/chat")

    def put_back():
        get = lambda kind, of: kube.get(kind, of, "--namespace", space)  # noqa: E731
        selector = get("service", "chat-api")["spec"]["selector"]
        config = get("cm", "chat-config")["data"]["config.json"]
        budget = get("pdb", "chat")["spec"]["maxUnavailable"]
        return selector["wse.dev/cluster"] == "chat" and len(config) > 2 and budget == 1 or f"{selector} {config[:9]}"

    kube.until("the edits are put back", put_back)
    service = kube.get("service", "chat", "--namespace", space)
    assert service["metadata"]["annotations"]["example.com/note"] == "mine"
    assert {port["name"] for port in service["spec"]["ports"]} == {"websocket", "extra"}
    assert kube.get("cm", "chat-config", "--namespace", space)["metadata"]["labels"]["example.com/team"] == "mine"

    kube.kubectl("scale", "--namespace", space, f"rs/{name}", "--replicas=3")
    kube.until("the count is put back", lambda: kube.get("rs", name, "--namespace", space)["spec"]["replicas"] == 2)
    chat.until_settled()
    assert len(chat.uids() & pods) >= 1, "the fleet was not replaced"


def test_without_redis_the_pods_stay_and_the_status_says_so(chat):
    pods = chat.uids()
    kube.kubectl("scale", "--namespace", chat.namespace, "deployment/redis", "--replicas=0")
    told = chat.until_condition("BackplaneReachable", "RedisAway")
    assert told["status"] == "False"
    assert kube.condition(chat.seen(), "Ready")["status"] == "True"
    kube.kubectl("scale", "--namespace", chat.namespace, "deployment/redis", "--replicas=1")
    kube.until("Redis is back", lambda: kube.condition(chat.seen(), "BackplaneReachable")["status"] == "True")
    assert chat.uids() == pods
    restarts = [it["restartCount"] for pod in chat.pods() for it in pod["status"]["containerStatuses"]]
    assert restarts == [0, 0]
    assert chat.events("BackplaneAway") and chat.events("BackplaneBack")


def test_a_killed_operator_is_continued_in_the_middle_of_a_rollout(chat, operator, bench_image):
    bench, old = Bench(chat, 200, bench_image), chat.names()
    chat.change({"podTemplate": {"metadata": {"labels": {"tests/rollout": "killed"}}}})
    kube.until("old pods drain", lambda: chat.seen()["status"].get("drainingReplicas", 0) > 0)
    operator.kill()
    chat.until_settled(300)
    assert not chat.names() & old
    moves = bench.report()["moves"]
    assert moves["connections"] == {"1": 200} and moves["closes"] == {"4300": 200}, moves


def test_of_two_operators_one_acts_and_the_other_takes_over(chat, operator):
    pods = chat.uids()
    operator.install(replicas="2")
    try:
        kube.until("two run", lambda: len([it for it in operator.pods() if ready(it)]) == 2)
        first = kube.until("one leads", lambda: leads(operator))
        kube.kubectl("delete", "pod", "--namespace", operator.namespace, "--grace-period=0", "--force", first["name"])
        kube.until("the other leads", lambda: (other := leads(operator)) and other["name"] != first["name"] and other)
        kube.kubectl("delete", "--namespace", chat.namespace, "netpol/chat")
        kube.until("it acts", lambda: kube.get("netpol", "chat", "--namespace", chat.namespace))
    finally:
        operator.install(replicas="1")
    assert chat.uids() == pods


def test_a_name_that_somebody_else_has_is_left_alone(space):
    taken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "taken"}}
    taken["spec"] = {"selector": {"app": "somebody"}, "ports": [{"port": 1}]}
    kube.apply(space, taken)
    whole = cluster("taken", scaling={"replicas": 1})
    kube.apply(space, whole)

    def told():
        ready = kube.condition(kube.get("wse", "taken", "--namespace", space), "Ready")
        return ready if ready.get("reason") == "NameTaken" else f"{ready}"

    assert "Service" in kube.until("it is told", told)["message"]
    assert kube.get("service", "taken", "--namespace", space)["spec"]["selector"] == {"app": "somebody"}
    kube.kubectl("delete", "--namespace", space, "wse/taken", "service/taken")


def test_a_paused_cluster_is_left_alone(chat):
    pods, space = chat.uids(), chat.namespace
    kube.kubectl("annotate", "--namespace", space, "wse/chat", "wse.dev/paused=true")
    kube.until("it is told", lambda: kube.condition(chat.seen(), "Paused").get("status") == "True")
    chat.change({"scaling": {"replicas": 3}})
    kube.kubectl("delete", "--namespace", space, "netpol/chat")
    time.sleep(5)
    assert chat.uids() == pods
    with pytest.raises(kube.Refused, match="NotFound"):
        kube.get("netpol", "chat", "--namespace", space)
    kube.kubectl("annotate", "--namespace", space, "wse/chat", "wse.dev/paused-")
    chat.until_settled()
    assert kube.condition(chat.seen(), "Paused") == {}
    assert len(chat.uids()) == 3 and pods < chat.uids()


def ready(pod: dict) -> bool:
    return kube.condition(pod, "Ready").get("status") == "True"


def leads(operator) -> dict | None:
    """The metadata of the pod that holds the Lease."""
    holder = operator.leader()
    return next((it["metadata"] for it in operator.pods() if it["metadata"]["name"] == holder), None)
