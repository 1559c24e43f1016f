"""The commands of the README: install, apply, look, scale, delete."""

import json

import pytest
import yaml

import kube
from fleet import Bench, Fleet, cluster


@pytest.fixture(scope="module")
def chat(space):
    return Fleet(space, cluster())


def test_helm_test_makes_a_fleet_and_removes_it(operator):
    kube.run("helm", "test", "wse-operator", "--namespace", operator.namespace, timeout=300)


def test_the_example_becomes_ready_as_it_is(operator):
    with kube.namespace("test-example") as space:
        kube.kubectl("apply", "--namespace", space, "--filename", str(kube.REPO / "e2e/kind/redis.yaml"))
        kube.kubectl("apply", "--namespace", space, "--filename", str(kube.REPO / "crds/examples/chat.yaml"))

        def ready():
            whole = kube.get("wse", "chat", "--namespace", space)
            ready = kube.condition(whole, "Ready")
            return whole if ready.get("status") == "True" else f"{ready}"

        status = kube.until("the example is Ready", ready)["status"]
        assert status["readyReplicas"] == status["replicas"] == 2


def test_the_status_says_what_is(chat):
    whole = chat.until_settled()
    status = whole["status"]
    assert status["observedGeneration"] == whole["metadata"]["generation"]
    assert (status["replicas"], status["readyReplicas"], status["updatedReplicas"]) == (2, 2, 2)
    assert status["selector"] == f"wse.dev/cluster=chat,wse.dev/revision={status['revision']}"
    conditions = {it["type"]: it["status"] for it in status["conditions"]}
    assert conditions["Ready"] == conditions["BackplaneReachable"] == conditions["Settled"] == "True"
    assert {it["observedGeneration"] for it in status["conditions"]} == {status["observedGeneration"]}

    table = kube.kubectl("get", "wse", "--namespace", chat.namespace).splitlines()
    columns = dict(zip(table[0].split(), table[1].split()))
    assert columns["NAME"] == "chat"
    assert (columns["TIER"], columns["DESIRED"], columns["READY"]) == ("Light", "2", "2")
    assert columns["STATUS"] == "FleetReady"


def test_kubectl_scale_grows_and_drains_before_it_shrinks(chat, bench_image):
    scale = ("scale", f"wse/{chat.name}", "--namespace", chat.namespace)
    bench = Bench(chat, 60, bench_image)
    kube.kubectl(*scale, "--replicas=3")
    chat.until_settled()
    kube.kubectl(*scale, "--replicas=2")
    chat.until_settled()
    moves = bench.report()["moves"]
    # The new pod has the fewest clients: none came since. So nobody moves, and nobody is cut off.
    assert moves["closes"] == {} and moves["failed_attempts"] == 0, moves
    assert any("is asked to empty itself" in note for note in chat.events("DrainStarted"))


def test_scaling_in_moves_the_clients_of_one_pod_once_and_nobody_else(chat, bench_image):
    kube.kubectl("scale", f"wse/{chat.name}", "--namespace", chat.namespace, "--replicas=3")
    chat.until_settled()
    bench, before = Bench(chat, 90, bench_image), chat.names()
    sessions = chat.sessions()
    chat.until_known()
    assert sum(sessions.values()) == 90 and all(sessions.values()), sessions
    with kube.logs(chat.namespace, before) as written, chat.never_fewer_than(2):
        kube.kubectl("scale", f"wse/{chat.name}", "--namespace", chat.namespace, "--replicas=2")
        chat.until_settled()
    [gone] = before - chat.names()
    moves = bench.report()["moves"]
    moved = sessions[gone]
    assert moved == min(sessions.values()), sessions
    assert moves["closes"] == {"4300": moved}, moves
    assert moves["connections"] == {"0": 90 - moved, "1": moved}, moves
    lines = [json.loads(line) for line in written[gone]]
    told = [line for line in lines if "draining, then exiting" in json.dumps(line)]
    # Kubernetes told it to end when it had nobody left.
    assert len(told) == 1 and told[0]["sessions"] == 0, lines


def test_deleting_drains_and_leaves_nothing_behind(space, bench_image):
    fleet = Fleet(space, cluster("gone"))
    bench = Bench(fleet, 40, bench_image)
    kube.kubectl("delete", "wse", fleet.name, "--namespace", space)

    def nothing():
        kinds = "rs,pods,svc,cm,secrets,sa,pdb,netpol"
        left = kube.get(kinds, "--namespace", space, f"--selector=wse.dev/cluster={fleet.name}")["items"]
        return not left or ", ".join(f"{it['kind']} {it['metadata']['name']}" for it in left)

    kube.until("nothing is left", nothing)
    closes = bench.report()["moves"]["closes"]
    # Each was asked to leave. One that came to the other pod before that refused too was asked there again.
    assert set(closes) == {"4300"} and closes["4300"] >= 40, closes


def broken(change) -> dict:
    whole = cluster("broken")
    change(whole)
    return whole


def pods(**spec):
    return lambda it: it["spec"].update(podTemplate={"spec": spec})


def pod_metadata(**metadata):
    return lambda it: it["spec"].update(podTemplate={"metadata": metadata})


def scaling(**spec):
    return lambda it: it["spec"].update(scaling=spec)


CONTAINER = {"name": "app", "image": "app:1"}
# Each sentence of the definition, and what Kubernetes itself says of a field that there is not.
BAD = [
    ("a small letter first", lambda it: it["metadata"].update(name="9chat"), "must begin with a letter"),
    ("a short name", lambda it: it["metadata"].update(name="a" * 41), "at most 40 characters"),
    ("memory is alone", lambda it: it["spec"].update(backplane={"type": "Memory"}), "set `backplane.type: Redis`"),
    ("no Redis", lambda it: it["spec"].update(backplane={"type": "Redis"}), "`redis` must be given"),
    ("no URL", lambda it: it["spec"]["backplane"].update(redis={}), "give exactly one of `url` and `urlSecretRef`"),
    ("not Redis", lambda it: it["spec"]["backplane"]["redis"].update(url="http://redis"), "`url` must begin with"),
    ("no size", lambda it: it["spec"].update(capacity={"tier": "Auto"}), "`expectedConnections` must be set"),
    ("no keys", lambda it: it["spec"]["auth"].update(keys=[]), "give `keys`, or `jwks`"),
    ("no JWKS", lambda it: it["spec"]["auth"].update(jwks={}), "give exactly one of `url` and `secretKeyRef`"),
    ("anybody", lambda it: it["spec"]["auth"].update(mode="None"), "set `allowAnonymous: true`"),
    ("all origins", lambda it: it["spec"]["auth"].update(allowedOrigins=["*", "https://a.example"]), "must stand alone"),
    ("late window", lambda it: it["spec"].update(drain={"windowSeconds": 90}), "less than or equal to `deadlineSeconds`"),
    ("no surge", lambda it: it["spec"].update(rollout={"surge": 0}), "`surge` must be a number of pods"),
    ("how many", scaling(mode="External"), "must be set in the modes `Fixed` and `External`"),
    ("both ways", scaling(mode="Autoscale", minReplicas=1, maxReplicas=3, replicas=2), "must be left out in the mode"),
    ("no least", scaling(mode="Autoscale", maxReplicas=3), "must be set in the mode `Autoscale`"),
    ("upside down", scaling(mode="Autoscale", minReplicas=4, maxReplicas=3), "less than or equal to `maxReplicas`"),
    ("not scaled", scaling(replicas=2, maxReplicas=3), "are for the mode `Autoscale`"),
    ("a path", lambda it: it["spec"].update(kernel={"sysctls": [{"name": "a/b", "value": "1"}]}), "must be a kernel setting"),
    ("a port of no node", lambda it: it["spec"].update(service={"nodePort": 30_000}), "`nodePort` needs `type: NodePort`"),
    ("local inside", lambda it: it["spec"].update(service={"externalTrafficPolicy": "Local"}), "has no external traffic"),
    ("one network", pods(hostNetwork=True), "fight for the same ports"),
    ("once only", pods(restartPolicy="Never"), "must be left out, or be `Always`"),
    ("another grace", pods(terminationGracePeriodSeconds=5), "set `spec.drain.deadlineSeconds`"),
    ("no image", pods(containers=[{"name": "app"}]), "each container needs an `image`"),
    ("another gateway", pods(containers=[{"name": "gateway", "image": "a:1"}]), "set `spec.image`"),
    ("one name twice", pods(containers=[CONTAINER], initContainers=[CONTAINER]), "must differ from those of `containers`"),
    ("our label", pod_metadata(labels={"wse.dev/revision": "1"}), "labels of `wse.dev/`"),
    ("our annotation", pod_metadata(annotations={"wse.dev/draining": ""}), "annotations of `wse.dev/`"),
    ("a field of none", lambda it: it["spec"].update(colour="red"), 'unknown field "spec.colour"'),
]


@pytest.mark.parametrize("change, told", [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_bad_spec_is_refused_with_what_to_do(space, change, told):
    with pytest.raises(kube.Refused) as refused:
        text = json.dumps(broken(change))
        kube.kubectl("create", "--namespace", space, "--filename=-", "--validate=strict", text=text)
    assert told in str(refused.value)


def test_every_sentence_is_among_them_but_that_of_a_change(chat):
    text = (kube.REPO / "crds/wsecluster.yaml").read_text()
    rules = [rule["message"] for rule in validations(yaml.safe_load(text))]
    untold = [rule for rule in rules if not any(told in rule for _, _, told in BAD)]
    assert len(untold) == 1 and untold[0].startswith("`partitions` cannot be changed"), untold
    with pytest.raises(kube.Refused, match="`partitions` cannot be changed"):
        chat.change({"backplane": {"redis": {"partitions": 7}}})


def validations(schema):
    """Every rule in a schema."""
    if isinstance(schema, dict):
        yield from schema.get("x-kubernetes-validations", [])
    for below in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []:
        yield from validations(below)


def test_the_served_definition_is_the_committed_one(operator):
    committed = yaml.safe_load((kube.REPO / "crds/wsecluster.yaml").read_text())
    served = kube.get("crd", "wseclusters.wse.dev")
    version = committed["spec"]["versions"][0]
    assert served["spec"]["versions"][0]["additionalPrinterColumns"] == version["additionalPrinterColumns"]
    assert served["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
