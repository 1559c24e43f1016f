"""The main job: the published Python client receives through one pod what a backend publishes through the other."""

import json
import os
import subprocess
import sys
import threading
import urllib.request

import kube
from fleet import KEY, Fleet, cluster, publish, token

MESSAGES = 10_000
TOPIC = "orders.new"


def test_ten_thousand_arrive_in_order_and_once_through_the_other_pod(space):
    limits = {"messagesPerSecond": 1_000}
    fleet = Fleet(space, cluster(limits=limits))
    one, other = sorted(fleet.names())
    with kube.forward(space, f"pod/{one}", 8080) as public, kube.forward(space, f"pod/{other}", 8081) as api:
        script = [sys.executable, str(kube.REPO / "e2e/python/receive.py")]
        script += [f"ws://127.0.0.1:{public}/wse", TOPIC, str(MESSAGES)]
        environment = {**os.environ, "WSE_TOKEN": token("python", "orders.*")}
        client = subprocess.Popen(script, stdout=subprocess.PIPE, text=True, env=environment)
        subscribed = threading.Event()
        prober = threading.Thread(target=probe, args=(api, subscribed))
        prober.start()
        try:
            assert json.loads(client.stdout.readline()) == {"probe": True}
        finally:
            subscribed.set()
            prober.join()
        for first in range(0, MESSAGES, 1_000):
            publish_batch(api, range(first, first + 1_000))
        output, _ = client.communicate(timeout=kube.PATIENCE_SECONDS)
    report = json.loads(output)
    assert report["numbers"][TOPIC] == list(range(MESSAGES))
    assert report["reconnects"] == 0


def probe(api: int, subscribed: threading.Event) -> None:
    """Until the client has seen one: from then on its subscription is in force through both pods."""
    while not subscribed.wait(0.2):
        assert publish(api, TOPIC, {}, kind="probe") == 200


def publish_batch(api: int, numbers: range) -> None:
    messages = [
        {"topic": TOPIC, "message": {"t": "numbered", "p": {"topic": TOPIC, "number": number}}} for number in numbers
    ]
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    url = f"http://127.0.0.1:{api}/publish/batch"
    request = urllib.request.Request(url, json.dumps({"publications": messages}).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        results = json.load(answer)["results"]
    assert not [it for it in results if "error" in it]
