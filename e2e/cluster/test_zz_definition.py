"""An operator that starts before its definition is there. Last, because with the definition every WseCluster goes."""

import urllib.error
import urllib.request

import pytest

import kube


def test_an_operator_without_its_definition_waits_for_it(operator, request):
    if request.session.testsfailed:
        pytest.skip("the WseClusters of what failed would go too")
    kube.kubectl("delete", "crd", "wseclusters.wse.dev", "--wait")
    operator.kill()

    def runs():
        pods = [pod for pod in operator.pods() if "running" in state(pod)]
        return pods[0] if pods else "no pod runs"

    pod = kube.until("it runs", runs)["metadata"]["name"]
    with kube.forward(operator.namespace, f"pod/{pod}", 8080) as port:
        # It has asked for them, and was told that there is no such kind.
        kube.until("it says what it waits for", lambda: answer(port, "ready", "wseclusters", but="not listed yet"))
        assert answer(port, "live", "live") is True
    kube.kubectl("apply", "--server-side", "--filename", str(kube.REPO / "crds/wsecluster.yaml"))
    kube.kubectl("wait", "--namespace", operator.namespace, f"pod/{pod}", "--for=condition=Ready", "--timeout=120s")
    status = kube.get("pod", pod, "--namespace", operator.namespace)["status"]["containerStatuses"][0]
    assert status["restartCount"] == 0


def state(pod: dict) -> dict:
    statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
    return statuses[0]["state"]


def answer(port: int, path: str, holds: str, but: str = "\0") -> bool | str:
    """Whether what is at the path says the one, and on no line the other; else what it says."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as answered:
            text = answered.read().decode()
    except urllib.error.HTTPError as error:
        text = f"{error.code} {error.read().decode()}"
    except OSError as error:
        return f"it does not answer: {error}"
    told = [line for line in text.splitlines() if holds in line]
    return bool(told) and not any(but in line for line in told) or text
