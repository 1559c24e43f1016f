"""wse-operator: what it may do, and where."""

import pytest
from conftest import OPERATOR, render

CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding"}


def rules(objects, kind):
    """The rules of an operator's role, without those of its Lease and of the chart's test."""
    [role] = [each for each in objects.of(kind) if any("wseclusters/status" in r["resources"] for r in each["rules"])]
    return role["rules"]


def verbs(objects, kind, resource):
    return {verb for rule in rules(objects, kind) if resource in rule["resources"] for verb in rule["verbs"]}


def test_every_namespace_takes_a_cluster_role(default):
    assert rules(default, "ClusterRole")
    bound = {each["roleRef"]["name"] for each in default.of("ClusterRoleBinding")}
    assert bound == {each["metadata"]["name"] for each in default.of("ClusterRole")}


@pytest.mark.parametrize("namespaces", [[], ["a", "b"]])
def test_nodes_are_read_wherever_namespaces_are_served_and_nothing_else_of_the_cluster(namespaces):
    objects = render(OPERATOR, {"watchNamespaces": namespaces})
    role = objects.one("ClusterRole", "wse-system:wse-operator:nodes")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]}]
    binding = objects.one("ClusterRoleBinding", "wse-system:wse-operator:nodes")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]


def test_without_nodes_listed_namespaces_take_nothing_cluster_wide(default):
    objects = render(OPERATOR, {"watchNamespaces": ["a", "b"], "nodes": {"read": False}})
    assert not {each["kind"] for each in objects} & CLUSTER_WIDE
    for namespace in ("a", "b"):
        [role] = [
            each
            for each in objects.of("Role")
            if each["metadata"]["namespace"] == namespace and each["metadata"]["name"] == "wse-operator"
        ]
        assert role["rules"] == rules(default, "ClusterRole")
        [binding] = [
            each
            for each in objects.of("RoleBinding")
            if each["metadata"]["namespace"] == namespace and each["metadata"]["name"] == "wse-operator"
        ]
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "wse-operator"}
    [argument] = [each for each in arguments(objects) if each.startswith("--namespaces")]
    assert argument == "--namespaces=a,b"


def test_without_namespaces_none_are_passed(default):
    assert not [each for each in arguments(default) if each.startswith("--namespaces")]


def arguments(objects):
    return objects.one("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"]


@pytest.mark.parametrize(
    "resource, wanted",
    [
        ("wseclusters", "get list watch"),
        ("wseclusters/status", "patch"),
        ("wseclusters/finalizers", "update"),
        ("replicasets", "get list watch create patch delete"),
        ("pods", "get list watch create patch delete"),
        ("services", "get list watch create patch"),
        ("configmaps", "get list watch create patch"),
        ("serviceaccounts", "get list watch create patch"),
        ("secrets", "get create patch"),
        ("poddisruptionbudgets", "get list watch create patch"),
        ("networkpolicies", "get list watch create patch"),
        ("events", "create patch"),
    ],
)
def test_a_resource_has_these_verbs_and_no_more(default, resource, wanted):
    assert verbs(default, "ClusterRole", resource) == set(wanted.split())


def test_nothing_else_is_in_the_role(default):
    granted = {
        (group, each)
        for rule in rules(default, "ClusterRole")
        for group in rule["apiGroups"]
        for each in rule["resources"]
    }
    assert granted == {
        ("wse.dev", "wseclusters"),
        ("wse.dev", "wseclusters/status"),
        ("wse.dev", "wseclusters/finalizers"),
        ("apps", "replicasets"),
        ("", "pods"),
        ("", "services"),
        ("", "configmaps"),
        ("", "serviceaccounts"),
        ("", "secrets"),
        ("policy", "poddisruptionbudgets"),
        ("networking.k8s.io", "networkpolicies"),
        ("events.k8s.io", "events"),
    }


@pytest.mark.parametrize("release", ["wse-operator", "edge"])
def test_the_lease_is_one_and_at_home(release):
    objects = render(OPERATOR, {"watchNamespaces": ["a"]}, release)
    [name] = [each.removeprefix("--lease-name=") for each in arguments(objects) if each.startswith("--lease-name=")]
    [role] = [each for each in objects.of("Role") if each["rules"][0]["resources"] == ["leases"]]
    assert role["metadata"]["namespace"] == "wse-system"
    create, use = role["rules"]
    assert create["verbs"] == ["create"]
    assert (use["resourceNames"], use["verbs"]) == ([name], ["get", "patch"])


def test_roles_are_bound_to_who_runs(default, full):
    for objects in (default, full):
        account = objects.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
        tester = objects.one("Pod")["spec"]["serviceAccountName"]
        names = {each["metadata"]["name"] for each in objects.of("ServiceAccount")}
        assert names == {account, tester}
        for binding in objects.of("RoleBinding") + objects.of("ClusterRoleBinding"):
            [subject] = binding["subjects"]
            expected = tester if binding["metadata"]["name"].endswith("-verify") else account
            assert subject == {"kind": "ServiceAccount", "name": expected, "namespace": "wse-system"}


def test_the_test_makes_one_fleet_and_reads_no_secret(default):
    rules = default.one("Role", "wse-operator-verify")["rules"]
    assert {each: set(rule["verbs"]) for rule in rules for each in rule["resources"]} == {
        "wseclusters": {"create", "get", "delete"},
        "wseclusters/finalizers": {"update"},
        "secrets": {"create"},
    }


def test_no_roles_where_somebody_else_makes_them():
    objects = render(OPERATOR, {"rbac": {"create": False}, "serviceAccount": {"create": False}})
    assert not {each["kind"] for each in objects} & (CLUSTER_WIDE | {"Role", "RoleBinding"})
    assert objects.one("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "default"
