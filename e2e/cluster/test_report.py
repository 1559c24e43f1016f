"""`wse-bench fleet` from a pod: what it sees of a WseCluster through the API server."""

import time

import pytest

import kube
from fleet import DRAIN, Fleet, Looker, cluster

CLIENTS = 120


@pytest.fixture(scope="module")
def chat(space):
    return Fleet(space, cluster(
        # A pod is meant for 105, and one has room for all.
        limits={"connections": 150},
        scaling={"mode": "Autoscale", "minReplicas": 1, "maxReplicas": 2},
        drain={**DRAIN, "rebalance": "OnImbalance"},
    ))  # fmt: skip


def test_a_fleet_that_grows_and_shrinks_is_seen_with_every_move(chat, bench_image):
    looker = Looker(chat, bench_image, f"5s:{CLIENTS},1h:{CLIENTS}")

    def spread():
        sessions = chat.sessions()
        return len(sessions) == 2 and sum(sessions.values()) == CLIENTS and min(sessions.values()) > 30 or f"{sessions}"

    kube.until("clients are spread over two pods", spread)
    chat.change({"scaling": {"mode": "Fixed", "replicas": 1, "minReplicas": None, "maxReplicas": None}})
    kube.until("one pod has all", lambda: list(chat.sessions().values()) == [CLIENTS])
    chat.until_settled()
    seen = chat.sessions()
    # It looks every second.
    time.sleep(4)
    report = looker.report()

    assert report["schema"] == "wse-fleet/1" and report["interrupted"]
    assert report["fleet"] == f"WseCluster {chat.namespace}/chat"
    assert report["connections"]["held"] == report["connections"]["peak"] == CLIENTS
    assert report["ready"] == {"start": 1, "peak": 2, "end": 1}
    moves = report["moves"]
    asked = moves["closes"]["4300"]
    assert set(moves["closes"]) == {"4300"} and moves["failed_attempts"] == 0, moves
    assert moves["reconnects"] == asked == sum(int(times) * count for times, count in moves["connections"].items())
    # What was not seen is told, and was a pod that went.
    assert {gap["pod"] for gap in report["gaps"]} <= {event["pod"] for event in report["events"] if event["what"] == "gone"}
    rows = [row for row in report["series"] if "pods" in row]
    assert {row["desired"] for row in rows} == {1, 2} and {row["tier"] for row in rows} == {"Light"}
    assert any({name: pod["sessions"] for name, pod in row["pods"].items()} == seen for row in rows), rows[-1]
    happened = [event["what"] for event in report["events"]]
    assert [it for it in happened if it in ("appears", "drains", "gone")] == ["appears", "drains", "gone"], report["events"]


def test_what_cannot_be_looked_at_is_named(chat, bench_image):
    nobody = Looker(chat, bench_image, "1s:1", cluster="nobody").complaint()
    assert f"cannot read WseCluster {chat.namespace}/nobody" in nobody and "not found" in nobody
    assert "forbidden" in Looker(chat, bench_image, "1s:1", account="default").complaint()
