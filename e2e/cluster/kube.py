"""Kubernetes as the tests see it: kubectl and helm on PATH, and a kubeconfig."""

import json
import re
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
# A bound on waits that events end; no test measures time.
PATIENCE_SECONDS = 120


class Refused(Exception):
    """A command that did not do it, with what it said."""


def run(*command: str, text: str | None = None, timeout: int = PATIENCE_SECONDS) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=timeout, cwd=REPO)
    if done.returncode:
        raise Refused(f"{' '.join(command)}: {done.stderr.strip()} {done.stdout.strip()}")
    return done.stdout


def kubectl(*arguments: str, text: str | None = None) -> str:
    return run("kubectl", *arguments, text=text)


def get(*arguments: str) -> dict:
    return json.loads(kubectl("get", "--output=json", *arguments))


def apply(namespace: str, *objects: dict) -> None:
    documents = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    kubectl("apply", "--namespace", namespace, "--filename=-", text=json.dumps(documents))


def patch(namespace: str, what: str, change: dict, kind: str = "merge") -> None:
    kubectl("patch", "--namespace", namespace, what, f"--type={kind}", f"--patch={json.dumps(change)}")


def until(sentence: str, look, patience: float = PATIENCE_SECONDS):
    """Looks until what `look` gives is true, and gives it back. It may give a text: not yet, and why."""
    end = time.monotonic() + patience
    while True:
        try:
            seen = look()
        except Refused as error:
            seen = str(error)
        if seen and not isinstance(seen, str):
            return seen
        assert time.monotonic() < end, f"never: {sentence}; seen last: {seen}"
        time.sleep(0.3)


def condition(thing: dict, kind: str) -> dict:
    conditions = thing.get("status", {}).get("conditions", [])
    return next((it for it in conditions if it["type"] == kind), {})


class Watch:
    """Every state that a list of objects goes through: nothing between two looks is missed."""

    def __init__(self, *arguments: str):
        command = ["kubectl", "get", "--watch", "--output-watch-events", "--output=json", *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._seen: dict[str, dict] = {}
        self.states: list[list[dict]] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            event = json.loads(line)
            thing = event["object"]
            self._seen[thing["metadata"]["uid"]] = thing
            if event["type"] == "DELETED":
                del self._seen[thing["metadata"]["uid"]]
            self.states.append(list(self._seen.values()))

    def end(self) -> list[list[dict]]:
        """Its states. It must not have ended by itself: then some were missed."""
        lived = self._process.poll() is None
        self._process.terminate()
        self._process.wait()
        self._reader.join()
        assert lived, "the watch ended too early"
        return self.states


@contextmanager
def logs(space: str, pods: set[str]):
    """The lines that pods write from now until they have ended, or this has; by pod, when it has ended."""
    follow = ["kubectl", "logs", "--namespace", space, "--follow", "--tail=0"]
    following = {pod: subprocess.Popen([*follow, pod], stdout=subprocess.PIPE, text=True) for pod in pods}
    lines: dict[str, list[str]] = {}
    try:
        yield lines
    finally:
        for pod, process in following.items():
            process.terminate()
            lines[pod] = process.communicate()[0].splitlines()


@contextmanager
def namespace(name: str, **labels: str):
    """A namespace of its own, gone afterwards, unless something failed in it: what is there explains why."""
    kubectl("delete", "namespace", name, "--ignore-not-found", "--wait")
    kubectl("create", "namespace", name)
    if labels:
        kubectl("label", "namespace", name, *(f"{key}={value}" for key, value in labels.items()))
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@contextmanager
def forward(space: str, what: str, port: int):
    """A port of a pod or Service, on this machine's loopback."""
    command = ["kubectl", "port-forward", "--namespace", space, what, f":{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.match(r"Forwarding from 127\.0\.0\.1:(\d+)", line)
        assert found, f"{' '.join(command)}: {line}"
        yield int(found.group(1))
    finally:
        process.terminate()
        process.wait()
