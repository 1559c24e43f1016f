"""Both charts: their versions, and what a package holds."""

import tomllib

import pytest
import yaml
from conftest import CRDS, OPERATOR, ROOT, Refused, everything, helm, render

CHARTS = pytest.mark.parametrize("chart", [CRDS, OPERATOR], ids=lambda chart: chart.name)


def about(chart):
    return yaml.safe_load((chart / "Chart.yaml").read_text())


@CHARTS
def test_versions_are_those_of_the_programs(chart):
    workspace = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]
    assert about(chart)["appVersion"] == about(chart)["version"] == workspace["version"]
    assert about(chart)["annotations"]["artifacthub.io/license"] == workspace["license"]


@CHARTS
def test_old_kubernetes_is_refused_and_vendors_versions_are_not(chart):
    with pytest.raises(Refused, match="kubeVersion"):
        render(chart, {}, None, "--kube-version", "1.32.9")
    for version in ("1.33.0", "1.33.4-gke.1234", "1.37.1+k3s1"):
        assert render(chart, {}, None, "--kube-version", version)


def test_the_listed_kind_is_the_one_that_is_installed():
    [listed] = yaml.safe_load(about(CRDS)["annotations"]["artifacthub.io/crds"])
    installed = render(CRDS).one("CustomResourceDefinition")
    assert listed["name"] == installed["metadata"]["name"]
    assert listed["kind"] == installed["spec"]["names"]["kind"]
    assert listed["version"] in [each["name"] for each in installed["spec"]["versions"]]


@CHARTS
@pytest.mark.parametrize("all_of_it", [False, True], ids=["default", "everything"])
def test_a_package_makes_what_its_folder_makes(chart, all_of_it, tmp_path):
    values = everything(chart) if all_of_it else {}
    helm("package", str(chart), "--destination", str(tmp_path))
    [package] = tmp_path.iterdir()
    assert render(package, values, "release") == render(chart, values, "release")


@CHARTS
def test_an_upgrade_with_the_same_values_changes_nothing(chart):
    """Nothing is drawn at random."""
    assert render(chart, everything(chart)) == render(chart, everything(chart))


@CHARTS
def test_no_two_objects_are_the_same(chart):
    for values in ({}, everything(chart)):
        names = [
            (each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
            for each in render(chart, values)
        ]
        assert len(names) == len(set(names))
