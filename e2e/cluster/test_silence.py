"""Pods that do not say what they carry, or say nonsense: none goes, it is told, and it ends by itself."""

from contextlib import contextmanager

import kube
from fleet import Fleet, cluster

ADMIN_PORT = 9090
NONSENSE_PORT = 19_090
# Whatever it is asked.
NONSENSE = f"""
use IO::Socket::INET;
my $listener = IO::Socket::INET->new(LocalPort => {NONSENSE_PORT}, Listen => 16, ReuseAddr => 1) or die $!;
while (my $one = $listener->accept) {{
    sysread($one, my $question, 4096);
    print $one "HTTP/1.1 200 OK\\r\\ncontent-length: 16\\r\\nconnection: close\\r\\n\\r\\n{{\\"connections\\":1}}";
    close $one;
}}
"""


class Firewall:
    """The packet filter of a node, and a server there that answers nonsense. The node's own programs are used."""

    def __init__(self, space: str, node: str):
        self.space, self.name, self.rules = space, f"firewall-{node}", []
        folders = ["/bin", "/etc/alternatives", "/lib", "/lib64", "/run", "/sbin", "/usr"]
        volumes = [{"name": f"{index}", "hostPath": {"path": it}} for index, it in enumerate(folders)]
        mounts = [{"name": f"{index}", "mountPath": it} for index, it in enumerate(folders)]
        container = {
            "name": "firewall", "image": "wse-redis:dev", "imagePullPolicy": "IfNotPresent",
            "command": ["/usr/bin/perl", "-e", NONSENSE], "volumeMounts": mounts, "securityContext": {"privileged": True},
        }  # fmt: skip
        spec = {"nodeName": node, "hostNetwork": True, "containers": [container], "volumes": volumes}
        spec |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "tolerations": [{"operator": "Exists"}]}
        kube.apply(space, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": self.name}, "spec": spec})
        kube.kubectl("wait", "--namespace", space, f"pod/{self.name}", "--for=condition=Ready", "--timeout=60s")
        self.address = kube.get("pod", self.name, "--namespace", space)["status"]["hostIP"]

    def silence(self, pod: dict) -> None:
        """No question from another place comes to it. Its kubelet still sees that it is well."""
        self._add("filter", "FORWARD", pod, "--jump", "DROP")

    def confuse(self, pod: dict) -> None:
        """Others answer for it."""
        self._add("nat", "PREROUTING", pod, "--jump", "DNAT", "--to-destination", f"{self.address}:{NONSENSE_PORT}")

    def answer(self, pod: dict) -> None:
        """As if nothing had been."""
        for rule in [rule for rule in self.rules if pod["status"]["podIP"] in rule]:
            self._delete(rule)

    def let_all_pass(self) -> None:
        for rule in list(self.rules):
            self._delete(rule)

    def _add(self, table: str, chain: str, pod: dict, *target: str) -> None:
        rule = ["--destination", pod["status"]["podIP"], "--protocol", "tcp", "--dport", str(ADMIN_PORT), *target]
        self._run(table, "--insert", chain, *rule)
        self.rules.append([table, chain, *rule])

    def _delete(self, rule: list[str]) -> None:
        self._run(rule[0], "--delete", *rule[1:])
        self.rules.remove(rule)

    def _run(self, table: str, *arguments: str) -> None:
        command = ["/usr/sbin/iptables", "--wait", "--table", table, *arguments]
        kube.kubectl("exec", "--namespace", self.space, self.name, "--", *command)


@contextmanager
def firewalls(space: str, nodes: set[str]):
    made = {node: Firewall(space, node) for node in nodes}
    try:
        yield made
    finally:
        for firewall in made.values():
            firewall.let_all_pass()


def test_what_is_not_known_takes_no_pod_away(operator, space):
    down = {"stabilizationWindowSeconds": 0}
    scaling = {"mode": "Autoscale", "minReplicas": 3, "maxReplicas": 3, "autoscale": {"scaleDown": down}}
    fleet = Fleet(space, cluster(scaling=scaling))
    pods, uids = fleet.pods(), fleet.uids()
    one, *others = pods
    fleet.until_condition("ScalingActive", "LoadMeasured")

    def missed(silent: int):
        found = kube.condition(fleet.seen(), "ScalingActive")
        fits = found["reason"] == "LoadMissing" and found["message"].startswith(f"{silent} of 3 pods do not say")
        return found if fits else f"{found}"

    def held():
        assert fleet.uids() == uids and not fleet.events("DrainStarted")

    with firewalls(space, {pod["spec"]["nodeName"] for pod in pods}) as on:
        on[node(one)].silence(one)
        kube.until("one is missed", lambda: missed(1))
        # From here on nobody needs more than one.
        fleet.change({"scaling": {"minReplicas": 1}})
        on[node(one)].confuse(one)
        for pod in others:
            on[node(pod)].silence(pod)
        kube.until("all are missed", lambda: missed(3))
        held()
        for pod in others:
            on[node(pod)].answer(pod)
        kube.until("the one that says nonsense is missed", lambda: missed(1))
        held()
        assert questions(operator, "nonsense") > 0 and questions(operator, "timeout") > 0
    kube.until("they go, one by one", lambda: len(fleet.pods()) == 1)
    fleet.until_condition("ScalingActive", "LoadMeasured")
    assert len(fleet.events("DrainStarted")) == 2


def node(pod: dict) -> str:
    return pod["spec"]["nodeName"]


def questions(operator, outcome: str) -> float:
    """How many of the leader's questions came out so."""
    path = f"/api/v1/namespaces/{operator.namespace}/pods/{operator.leader()}:8080/proxy/metrics"
    lines = kube.kubectl("get", "--raw", path).splitlines()
    found = [line for line in lines if line.startswith(f'wse_operator_pod_questions_total{{outcome="{outcome}"}}')]
    return float(found[0].split()[-1]) if found else 0
