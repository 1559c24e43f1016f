"""An API server of one's own, and calls to it."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOKEN = "scale"
# A bound on waits that events end.
PATIENCE_SECONDS = 600


class Refused(Exception):
    """A call that was not answered as hoped."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(sentence: str, look, patience: float = PATIENCE_SECONDS, pause: float = 0.5):
    """Looks until what `look` gives is true, and gives it back. It may give a text: not yet, and why."""
    end = time.monotonic() + patience
    while True:
        seen = look()
        if seen and not isinstance(seen, str):
            return seen
        assert time.monotonic() < end, f"never: {sentence}; seen last: {seen}"
        time.sleep(pause)


class ApiServer:
    """etcd and kube-apiserver, without anything that acts on objects."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        self.processes: list[subprocess.Popen] = []
        self.local = threading.local()
        self.pool = ThreadPoolExecutor(16)
        kube = os.environ["WSE_KUBE"]
        clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self.start(
            "etcd", kube, "etcd", f"--data-dir={folder}/etcd", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}",
        )  # fmt: skip
        key = folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (folder / "tokens.csv").write_text(f"{TOKEN},test,test,system:masters\noperator,operator,operator\n")
        self.start(
            "kube-apiserver", kube, "kube-apiserver", f"--etcd-servers={clients}", "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", f"--cert-dir={folder}/certs", f"--token-auth-file={folder}/tokens.csv",
            "--authorization-mode=AlwaysAllow", "--service-account-issuer=https://scale.test",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            # Nobody makes accounts' tokens here, and every cluster has two Services.
            "--disable-admission-plugins=ServiceAccount", "--service-cluster-ip-range=10.96.0.0/12",
        )  # fmt: skip
        until("the API server is ready", self.is_ready, 120)

    def start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def stop(self) -> None:
        self.pool.shutdown()
        for process in reversed(self.processes):
            process.terminate()
            process.wait(30)

    def is_ready(self) -> bool | str:
        for process in self.processes:
            assert process.poll() is None, (self.folder / "kube-apiserver.log").read_text()[-2000:]
        try:
            return self.call("GET", "/readyz", parse=False) == "ok"
        except (OSError, http.client.HTTPException, Refused) as error:
            return str(error)

    def kubeconfig(self, token: str) -> Path:
        """For one who is known by this token."""
        file = self.folder / f"kubeconfig-{token}"
        cluster = {"server": f"https://127.0.0.1:{self.port}", "insecure-skip-tls-verify": True}
        file.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "scale",
            "clusters": [{"name": "scale", "cluster": cluster}],
            "users": [{"name": "scale", "user": {"token": token}}],
            "contexts": [{"name": "scale", "context": {"cluster": "scale", "user": "scale"}}],
        }))  # fmt: skip
        return file

    def call(self, method: str, path: str, body: dict | None = None, parse: bool = True):
        headers = {"authorization": f"Bearer {TOKEN}"}
        if body is not None:
            patch = method == "PATCH"
            headers["content-type"] = "application/merge-patch+json" if patch else "application/json"
        text = json.dumps(body) if body is not None else None
        connection, self.local.connection = getattr(self.local, "connection", None), None
        try:
            # One that was idle for long may be closed.
            connection = connection or self.connect()
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
        except (ConnectionError, ssl.SSLError, http.client.RemoteDisconnected):
            connection = self.connect()
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
        text = answer.read().decode()
        self.local.connection = connection
        if answer.status >= 300:
            raise Refused(f"{method} {path}: {answer.status} {text[:500]}")
        return json.loads(text) if parse else text

    def connect(self) -> http.client.HTTPSConnection:
        # Its certificate is its own, and the way to it is loopback.
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=120)

    def all(self, calls: list[tuple]) -> list:
        """Many calls, some at a time."""
        return list(self.pool.map(lambda call: self.call(*call), calls))

    def items(self, path: str) -> list[dict]:
        found, more = [], ""
        while True:
            page = self.call("GET", f"{path}?limit=500&continue={more}")
            found += page["items"]
            if not (more := page["metadata"].get("continue", "")):
                return found

    def requests(self) -> Counter:
        """What it was asked so far, by verb and resource."""
        counted = Counter()
        for line in self.call("GET", "/metrics", parse=False).splitlines():
            if line.startswith("apiserver_request_total{"):
                labels, value = line.removeprefix("apiserver_request_total{").rsplit("} ", 1)
                pairs = dict(pair.split("=", 1) for pair in labels.split('",') if "=" in pair)
                label = {name: text.strip('"') for name, text in pairs.items()}
                counted[label["verb"], label["resource"]] += float(value)
        return counted
