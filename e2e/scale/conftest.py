"""An API server, an operator and as many WseClusters as asked for, once for all tests here."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import fleet  # noqa: E402
from api import ApiServer  # noqa: E402

FIGURES: list[str] = []


def pytest_terminal_summary(terminalreporter) -> None:
    for figure in FIGURES:
        terminalreporter.write_line(figure)


@pytest.fixture(scope="session")
def figure():
    """Notes a figure, which is printed at the end whatever came of the tests."""

    def note(what: str, value: object) -> None:
        FIGURES.append(f"{what}: {value}")

    return note


@pytest.fixture(scope="session")
def names() -> list[tuple[str, str]]:
    """The clusters, by namespace and name."""
    count = int(os.environ.get("WSE_SCALE_CLUSTERS", "1000"))
    return [(fleet.NAMESPACES[index % len(fleet.NAMESPACES)], f"chat-{index}") for index in range(count)]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = ApiServer(tmp_path_factory.mktemp("api"))
    try:
        fleet.install(server)
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def kubelets(server):
    kubelets = fleet.Kubelets(server)
    yield kubelets
    kubelets.stop()


@pytest.fixture(scope="session")
def operator(server, names):
    """It starts when the clusters are there, as after an upgrade."""
    fleet.make(server, names)
    operator = fleet.Operator(server)
    yield operator
    operator.stop()
