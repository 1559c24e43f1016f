"""Clients stay connected, or move once: changes of the pods, of policy, and of the operator."""

import re

import pytest

import kube
from conftest import image
from fleet import SECRET, Bench, Fleet, cluster, connects, publish, secret, token

CLIENTS = 1_000


@pytest.fixture(scope="module")
def chat(space):
    return Fleet(space, cluster())


def new_pods(chat: Fleet, label: str, **spec) -> None:
    """A change that needs new pods, carried out, while at no moment there are fewer pods for clients."""
    with chat.never_fewer_than(2):
        chat.change({"podTemplate": {"metadata": {"labels": {"tests/rollout": label}}}, **spec})
        chat.until_settled(300)


def announced(chat: Fleet) -> int:
    """The number of moves that the operator announced for the newest revision."""
    revision = chat.seen()["status"]["revision"]
    notes = [note for note in chat.events("RolloutStarted") if note.startswith(f"revision {revision} ")]
    assert notes, "the rollout was announced"
    return int(re.search(r"about (\d+) client moves", notes[-1]).group(1))


def test_with_full_surge_each_client_moves_exactly_once_to_a_new_pod(chat, bench_image):
    bench, old = Bench(chat, CLIENTS, bench_image), chat.names()
    chat.until_known()
    new_pods(chat, "full", rollout={"surge": "100%"})
    new = chat.names()
    assert len(new) == 2 and not new & old
    moves = bench.report()["moves"]
    assert moves["connections"] == {"1": CLIENTS}, moves
    assert moves["closes"] == {"4300": CLIENTS}, moves
    on = {node: sum(count for it, count in moves["nodes"].items() if it.startswith(node)) for node in new}
    assert sum(on.values()) == CLIENTS and all(on.values()), moves["nodes"]
    # The old pods drain together: their window is 4 s, and what is left at 8 s is closed at once.
    assert moves["last_seconds"] - moves["first_seconds"] < 8, moves
    assert announced(chat) == CLIENTS


def test_in_steps_it_costs_as_many_moves_as_was_said(chat, bench_image):
    bench = Bench(chat, CLIENTS, bench_image)
    chat.until_known()
    new_pods(chat, "steps", rollout={"surge": 1})
    moves = bench.report()["moves"]
    assert set(moves["closes"]) == {"4300"}, moves
    # Clients of the pod that goes first land on an old pod by chance, one in two, and move again: of at most 500,
    # with a standard deviation of at most 0.5 * sqrt(500) = 11.2. Six of them are never seen.
    assert abs(moves["closes"]["4300"] - announced(chat)) < 6 * 11.2, moves
    assert sum(int(times) * count for times, count in moves["connections"].items()) == moves["closes"]["4300"]


def test_policy_limits_and_keys_move_nobody_and_take_effect(chat, bench_image):
    bench, pods = Bench(chat, 100, bench_image), chat.uids()
    with kube.forward(chat.namespace, f"pod/{sorted(chat.names())[0]}", 8081) as api:
        assert publish(api, "bench.other", {"text": "x" * 4_000}) == 200
        assert publish(api, "bench.other", {}, key="the-next-key") == 401
        chat.change({
            "limits": {"subscriptions": 7},
            "topics": [{"pattern": "bench.*", "slowConsumer": "LatestWins", "history": {"size": 1, "ttlSeconds": 60}}],
            "drain": {"windowSeconds": 3},
            "api": {"keys": [
                {"secretKeyRef": {"name": "chat-key", "key": "key"}},
                {"secretKeyRef": {"name": "chat-key", "key": "next"}},
            ]},
        })  # fmt: skip
        kube.apply(chat.namespace, secret("chat-key", key="a-test-api-key", next="the-next-key"))

        def accepted():
            chat.poke()
            return publish(api, "bench.other", {}, key="the-next-key") == 200 or "refused"

        kube.until("the next key is accepted", accepted)
    assert '"subscriptions": 7' in kube.get("cm", "chat-config", "--namespace", chat.namespace)["data"]["config.json"]
    whole = chat.until_settled()
    assert chat.uids() == pods, "the pods are the same"
    assert whole["status"]["observedGeneration"] == whole["metadata"]["generation"]
    assert bench.report()["moves"]["closes"] == {}


def test_a_rotated_secret_takes_effect_and_disconnects_nobody(chat, bench_image):
    bench, pods, rotated = Bench(chat, 100, bench_image), chat.uids(), "the-next-secret-of-32-bytes-or-more"
    old, new = token("old", "bench.*"), token("new", "bench.*", key=rotated)
    try:
        for pod in chat.names():
            with kube.forward(chat.namespace, f"pod/{pod}", 8080) as public:
                assert (connects(public, old), connects(public, new)) == (True, False)
        kube.apply(chat.namespace, secret("chat-jwt", secret=rotated))
        for pod in chat.names():
            with kube.forward(chat.namespace, f"pod/{pod}", 8080) as public:

                def turned():
                    chat.poke()
                    return (connects(public, new), connects(public, old)) == (True, False) or "the old one is taken"

                kube.until("only the new token is taken", turned)
        assert chat.uids() == pods, "the pods are the same"
        moves = bench.report()["moves"]
        assert moves["closes"] == {} and moves["connections"] == {"0": 100}, moves
    finally:
        kube.apply(chat.namespace, secret("chat-jwt", secret=SECRET))
    with kube.forward(chat.namespace, f"pod/{sorted(chat.names())[0]}", 8080) as public:
        kube.until("the first one is taken again", lambda: chat.poke() or connects(public, old) or "it is not")


def test_another_default_image_of_the_operator_moves_nobody(chat, operator, bench_image):
    bench, pods, before = Bench(chat, 100, bench_image), chat.uids(), chat.seen()["status"]["image"]
    try:
        operator.install(**{"sidecar.image.tag": "next"})
        kube.until("the new operator leads", lambda: operator.leader() in {it["metadata"]["name"] for it in operator.pods()})
        chat.change({"log": "info,wse_sidecar::hub=warn"})
        chat.until_settled()
        assert chat.uids() == pods
        assert chat.seen()["status"]["image"] == before
    finally:
        operator.install()
    assert bench.report()["moves"]["closes"] == {}


def test_an_image_that_does_not_exist_costs_nobody_anything(chat, bench_image):
    bench, pods = Bench(chat, 50, bench_image), chat.uids()
    chat.change({"image": "wse-sidecar:does-not-exist"})

    def told():
        settled, whole = kube.condition(chat.seen(), "Settled"), chat.seen()
        waiting = [
            status.get("state", {}).get("waiting", {}).get("reason")
            for pod in chat.pods()
            for status in pod.get("status", {}).get("containerStatuses", [])
        ]
        stuck = "ImagePullBackOff" in waiting or "ErrImagePull" in waiting
        return whole if stuck and settled.get("reason") == "RollingOut" else f"{settled} {waiting}"

    kube.until("the new pods cannot start", told)
    assert pods <= chat.uids(), "the old pods stay"
    chat.change({"image": None})
    chat.until_settled()
    assert chat.uids() == pods, "the old pods were never left"
    assert bench.report()["moves"]["closes"] == {}
