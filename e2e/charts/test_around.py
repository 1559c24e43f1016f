"""wse-operator: what is around its pods, and behind switches."""

import pytest
from conftest import OPERATOR, ROOT, Refused, everything, render

OPTIONAL = {"ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "PodMonitor", "PrometheusRule"}


def test_switches_are_off_by_default_and_work(default, full):
    assert not {each["kind"] for each in default} & OPTIONAL
    assert {each["kind"] for each in full} >= OPTIONAL


def test_what_selects_pods_selects_the_operator_and_not_the_test(full):
    running = full.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    testing = full.one("Pod")["metadata"]["labels"]
    selectors = [
        full.one("Deployment")["spec"]["selector"]["matchLabels"],
        full.one("Service")["spec"]["selector"],
        full.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        full.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        full.one("PodMonitor")["spec"]["selector"]["matchLabels"],
    ]
    for selector in selectors:
        assert running.items() >= selector.items()
        assert not testing.items() >= selector.items()


def test_the_network_policy_lets_in_the_test_and_who_is_listed(full):
    [rule] = full.one("NetworkPolicy")["spec"]["ingress"]
    test, *listed = rule["from"]
    assert full.one("Pod")["metadata"]["labels"].items() >= test["podSelector"]["matchLabels"].items()
    assert listed == everything(OPERATOR)["networkPolicy"]["metricsFrom"]


def test_a_budget_leaves_room_for_an_eviction(full):
    assert full.one("PodDisruptionBudget")["spec"]["maxUnavailable"] == "50%"
    for nobody in (0, "0%"):
        with pytest.raises(Refused, match="maxUnavailable"):
            render(OPERATOR, {"podDisruptionBudget": {"enabled": True, "maxUnavailable": nobody}})


def test_the_alert_is_about_what_the_pod_monitor_scrapes(full):
    monitor = full.one("PodMonitor")["metadata"]
    [group] = full.one("PrometheusRule")["spec"]["groups"]
    [rule] = group["rules"]
    # The job's name, as the Prometheus operator makes it of a PodMonitor.
    job = f"{monitor['namespace']}/{monitor['name']}"
    assert rule["expr"] == f'absent(wse_operator_leader{{job="{job}"}} == 1)'
    assert '"wse_operator_leader"' in (ROOT / "operator/src/controller/metrics.rs").read_text()
    for kind in ("PodMonitor", "PrometheusRule"):
        assert full.one(kind)["metadata"]["labels"]["release"] == "prometheus"
    with pytest.raises(Refused, match="metrics.alert.enabled needs metrics.podMonitor.enabled"):
        render(OPERATOR, {"metrics": {"alert": {"enabled": True}}})


def test_more_objects_are_mappings_or_text(full):
    assert {each["metadata"]["name"]: each["data"]["form"] for each in full.of("ConfigMap")} == {
        "wse-operator-extra": "mapping",
        "wse-operator-extra-text": "text",
    }


@pytest.mark.parametrize(
    "release, values, name",
    [
        ("wse-operator", {}, "wse-operator"),
        ("edge", {}, "edge-wse-operator"),
        ("edge", {"nameOverride": "op"}, "edge-op"),
        ("edge", {"fullnameOverride": "op"}, "op"),
        ("r" * 53, {}, "r" * 53 + "-wse-opera"),
    ],
)
def test_names_follow_the_release(release, values, name):
    objects = render(OPERATOR, values, release)
    assert objects.one("Deployment")["metadata"]["name"] == name
    assert objects.one("Service")["metadata"]["name"] == name
    for each in objects.of("Pod") + objects.of("Service"):
        assert len(each["metadata"]["name"]) <= 63


def test_releases_of_one_name_in_two_namespaces_do_not_meet(default):
    other = render(OPERATOR, {}, None, "--namespace", "elsewhere")
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        ours, theirs = ({each["metadata"]["name"] for each in objects.of(kind)} for objects in (default, other))
        assert ours and not ours & theirs
