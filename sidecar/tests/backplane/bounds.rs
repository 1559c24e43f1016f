//! What one slow, large or broken thing must not do to the rest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use wse_sidecar::backplane::{Backplane, Error, Metrics, NodeId};
use wse_sidecar::config::{self, RedisBackplane};
use wse_sidecar::topic::Topic;

use super::pod::{self, Pod, config, publish, until};
use super::server::Server;

/// What may wait in a pod, and one batch that is being delivered, with room for headers.
const INBOX_BYTES: f64 = 17_000_000.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_sink_bounds_what_waits_and_loses_nothing() {
    let server = Server::start().await;
    let config = config(server.url());
    let publisher = Pod::join(&config, "a").await;
    let slow = Pod::join(&config, "slow").await;
    for topic in ["a", "b"] {
        slow.subscribe(topic).await;
    }
    slow.subscribe_pattern("c*").await;
    slow.log.shut.store(true, Ordering::SeqCst);
    let payload = "x".repeat(64 << 10);
    for number in 0..200 {
        for topic in ["a", "b", "c", "cc"] {
            let payload = format!("{number} {payload}");
            publisher.publish(topic, &payload).await.unwrap();
            assert!(slow.metric("wse_backplane_inbox_bytes") < INBOX_BYTES);
        }
    }
    assert!(slow.metric("wse_backplane_inbox_overflows_total") >= 1.0);
    assert_eq!(slow.log.len(), 0);
    // The pod still lives: its lease is renewed and it answers.
    let nodes = publisher.backplane.nodes().await.unwrap();
    assert_eq!(nodes.len(), 2);

    slow.log.shut.store(false, Ordering::SeqCst);
    slow.received(800).await;
    publisher.publish("a", "end").await.unwrap();
    slow.received(801).await;
    slow.log.is_in_order();
    assert_eq!(slow.log.len(), 801);
    assert_eq!(slow.metric("wse_backplane_lost_total"), 0.0);
    until("nothing waits", || {
        slow.metric("wse_backplane_inbox_bytes") == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_giant_message_stops_nobody() {
    let server = Server::start().await;
    let config = config(server.url());
    let a = Arc::new(Pod::join(&config, "a").await);
    let b = Pod::join(&config, "b").await;
    b.subscribe("small").await;
    b.subscribe("giant").await;
    let giant = "x".repeat(20 << 20);
    for number in 0..3 {
        a.publish("giant", &giant).await.unwrap();
        a.publish("small", &number.to_string()).await.unwrap();
    }
    b.received(6).await;
    b.log.is_in_order();
    assert_eq!(b.log.payloads("small"), ["0", "1", "2"]);
    assert!(
        b.log
            .payloads("giant")
            .iter()
            .all(|payload| *payload == giant)
    );
}

#[tokio::test]
async fn what_no_gateway_sends_is_counted_and_stops_nobody() {
    let server = Server::start().await;
    let pod = Pod::join(&config(server.url()), "a").await;
    pod.subscribe("t").await;
    let channels: Vec<String> = server.run(&["PUBSUB", "SHARDCHANNELS", "*"]).await;
    assert_eq!(channels.len(), 3);
    for channel in &channels {
        for garbage in [
            "",
            "garbage",
            "\u{1}garbage that is longer than a header is",
        ] {
            let _: u32 = server.run(&["SPUBLISH", channel, garbage]).await;
        }
    }
    pod.publish("t", "good").await.unwrap();
    pod.received(1).await;
    assert_eq!(pod.log.payloads("t"), ["good"]);
    let counted = pod.metric("wse_backplane_malformed_total")
        + pod.metric("wse_backplane_control_requests_total");
    assert_eq!(counted, 9.0);
}

#[tokio::test]
async fn a_full_redis_refuses_publishes_and_nothing_else() {
    let server = Server::start().await;
    let pod = Pod::join(&config(server.url()), "a").await;
    pod.subscribe("t").await;
    pod.publish("t", "before").await.unwrap();
    let _: () = server.run(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let refused = pod.publish("t", "refused").await;
    assert!(
        matches!(&refused, Err(Error::Refused(why)) if why.contains("OOM")),
        "{refused:?}"
    );
    pod.subscribe("new").await;
    pod.subscribe_pattern("p*").await;
    let late = Pod::join(&config(server.url()), "late").await;
    late.subscribe("t").await;
    let _: () = server.run(&["CONFIG", "SET", "maxmemory", "0"]).await;
    for topic in ["t", "new", "pat"] {
        pod.publish(topic, "after").await.unwrap();
    }
    pod.received(4).await;
    late.received(1).await;
    assert_eq!(pod.log.payloads("t"), ["before", "after"]);
    assert_eq!(
        pod.backplane
            .read(&Topic::trusted("t"), None, 9)
            .await
            .unwrap()
            .publications
            .len(),
        2
    );
}

#[tokio::test]
async fn a_topic_that_was_only_subscribed_to_is_soon_forgotten() {
    let server = Server::start().await;
    let pod = Pod::join(&config(server.url()), "a").await;
    let head = pod.subscribe("t").await;
    let keys: Vec<String> = server.run(&["KEYS", "*:m:t"]).await;
    let life: i64 = server.run(&["PTTL", &keys[0]]).await;
    assert!((1..=120_000).contains(&life), "{life}");
    let _: u32 = server.run(&["PEXPIRE", &keys[0], "60000"]).await;
    assert_eq!(pod.subscribe("t").await, head);
    let life: i64 = server.run(&["PTTL", &keys[0]]).await;
    assert!((60_001..=120_000).contains(&life), "{life}");

    let _: u32 = server.run(&["DEL", &keys[0]]).await;
    for payload in ["1", "2"] {
        pod.publish("t", payload).await.unwrap();
    }
    pod.received(2).await;
    pod.log.is_in_order();
    assert_eq!(pod.log.positions()["t"][0].offset, 1);
    assert_eq!(pod.metric("wse_backplane_lost_total"), 0.0);
    let life: i64 = server.run(&["PTTL", &keys[0]]).await;
    assert!(life > 3_000_000, "{life}");
    let asked = pod.subscribe("t").await;
    assert_eq!(asked.offset, 2);
    let life: i64 = server.run(&["PTTL", &keys[0]]).await;
    assert!(life > 3_000_000, "{life}");
}

#[tokio::test]
async fn a_topic_whose_keys_somebody_broke_stops_nobody() {
    let server = Server::start().await;
    let pod = Pod::join(&config(server.url()), "a").await;
    pod.subscribe_pattern("*").await;
    for topic in ["broken", "unreadable", "whole"] {
        pod.subscribe(topic).await;
        pod.publish(topic, "before").await.unwrap();
    }
    pod.received(3).await;
    for end in ["m:broken", "h:broken", "h:unreadable"] {
        let keys: Vec<String> = server.run(&["KEYS", &format!("*:{end}")]).await;
        let _: () = server.run(&["SET", &keys[0], "no hash, no stream"]).await;
    }
    let _: () = server.run(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    pod.degraded().await;
    pod.connected().await;
    let broken = pod.publish("broken", "after").await;
    assert!(matches!(broken, Err(Error::Refused(_))), "{broken:?}");
    pod.publish("whole", "after").await.unwrap();
    pod.received(4).await;
    assert_eq!(pod.log.payloads("whole"), ["before", "after"]);
}

#[tokio::test]
async fn a_topic_too_long_for_the_wire_is_refused() {
    let server = Server::start().await;
    let pod = Pod::join(&config(server.url()), "a").await;
    let long = "t".repeat(70_000);
    let refused = pod.backplane.publish(publish(&long, "x")).await;
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    pod.publish("t", "x").await.unwrap();
}

#[tokio::test]
async fn what_cannot_work_is_refused_at_once() {
    for (url, partitions, lease_seconds) in [
        ("", 4, 3),
        ("http://127.0.0.1", 4, 3),
        ("redis://127.0.0.1:1", 0, 3),
        ("redis://127.0.0.1:1", 4, 0),
    ] {
        let mut config = config(url.to_owned());
        config.partitions = partitions;
        config.lease_seconds = lease_seconds;
        let joined = join_bare(config).await;
        assert!(matches!(joined, Err(Error::Refused(_))), "{url}");
    }
}

async fn join_bare(config: RedisBackplane) -> Result<Backplane, Error> {
    let registry = prometheus::Registry::new();
    Backplane::join(
        &config::Backplane::Redis(config),
        "test/fleet",
        NodeId::new("a"),
        pod::sink(),
        Metrics::new(&registry).unwrap(),
    )
    .await
}
