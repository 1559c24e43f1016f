"""A fleet started by `wse-operator up`, and a headless Chromium."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

REPO = Path(__file__).resolve().parents[2]
BINARIES = Path(os.environ.get("WSE_BINARIES", REPO / "target" / "debug"))
# Bounds on waits that events end; no test measures time.
PATIENCE_SECONDS = 60


class Up:
    """A running `wse-operator up` on a copy of the example."""

    def __init__(self, folder: Path, *options: str, piped: bool = False):
        self.file = folder / "chat.yaml"
        shutil.copy(REPO / "crds/examples/chat.yaml", self.file)
        self.output = folder / "up.log"
        command = [BINARIES / "wse-operator", "up", self.file, "--port", str(free_port()), *options]
        self.tee = None
        with self.output.open("wb") as log:
            if piped:
                self.tee = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=log)
            into = self.tee.stdin if self.tee else log
            self.process = subprocess.Popen(command, stdout=into, stderr=into)
        if self.tee:
            self.tee.stdin.close()
        try:
            self.wait_for(r"Ctrl-C drains")
            self.page = re.search(r"Page +(http://\S+)", self.said()).group(1)
        except BaseException:
            self.end()
            raise

    def said(self) -> str:
        return self.output.read_text()

    def wait_for(self, pattern: str) -> re.Match:
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            if found := re.search(pattern, self.said()):
                return found
            assert self.process.poll() is None, self.said()
            time.sleep(0.1)
        raise AssertionError(f"`up` never said {pattern}:\n{self.said()}")

    def close_output(self) -> None:
        """Ends the reader that `up` writes to, as Ctrl-C ends a `tee` behind it."""
        self.tee.kill()
        self.tee.wait()

    def edit(self, old: str, new: str) -> None:
        self.edit_all((old, new))

    def edit_all(self, *edits: tuple[str, str]) -> None:
        """Makes edits that are seen together."""
        text = self.file.read_text()
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        # A rename, so that no half-written file is read.
        edited = self.file.with_suffix(".new")
        edited.write_text(text)
        edited.rename(self.file)

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            if self.tee:
                self.close_output()


def scratch(up) -> Path:
    """The run's folder."""
    return Path(re.search(r"(/\S+)/\*\.log", up.said()).group(1))


def reloads(up) -> dict[str, int]:
    """How many new configurations the first gateway took, by outcome."""
    admin = json.loads((scratch(up) / "chat-0.json").read_text())["listen"]["admin"]
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=PATIENCE_SECONDS) as answer:
        text = answer.read().decode()
    found = re.findall(r'^wse_config_reloads_total\{outcome="(\w+)"\} (\d+)$', text, re.MULTILINE)
    return {outcome: int(count) for outcome, count in found}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    up = Up(tmp_path_factory.mktemp("fleet"))
    yield up
    assert up.end() == 0, up.said()


@pytest.fixture(scope="module")
def two_gateways(tmp_path_factory):
    up = Up(tmp_path_factory.mktemp("two"), "--replicas", "2")
    yield up
    assert up.end() == 0, up.said()


@pytest.fixture(scope="session")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()
