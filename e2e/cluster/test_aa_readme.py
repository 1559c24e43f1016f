"""The README's commands for Kubernetes, word for word, from the first `helm install` on. First, because they begin on a
cluster that has nothing of this, in the namespace that `kubectl` uses by itself."""

import json
import re

import pytest

import kube
from conftest import OPERATOR_NAMESPACE

README = (kube.REPO / "README.md").read_text()
SECTION = README.split("## Run it on Kubernetes\n")[1].split("\n## ")[0]
BLOCK, SHOWN = (block.strip().splitlines() for block in re.findall(r"```(?:sh)?\n(.*?)```", SECTION, re.DOTALL))
INSTALL = BLOCK[BLOCK.index("helm install wse-crds charts/wse-crds") :]
# Those of the text after the blocks.
LATER = re.findall(r"`(kubectl [^`]+)`", SECTION)


def shell(line: str) -> str:
    # `helm install --wait` alone may take five minutes.
    return kube.run("bash", "-ec", line, timeout=360)


def nothing() -> None:
    """Away with what this module or another one installed."""
    if kube.kubectl("get", "crd", "wseclusters.wse.dev", "--ignore-not-found"):
        kube.kubectl("delete", "wse", "--all", "--namespace=default")
    kube.kubectl("delete", "deployment/redis", "service/redis", "--namespace=default", "--ignore-not-found")
    for release in json.loads(kube.run("helm", "list", "--all-namespaces", "--output=json")):
        if release["chart"].startswith("wse-"):
            kube.run("helm", "uninstall", release["name"], "--namespace", release["namespace"], "--wait")
    kube.kubectl("delete", "crd", "wseclusters.wse.dev", "--ignore-not-found", "--wait")
    kube.kubectl("delete", "namespace", OPERATOR_NAMESPACE, "--ignore-not-found", "--wait")


@pytest.fixture(scope="module")
def shown():
    """What the commands of the block print."""
    nothing()
    try:
        yield [shell(line) for line in INSTALL]
    finally:
        # Whatever came of it: the other modules install in another way.
        nothing()


def test_two_pods_become_ready(shown):
    table, row = (line.split() for line in shown[-1].splitlines()[-2:])
    as_printed, printed_row = (line.split() for line in SHOWN)
    assert table == as_printed
    # The age is another one.
    assert row[:-1] == printed_row[:-1]


def test_it_scales_tells_of_moves_and_leaves_nothing_behind(shown):
    scale, events, delete = LATER
    shell(scale)
    kube.until("three pods take clients", lambda: columns()["READY"] == "3" and columns()["PROGRESS"] == "Stable")
    template = {"spec": {"podTemplate": {"metadata": {"labels": {"team": "chat"}}}}}
    kube.patch("default", "wse/chat", template)
    kube.until("it says how many will move", lambda: re.search(r"about \d+ client moves", shell(events)))
    shell(delete)
    kinds = kube.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    of_it = ("--namespace=default", "--selector=wse.dev/cluster")

    def left():
        things = kube.get(",".join(kinds), *of_it)["items"]
        return not things or ", ".join(f"{it['kind']} {it['metadata']['name']}" for it in things)

    kube.until("nothing is left", left)
    secrets = kube.kubectl("get", "secrets", "--namespace=default", "--output=name").split()
    assert not [name for name in secrets if "chat" in name]


def columns() -> dict[str, str]:
    table, row = (line.split() for line in kube.kubectl("get", "wse", "chat").splitlines())
    return dict(zip(table, row))
