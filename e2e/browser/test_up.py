"""`wse-operator up` as a process: how it ends, and what it leaves behind."""

import json
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from conftest import PATIENCE_SECONDS, Up, reloads, scratch


def children(up):
    """The processes that `up` started, of any of its threads."""
    tasks = Path(f"/proc/{up.process.pid}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


def lives(pid):
    try:
        # Behind the name, which may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except FileNotFoundError:
        return False


def until(condition, what):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.05)


@contextmanager
def client(up):
    """A connected client of the fleet that `up` runs."""
    token = re.search(r"^eyJ\S+$", up.said(), re.MULTILINE).group()
    url = re.search(r"WebSocket +(ws://\S+)", up.said()).group(1)
    with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as connection:
        assert json.loads(connection.recv(PATIENCE_SECONDS))["t"] == "server_ready"
        yield connection


def close_code(connection):
    try:
        while True:
            connection.recv(PATIENCE_SECONDS)
    except ConnectionClosed as closed:
        return closed.rcvd and closed.rcvd.code


def test_a_reader_that_is_gone_keeps_no_client_from_being_asked_to_leave(tmp_path):
    up = Up(tmp_path, piped=True)
    try:
        with client(up) as connection:
            up.close_output()
            up.process.terminate()
            assert close_code(connection) == 4300
    finally:
        assert up.end() == 0


@pytest.mark.parametrize("name", ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"])
def test_nothing_is_left_after_a_signal(tmp_path, name):
    up = Up(tmp_path, "--replicas", "2")
    try:
        started, folder = children(up), scratch(up)
        assert len(started) == 3 and folder.is_dir(), "two gateways and a redis-server"
        up.process.send_signal(signal.Signals[name])
        assert up.process.wait(PATIENCE_SECONDS) == 0, up.said()
        assert not [pid for pid in started if lives(pid)]
        assert not folder.exists()
    finally:
        up.end()


def test_the_printed_line_publishes(fleet):
    line = re.search(r"^curl .*$", fleet.said(), re.MULTILINE).group()
    command = f"{line} -o {fleet.file.with_suffix('.answer')} -w '%{{http_code}}'"
    answer = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (answer.returncode, answer.stdout) == (0, "200"), answer.stderr


def test_a_renamed_entry_stays_until_nobody_reads_it(tmp_path):
    up = Up(tmp_path)
    try:
        old, new = (scratch(up) / "secrets/chat-api" / key for key in ("key", "renamed"))
        up.edit_all(("name: chat-api, key: key", "name: chat-api, key: renamed"), ("\n  key: ", "\n  renamed: "))
        until(new.is_file, up.said)
        assert old.is_file(), "gateways have the old configuration"
        until(lambda: reloads(up)["applied"] == 1, up.said)
        until(lambda: not old.exists(), up.said)
        assert new.is_file()
        assert reloads(up) == {"applied": 1, "refused": 0}, up.said()
    finally:
        assert up.end() == 0, up.said()


def test_a_killed_run_leaves_no_process(tmp_path):
    up = Up(tmp_path, "--replicas", "2")
    started = children(up)
    try:
        assert len(started) == 3
        with client(up) as connection:
            up.process.kill()
            up.process.wait()
            assert close_code(connection) == 4300
        until(lambda: not any(lives(pid) for pid in started), lambda: f"of {started} some live on")
    finally:
        up.end()
        for pid in filter(lives, started):
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["rm", "-r", scratch(up)], check=True)
