"""The operator under test, WseClusters by the hundred, and what stands in for kubelets."""

import ipaddress
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import yaml
from api import ApiServer, free_port, until

REPO = Path(__file__).resolve().parents[2]
BINARIES = Path(os.environ.get("WSE_BINARIES", REPO / "target" / "debug"))
CLUSTERS = "/apis/wse.dev/v1alpha1"
NAMESPACES = [f"team-{index}" for index in range(10)]
# The gateway's admin port, names::ADMIN_PORT of the operator.
ADMIN_PORT = 9090
TICKS = os.sysconf("SC_CLK_TCK")


class Operator:
    """One operator, and what the system says of its process."""

    def __init__(self, server: ApiServer):
        self.log = server.folder / "operator.log"
        self.port = free_port()
        environment = {
            **os.environ, "KUBECONFIG": str(server.kubeconfig("operator")), "WSE_SIDECAR_IMAGE": "wse-sidecar:scale",
        }  # fmt: skip
        command = [BINARIES / "wse-operator", "run", "--listen", f"127.0.0.1:{self.port}"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def is_running(self) -> bool:
        """It always is; if not, this says why."""
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        return True

    def metric(self, name: str, label: str = "") -> float:
        """The sum over all labels that hold `label`."""
        self.is_running()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(rf"^{name}(\{{.*\}})? (\S+)$", text, re.MULTILINE)
        return sum(float(value) for labels, value in found if label in labels)

    def memory_mb(self, what: str) -> float:
        """`VmRSS`: now; `VmHWM`: at most."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+) kB", status).group(1)) / 1000

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def spec() -> dict:
    """The example's: two pods."""
    example, *_ = yaml.safe_load_all((REPO / "crds/examples/chat.yaml").read_text())
    return example["spec"]


def install(server: ApiServer) -> None:
    crd = yaml.safe_load((REPO / "crds/wsecluster.yaml").read_text())
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    server.call("POST", path, crd)

    def is_established() -> bool:
        status = server.call("GET", f"{path}/wseclusters.wse.dev")["status"]
        return any(it["type"] == "Established" and it["status"] == "True" for it in status["conditions"] or [])

    until("the kind is there", is_established, 60)
    for name in NAMESPACES:
        server.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})


def make(server: ApiServer, names: list[tuple[str, str]], **changes) -> None:
    """WseClusters, by namespace and name."""

    def one(space: str, name: str) -> tuple:
        body = {
            "apiVersion": "wse.dev/v1alpha1", "kind": "WseCluster",
            "metadata": {"name": name, "namespace": space}, "spec": {**spec(), **changes},
        }  # fmt: skip
        return "POST", f"{CLUSTERS}/namespaces/{space}/wseclusters", body

    server.all([one(*name) for name in names])


class Kubelets:
    """Has pods where ReplicaSets want them, with the status that kubelets would give them: running and ready."""

    def __init__(self, server: ApiServer):
        self.server = server
        self.processes: list[subprocess.Popen] = []
        # A /16 for each call of `run_pods`.
        self.networks = ipaddress.ip_network("127.64.0.0/10").subnets(new_prefix=16)

    def run_pods(self, sets: list[dict], dead: bool = False) -> None:
        """All pods of these ReplicaSets. Dead: they take connections, and never answer."""
        wanted = [(one, index) for one in sets for index in range(one["spec"]["replicas"])]
        addresses = [str(address) for _, address in zip(wanted, next(self.networks).hosts())]
        self.listen(addresses, dead)
        pods = [self.pod(one, index) for one, index in wanted]
        path = [f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods" for pod in pods]
        self.server.all([("POST", path, pod) for path, pod in zip(path, pods)])
        self.server.all([
            ("PATCH", f"{path}/{pod['metadata']['name']}/status", {"status": self.status(address)})
            for path, pod, address in zip(path, pods, addresses)
        ])  # fmt: skip

    def listen(self, addresses: list[str], dead: bool) -> None:
        file = self.server.folder / f"pods-{len(self.processes)}"
        file.write_text("".join(f"{'dead ' if dead else ''}{address}\n" for address in addresses))
        command = [sys.executable, Path(__file__).with_name("pods.py"), file, str(ADMIN_PORT)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        assert process.stdout.readline() == "listening\n"

    def stop(self) -> None:
        for process in self.processes:
            process.terminate()
            process.wait(30)

    @staticmethod
    def pod(set_: dict, index: int) -> dict:
        template = set_["spec"]["template"]
        owner = {
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": True,
            "name": set_["metadata"]["name"], "uid": set_["metadata"]["uid"],
        }  # fmt: skip
        metadata = {
            **template["metadata"], "name": f"{set_['metadata']['name']}-{index}",
            "namespace": set_["metadata"]["namespace"], "ownerReferences": [owner],
        }  # fmt: skip
        return {"metadata": metadata, "spec": {**template["spec"], "nodeName": "nowhere"}}

    @staticmethod
    def status(address: str) -> dict:
        gateway = {
            "name": "gateway", "image": "wse-sidecar:scale", "imageID": "sha256:0", "ready": True, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }  # fmt: skip
        return {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "containerStatuses": [gateway],
            "conditions": [{"type": "Ready", "status": "True"}],
        }  # fmt: skip


def condition(cluster: dict, kind: str) -> dict:
    conditions = cluster.get("status", {}).get("conditions", [])
    return next((it for it in conditions if it["type"] == kind), {})
