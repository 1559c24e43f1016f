"""What the tests of the charts share: rendering one as `helm install` would, without a cluster."""

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CRDS = ROOT / "charts/wse-crds"
OPERATOR = ROOT / "charts/wse-operator"


class Refused(Exception):
    """Helm's own words on why it renders nothing."""


def everything(chart: Path) -> dict:
    """Values with every switch on."""
    return yaml.safe_load((chart / "ci/everything-values.yaml").read_text())


def helm(*arguments: str, stdin: str | None = None) -> str:
    result = subprocess.run([os.environ["WSE_HELM"], *arguments], input=stdin, capture_output=True, text=True)
    if result.returncode:
        raise Refused(result.stderr)
    return result.stdout


class Objects(list):
    """Rendered objects."""

    def of(self, kind: str) -> list[dict]:
        return [each for each in self if each["kind"] == kind]

    def one(self, kind: str, name: str | None = None) -> dict:
        [found] = [each for each in self.of(kind) if name in (None, each["metadata"]["name"])]
        return found


def render(chart: Path, values: dict | None = None, release: str | None = None, *options: str) -> Objects:
    """The objects of a release in the namespace `wse-system`."""
    release = release or chart.name
    arguments = ["template", release, str(chart), "--namespace", "wse-system", "--values", "-", *options]
    text = helm(*arguments, stdin=yaml.safe_dump(values or {}))
    return Objects(each for each in yaml.safe_load_all(text) if each)


@pytest.fixture(scope="session")
def default() -> Objects:
    """The operator with default values."""
    return render(OPERATOR)


@pytest.fixture(scope="session")
def full() -> Objects:
    """The operator with every switch on."""
    return render(OPERATOR, everything(OPERATOR))
