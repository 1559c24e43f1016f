"""wse-crds: the generated kind, unchanged, and who may use it."""

from copy import deepcopy

import yaml
from conftest import CRDS, ROOT, everything, render

KEEP = "helm.sh/resource-policy"


def test_the_kind_is_the_generated_one():
    generated = yaml.safe_load((ROOT / "crds/wsecluster.yaml").read_text())
    installed = deepcopy(render(CRDS).one("CustomResourceDefinition"))
    assert installed["metadata"].pop("annotations") == {KEEP: "keep"}
    assert installed["metadata"].pop("labels")["app.kubernetes.io/managed-by"] == "Helm"
    assert installed == generated


def test_metadata_is_added_and_never_takes_away():
    values = everything(CRDS)
    values["annotations"][KEEP] = "delete"
    values["labels"]["app.kubernetes.io/managed-by"] = "somebody"
    metadata = render(CRDS, values).one("CustomResourceDefinition")["metadata"]
    assert metadata["annotations"] == {"example.com/note": "yes", KEEP: "keep"}
    assert metadata["labels"]["example.com/team"] == "realtime"
    assert metadata["labels"]["app.kubernetes.io/managed-by"] == "Helm"


def test_built_in_roles_cover_the_kind():
    view, edit = (render(CRDS).one("ClusterRole", name) for name in ("wse-view", "wse-edit"))
    assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
    assert edit["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
    assert {verb for rule in view["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}
    # The status is the operator's.
    assert not any("wseclusters/status" in rule["resources"] for rule in edit["rules"])
    assert not render(CRDS, {"aggregateRoles": False}).of("ClusterRole")
