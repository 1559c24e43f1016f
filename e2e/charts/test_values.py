"""Both charts: the schema and the values say the same, and what neither knows is refused."""

import json

import pytest
import yaml
from conftest import CRDS, OPERATOR, Refused, everything, helm, render

CHARTS = pytest.mark.parametrize("chart", [CRDS, OPERATOR], ids=lambda chart: chart.name)

# Mappings of Kubernetes' own, passed through; the API server checks them.
PASSED_THROUGH = {
    "affinity.nodeAffinity",
    "affinity.podAffinity",
    "affinity.podAntiAffinity",
    "extraObjects[]",
    "global",
    "networkPolicy.metricsFrom[].ipBlock",
    "networkPolicy.metricsFrom[].namespaceSelector",
    "networkPolicy.metricsFrom[].podSelector",
    "topologySpreadConstraints[].labelSelector",
}


def defaults(chart):
    return yaml.safe_load((chart / "values.yaml").read_text())


def schema(chart):
    return json.loads((chart / "values.schema.json").read_text())


def resolve(chart, node):
    if "$ref" in node:
        return schema(chart)["definitions"][node["$ref"].removeprefix("#/definitions/")]
    return node


def nodes(chart, node=None, path=""):
    """Every part of a schema, with its path."""
    node = resolve(chart, schema(chart) if node is None else node)
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from nodes(chart, child, f"{path}.{name}".lstrip("."))
    if "items" in node:
        yield from nodes(chart, node["items"], f"{path}[]")


def keys(values, path=""):
    """The path of every value, without the content of lists and free mappings."""
    for name, value in values.items():
        here = f"{path}.{name}".lstrip(".")
        yield here
        if isinstance(value, dict):
            yield from keys(value, here)


@CHARTS
def test_every_object_is_closed(chart):
    for path, node in nodes(chart):
        if "object" in node.get("type", []) and path not in PASSED_THROUGH:
            # False, or the type of every value of a free mapping.
            assert node.get("additionalProperties", True) is not True, path


@CHARTS
def test_schema_and_values_know_the_same_keys(chart):
    described = {path for path, _ in nodes(chart) if path and "[]" not in path and path != "global"}
    # What an empty mapping of the defaults may hold is in the schema alone.
    allowed = {path for path in described if path.startswith(("affinity.", "resources."))}
    present = set(keys(defaults(chart)))
    assert described - allowed == {path for path in present if not path.startswith("resources.")}


@CHARTS
def test_everything_is_in_everything(chart):
    values = everything(chart)
    fixed = {"serviceAccount.create", "rbac.create", "nodes.read", "aggregateRoles"}

    def same(default, given, path=""):
        for name in default:
            here = f"{path}.{name}".lstrip(".")
            if name not in given:
                yield here
            elif isinstance(default[name], dict) and default[name]:
                yield from same(default[name], given[name], here)
            elif default[name] == given[name]:
                yield here

    assert set(same(defaults(chart), values)) <= fixed


def unknown_keys():
    for chart in (CRDS, OPERATOR):
        for path, node in nodes(chart):
            if node.get("additionalProperties") is False and "[]" not in path:
                yield pytest.param(chart, path, id=f"{chart.name}:{path or 'top'}")


@pytest.mark.parametrize("chart, path", list(unknown_keys()))
def test_an_unknown_key_is_refused(chart, path):
    values = {"unknownKey": 1}
    for name in reversed(path.split(".") if path else []):
        values = {name: values}
    with pytest.raises(Refused, match="unknownKey"):
        render(chart, values)


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"digest": "sha256:12"}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"image": {"repository": ""}},
        {"metrics": {"podMonitor": {"interval": "often"}}},
        {"podAnnotations": {"number": 1}},
        {"replicas": -1},
        {"replicas": "1"},
        {"sidecar": {"image": {"repository": "wse-sidecar@sha256:1"}}},
        {"tolerations": [{"effects": "NoSchedule"}]},
        {"watchNamespaces": ["A_b"]},
        {"watchNamespaces": [""]},
        {"watchNamespaces": "a,b"},
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(values):
    with pytest.raises(Refused, match="values don't meet the specifications of the schema"):
        render(OPERATOR, values)


@CHARTS
def test_a_chart_can_be_a_part_of_another(chart, tmp_path):
    parent = tmp_path / "parent"
    (parent / "charts").mkdir(parents=True)
    (parent / "Chart.yaml").write_text("apiVersion: v2\nname: parent\nversion: 1.0.0\n")
    helm("package", str(chart), "--destination", str(parent / "charts"))
    assert render(parent, {"global": {"region": "north"}})


@CHARTS
def test_every_value_is_documented(chart):
    _, *rows = [line for line in (chart / "README.md").read_text().splitlines() if line.startswith("| ")]
    documented = {row.split("|")[1].strip(): row.split("|")[4].strip() for row in rows}
    assert all(documented.values())
    # A value is in the table by itself or as a part of one, such as `resources`.
    paths = list(keys(defaults(chart)))
    leaves = [path for path in paths if not any(other.startswith(f"{path}.") for other in paths)]
    assert not [leaf for leaf in leaves if not any(f"{leaf}.".startswith(f"{each}.") for each in documented)]
