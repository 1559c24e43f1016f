"""An operator that starts before its definition is there. Last, because with the definition every WseCluster goes."""

import kube


def test_an_operator_without_its_definition_waits_for_it(operator):
    kube.kubectl("delete", "crd", "wseclusters.wse.dev", "--wait")
    operator.kill()

    def waits():
        pods = operator.pods()
        if not pods or not pods[0]["status"].get("containerStatuses"):
            return "no pod"
        status = pods[0]["status"]["containerStatuses"][0]
        return pods[0] if "running" in status["state"] and not status["ready"] else f"{status}"

    pod = kube.until("it runs and is not ready", waits)["metadata"]["name"]
    kube.kubectl("apply", "--server-side", "--filename", str(kube.REPO / "crds/wsecluster.yaml"))
    kube.kubectl("wait", "--namespace", operator.namespace, f"pod/{pod}", "--for=condition=Ready", "--timeout=120s")
    status = kube.get("pod", pod, "--namespace", operator.namespace)["status"]["containerStatuses"][0]
    assert status["restartCount"] == 0
