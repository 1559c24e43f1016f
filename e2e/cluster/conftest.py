"""An operator installed from the charts, for the whole session. The tests know a kubeconfig and three images."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import kube  # noqa: E402

OPERATOR_NAMESPACE = "wse-system"


def image(name: str) -> str:
    return os.environ.get(f"WSE_{name.upper()}_IMAGE", f"wse-{name}:dev")


class Operator:
    """The operator's release."""

    namespace = OPERATOR_NAMESPACE

    def install(self, **values: str) -> None:
        repository, tag = image("operator").rsplit(":", 1)
        gateway, gateway_tag = image("sidecar").rsplit(":", 1)
        chosen = {
            "image.repository": repository,
            "image.tag": tag,
            "sidecar.image.repository": gateway,
            "sidecar.image.tag": gateway_tag,
            **values,
        }
        sets = [f"--set={key}={value}" for key, value in chosen.items()]
        chart = str(kube.REPO / "charts/wse-operator")
        kube.run(
            "helm", "upgrade", "--install", "wse-operator", chart, "--namespace", self.namespace, "--create-namespace",
            "--wait", "--timeout=120s", *sets,
        )  # fmt: skip

    def pods(self) -> list[dict]:
        selector = "--selector=app.kubernetes.io/name=wse-operator"
        pods = kube.get("pods", "--namespace", self.namespace, selector)["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def kill(self) -> None:
        """All of its pods, without a farewell."""
        names = [pod["metadata"]["name"] for pod in self.pods()]
        kube.kubectl("delete", "pod", "--namespace", self.namespace, "--grace-period=0", "--force", *names)

    def leader(self) -> str:
        lease = kube.get("lease", "wse-operator", "--namespace", self.namespace)
        return lease["spec"].get("holderIdentity", "")


@pytest.fixture(scope="session")
def crds() -> None:
    chart = str(kube.REPO / "charts/wse-crds")
    kube.run("helm", "upgrade", "--install", "wse-crds", chart, "--namespace", OPERATOR_NAMESPACE, "--create-namespace")
    kube.kubectl("wait", "--for=condition=Established", "crd/wseclusters.wse.dev", "--timeout=60s")


@pytest.fixture(scope="session")
def operator(crds) -> Operator:
    operator = Operator()
    operator.install()
    return operator


@pytest.fixture(scope="module")
def space(request, operator):
    """A namespace for the module."""
    failed = request.session.testsfailed
    try:
        with kube.namespace(request.module.__name__.replace("_", "-")) as name:
            yield name
            if request.session.testsfailed > failed:
                raise Kept
    except Kept:
        pass


class Kept(Exception):
    """A test failed in a namespace, so it stays for whoever looks into it. The next run begins by removing it."""


@pytest.fixture(scope="session")
def bench_image() -> str:
    return image("bench")
