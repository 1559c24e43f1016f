"""A WseCluster under test, and the clients and backends of it."""

import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

from websockets.sync.client import connect

import kube

SECRET = "a-test-secret-of-32-bytes-or-more"
KEY = "a-test-api-key"
ISSUER = "tests"
# Within seconds. Pods do not ask clients to spread, so that a test sees only the moves that it is about.
DRAIN = {"propagationSeconds": 1, "windowSeconds": 4, "deadlineSeconds": 8, "rebalance": "Never"}


def secret(name: str, **entries: str) -> dict:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": entries}


def cluster(name: str = "chat", **spec) -> dict:
    """A WseCluster on the tests' Redis that drains within seconds."""
    whole = {
        "capacity": {"tier": "Light"},
        "scaling": {"replicas": 2},
        "drain": DRAIN,
        "backplane": {"type": "Redis", "redis": {"url": "redis://redis:6379"}},
        "auth": {
            "keys": [{"algorithm": "HS256", "secretKeyRef": {"name": f"{name}-jwt", "key": "secret"}}],
            "issuers": [ISSUER],
            "audiences": [ISSUER],
        },
        "api": {"keys": [{"secretKeyRef": {"name": f"{name}-key", "key": "key"}}]},
        **spec,
    }
    metadata = {"name": name}
    return {"apiVersion": "wse.dev/v1alpha1", "kind": "WseCluster", "metadata": metadata, "spec": whole}


def token(user: str, *topics: str, key: str = SECRET) -> str:
    """Signed with the secret of `cluster`, or another."""

    def part(value: dict) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    claims = {"sub": user, "iss": ISSUER, "aud": ISSUER, "exp": int(time.time()) + 3_600}
    text = part({"alg": "HS256", "typ": "JWT"}) + b"." + part({**claims, "wse_topics": {"allow": topics, "deny": []}})
    signature = hmac.digest(key.encode(), text, hashlib.sha256)
    return (text + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


class Fleet:
    """A WseCluster that is there, with its Secrets and a Redis."""

    def __init__(self, namespace: str, whole: dict):
        self.namespace, self.name = namespace, whole["metadata"]["name"]
        kube.kubectl("apply", "--namespace", namespace, "--filename", str(kube.REPO / "e2e/kind/redis.yaml"))
        kube.apply(namespace, secret(f"{self.name}-jwt", secret=SECRET), secret(f"{self.name}-key", key=KEY), whole)
        self.until_settled()

    def seen(self) -> dict:
        return kube.get("wse", self.name, "--namespace", self.namespace)

    def change(self, spec: dict) -> None:
        kube.patch(self.namespace, f"wse/{self.name}", {"spec": spec})

    def until_settled(self, patience: float = kube.PATIENCE_SECONDS) -> dict:
        """All pods Ready, none comes or goes, and the status is about the present spec."""

        def look():
            whole = self.seen()
            status = whole.get("status", {})
            told = [kube.condition(whole, kind) for kind in ("Ready", "Settled")]
            fits = status.get("observedGeneration") == whole["metadata"]["generation"]
            count = status.get("readyReplicas") == status.get("replicas") == status.get("desiredReplicas")
            done = fits and count and all(it.get("status") == "True" for it in told)
            return whole if done else f"{status}"

        return kube.until(f"{self.name} is settled", look, patience)

    def until_condition(self, kind: str, reason: str) -> dict:
        def look():
            found = kube.condition(self.seen(), kind)
            return found if found.get("reason") == reason else f"{found}"

        return kube.until(f"{kind} is {reason}", look)

    def pods(self) -> list[dict]:
        """The pods that stay."""
        pods = kube.get("pods", "--namespace", self.namespace, f"--selector=wse.dev/cluster={self.name}")["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def loads(self) -> dict[str, dict]:
        """What each pod that stays says of itself, by its name."""
        path = f"/api/v1/namespaces/{self.namespace}/pods/%s:9090/proxy/load"
        return {name: json.loads(kube.kubectl("get", "--raw", path % name)) for name in sorted(self.names())}

    def names(self) -> set[str]:
        return {pod["metadata"]["name"] for pod in self.pods()}

    def uids(self) -> set[str]:
        return {pod["metadata"]["uid"] for pod in self.pods()}

    @contextmanager
    def never_fewer_than(self, wanted: int):
        """All the while at least so many pods take clients, the Service sends clients to as many, and the status says
        that the fleet is well."""
        place = ("--namespace", self.namespace)
        watches = [
            (kube.Watch("pods", *place, f"--selector=wse.dev/cluster={self.name}"), takes_clients),
            (kube.Watch("endpointslices", *place, f"--selector=kubernetes.io/service-name={self.name}"), ready_endpoints),
            (kube.Watch("wse", *place, f"--field-selector=metadata.name={self.name}"), lambda it: wanted * is_well(it)),
        ]
        try:
            for watch, count in watches:
                kube.until(f"there are {wanted}", lambda: watch.states and sum(map(count, watch.states[-1])) >= wanted)
            yield
        finally:
            seen = [(watch.end(), count) for watch, count in watches]
        for states, count in seen:
            counts = [sum(map(count, state)) for state in states]
            # A watch begins with one object after another.
            first = next(index for index, count in enumerate(counts) if count >= wanted)
            least = counts.index(min(counts[first:]), first)
            assert counts[least] >= wanted, f"{counts}: {json.dumps(states[least])}"
            assert len(counts) - first > 1, "nothing was seen to change"

    def sessions(self) -> dict[str, int]:
        """How many clients each pod has."""
        return {pod: load["connections"] for pod, load in self.loads().items()}

    def until_known(self) -> None:
        """The operator knows of the clients that have come: while nothing happens it asks pods every 5 s."""
        time.sleep(7)

    def poke(self) -> None:
        """Has the kubelets bring the pods' files up to date. By themselves they do so within two minutes."""
        mark = f"tests/poke={time.monotonic_ns()}"
        selector = f"--selector=wse.dev/cluster={self.name}"
        kube.kubectl("annotate", "pods", "--namespace", self.namespace, "--overwrite", selector, mark)

    def events(self, reason: str) -> list[str]:
        about = f"involvedObject.kind=WseCluster,involvedObject.name={self.name},reason={reason}"
        events = kube.get("events", "--namespace", self.namespace, f"--field-selector={about}")["items"]
        return [event["message"] for event in events]


def takes_clients(pod: dict) -> bool:
    metadata = pod["metadata"]
    leaves = "deletionTimestamp" in metadata or "wse.dev/draining" in metadata.get("annotations", {})
    return kube.condition(pod, "Ready").get("status") == "True" and not leaves


def ready_endpoints(slice_: dict) -> int:
    return sum(it["conditions"].get("ready", False) for it in slice_.get("endpoints") or [])


def is_well(whole: dict) -> bool:
    return all(kube.condition(whole, kind).get("status") == "True" for kind in ("Ready", "BackplaneReachable"))


class Bench:
    """Clients in a pod, connected through the Service, that come back when they are asked to move."""

    def __init__(
        self, fleet: Fleet, connections: int, image: str, rate: int = 500, topic: str | None = "bench.all", name: str = "bench",
    ):  # fmt: skip
        arguments = ["hold", "--reconnect", "--output=json", f"--host={fleet.name}", "--port=80", "--seconds=600"]
        arguments += [f"--connections={connections}", f"--rate={rate}", "--workers=1"]
        arguments += [f"--topic={topic}"] if topic else []
        self._start(fleet, image, name, arguments)
        kube.until("all clients are connected", self._holds)

    def _start(self, fleet: Fleet, image: str, name: str, arguments: list[str], **more) -> None:
        self.fleet, self.name = fleet, name
        arguments = [*arguments, f"--secret={SECRET}", f"--issuer={ISSUER}"]
        container = {"name": "bench", "image": image, "imagePullPolicy": "IfNotPresent", "args": arguments}
        spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 60, **more}
        kube.kubectl("delete", "pod", name, "--namespace", fleet.namespace, "--ignore-not-found")
        kube.apply(fleet.namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})

    def report(self) -> dict:
        """Ends the clients, and says what became of them."""
        # Not deleted yet: its log has to be read.
        kube.kubectl("logs", "--namespace", self.fleet.namespace, self.name)
        # The kubelet may add that the container is gone when it has followed the log to its end.
        reports = [line for line in self._end() if line.startswith("{")]
        return json.loads(reports[-1])

    def _end(self) -> list[str]:
        following = kube.subprocess.Popen(
            ["kubectl", "logs", "--namespace", self.fleet.namespace, "--follow", self.name],
            stdout=kube.subprocess.PIPE,
            text=True,
        )
        kube.kubectl("delete", "pod", self.name, "--namespace", self.fleet.namespace)
        output, _ = following.communicate(timeout=kube.PATIENCE_SECONDS)
        return output.strip().splitlines()

    def _holds(self):
        log = kube.kubectl("logs", "--namespace", self.fleet.namespace, self.name).splitlines()
        held = [line for line in log if '"holding"' in line]
        return held if held else f"{log[-3:]}"


class Looker(Bench):
    """The same as `wse-bench fleet`, which looks at the fleet meanwhile. By default it may."""

    def __init__(self, fleet: Fleet, image: str, stages: str, cluster: str = "", account: str = "looker"):
        names = {"metadata": {"name": "looker"}}
        rules = [
            {"apiGroups": ["wse.dev"], "resources": ["wseclusters"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
            {"apiGroups": [""], "resources": ["pods/proxy"], "verbs": ["get"]},
        ]
        group = "rbac.authorization.k8s.io"
        kube.apply(
            fleet.namespace,
            {"apiVersion": "v1", "kind": "ServiceAccount", **names},
            {"apiVersion": f"{group}/v1", "kind": "Role", **names, "rules": rules},
            {
                "apiVersion": f"{group}/v1", "kind": "RoleBinding", **names,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": "looker"},
                "subjects": [{"kind": "ServiceAccount", "name": "looker", "namespace": fleet.namespace}],
            },
        )  # fmt: skip
        arguments = ["fleet", "--output=json", f"--cluster={fleet.namespace}/{cluster or fleet.name}"]
        arguments += [f"--host={fleet.name}", "--port=80", f"--stage={stages}"]
        self._start(fleet, image, "looker", arguments, serviceAccountName=account)

    def complaint(self) -> str:
        """What it said when it ended by itself, in vain."""
        place = ("--namespace", self.fleet.namespace, self.name)
        kube.until("it gives up", lambda: kube.get("pod", *place)["status"]["phase"] == "Failed")
        return kube.kubectl("logs", *place)


@contextmanager
def publisher(fleet: Fleet, image: str, per_second: int):
    """A backend in a pod that publishes numbered messages, in order and each until it is taken, to the topic of
    [`Bench`]'s clients."""
    arguments = ["publish", f"--api=http://{fleet.name}-api:8081", f"--host={fleet.name}", "--port=80", "--connections=1"]
    arguments += ["--topic=bench.all", f"--messages-per-second={per_second}", "--messages=1000000", "--in-order"]
    arguments += [f"--secret={SECRET}", f"--issuer={ISSUER}", f"--api-key={KEY}"]
    container = {"name": "publisher", "image": image, "imagePullPolicy": "IfNotPresent", "args": arguments}
    spec = {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 0}
    kube.kubectl("delete", "pod", "publisher", "--namespace", fleet.namespace, "--ignore-not-found")
    kube.apply(fleet.namespace, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "publisher"}, "spec": spec})
    yield
    status = kube.get("pod", "publisher", "--namespace", fleet.namespace)["status"]
    kube.kubectl("delete", "pod", "publisher", "--namespace", fleet.namespace)
    assert status["phase"] == "Running", "it published to the end"


def connects(port: int, bearer: str) -> bool:
    """Whether a gateway behind a forwarded port takes this token."""
    with connect(f"ws://127.0.0.1:{port}/wse", additional_headers={"authorization": f"Bearer {bearer}"}) as socket:
        return json.loads(socket.recv())["t"] == "server_ready"


def publish(port: int, topic: str, payload: dict, key: str = KEY, kind: str = "numbered") -> int:
    """Publishes through a forwarded API port; the answer's status code."""
    body = json.dumps({"topic": topic, "message": {"t": kind, "p": payload}}).encode()
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/publish", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
