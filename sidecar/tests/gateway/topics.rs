//! Subscriptions and publications.

use std::time::Duration;

use serde_json::json;
use wse_sidecar::backplane::Position;
use wse_sidecar::config::{
    Config, Durability, History, Limits, SlowConsumer, TopicPolicy, WhenAway,
};
use wse_sidecar::topic::Topic;

use crate::client::Client;
use crate::pod::Pod;

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_get_every_publication_once_and_in_order() {
    let pod = Pod::start(&Config::default()).await;
    pod.publish("chat.1", 0).await;
    let mut early = Client::ready(&pod, "").await;
    let ack = early.subscribe(&["chat.1", "chat.2"]).await;
    assert_eq!(
        ack,
        json!({"action": "subscribe", "success": true, "success_topics": ["chat.1", "chat.2"],
               "failed_topics": [], "recoverable": false, "recovered": false})
    );
    for number in 1..=500 {
        pod.publish("chat.1", number).await;
    }
    let mut late = Client::ready(&pod, "").await;
    late.subscribe(&["chat.1"]).await;
    for number in 501..=1_000 {
        pod.publish("chat.1", number).await;
    }
    for number in 1..=1_000 {
        assert_eq!(early.note().await, number);
    }
    for number in 501..=1_000 {
        assert_eq!(late.note().await, number);
    }
    early.nothing_came().await;
    late.nothing_came().await;

    let info = pod
        .fleet
        .topic(&Topic::parse("chat.1", 255).unwrap())
        .await
        .unwrap()
        .value;
    assert_eq!(info.subscribers, 2);
    assert!(matches!(info.head, Some(Position { offset: 1_001, .. })));
    let topics = pod.fleet.topics("chat.", 1).await.unwrap().value;
    assert_eq!(
        (
            topics.len(),
            topics[0].topic.as_str(),
            topics[0].subscribers
        ),
        (1, "chat.1", 2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wildcard_brings_each_publication_once_and_nothing_denied() {
    let pod = Pod::start(&Config::default()).await;
    let mut client = Client::ready(&pod, "deny=chat.secret").await;
    client.subscribe(&["chat.*"]).await;
    client.subscribe(&["chat.?", "chat.1"]).await;
    pod.publish("chat.secret", 1).await;
    pod.publish("chat.1", 2).await;
    pod.publish("chat.22", 3).await;
    pod.publish("big", 4).await;
    pod.publish("chat.22", 5).await;
    let mut notes = [
        client.note().await,
        client.note().await,
        client.note().await,
    ];
    // Order is promised within a topic only.
    assert!(notes.iter().position(|&note| note == 3) < notes.iter().position(|&note| note == 5));
    notes.sort_unstable();
    assert_eq!(notes, [2, 3, 5]);
    client.nothing_came().await;

    client
        .update("unsubscribe", &["chat.*", "chat.1", "never.had"])
        .await;
    let ack = client.json().await;
    assert_eq!(ack["p"]["action"], "unsubscribe");
    assert_eq!(
        ack["p"]["success_topics"],
        json!(["chat.*", "chat.1", "never.had"])
    );
    pod.publish("chat.22", 6).await;
    pod.publish("chat.1", 7).await;
    assert_eq!(client.note().await, 7);
    client.nothing_came().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_cannot_be_had_are_named_with_their_reasons() {
    let config = Config {
        limits: Limits {
            subscriptions: 2,
            ..Limits::default()
        },
        ..Config::default()
    };
    let pod = Pod::start(&config).await;
    let mut client = Client::ready(&pod, "deny=chat.secret").await;
    let ack = client
        .subscribe(&[
            "chat.secret",
            "other",
            "*",
            "$all",
            "chat.1",
            "chat.*",
            "chat.3",
        ])
        .await;
    assert_eq!(ack["success"], true);
    assert_eq!(ack["success_topics"], json!(["chat.1", "chat.*"]));
    assert_eq!(
        ack["failed_topics"],
        json!(["chat.secret", "other", "*", "$all", "chat.3"])
    );
    let error = client.json().await;
    assert_eq!(error["p"]["code"], "SUBSCRIPTION_FAILED");
    assert_eq!(
        error["p"]["details"]["reasons"],
        json!([
            "not_permitted",
            "not_permitted",
            "not_permitted",
            "invalid",
            "limit"
        ])
    );
    let ack = client.subscribe(&["other"]).await;
    assert_eq!(ack["success"], false);
    assert_eq!(
        pod.counter("wse_subscriptions_refused_total", "not_permitted"),
        4.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_closed_with_4508_and_the_others_go_on() {
    let pod = Pod::start(&Config::default()).await;
    let mut slow = Client::ready(&pod, "").await;
    let mut quick = Client::ready(&pod, "").await;
    slow.subscribe(&["big"]).await;
    quick.subscribe(&["big"]).await;
    let padding = "x".repeat(1 << 19);
    // 60 MiB, far more than a session's queue and the kernel's buffers take.
    for number in 0..120 {
        let message = format!(r#"{{"c":"U","t":"note","p":{number},"x":"{padding}"}}"#);
        let topic = Topic::parse("big", 255).unwrap();
        let published = pod.fleet.publish(topic, message.into(), None).await;
        published.unwrap();
        assert_eq!(quick.note().await, number);
    }
    quick.nothing_came().await;
    assert_eq!(slow.closed().await.0, 4508);
}

/// What a client that did not read lacks is counted, message by message: with both policies that leave
/// it connected, what it got and what was dropped for it are all that was published.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_consumer_does_not_get_is_counted() {
    let policy = |pattern: &str, slow_consumer| TopicPolicy {
        pattern: pattern.into(),
        slow_consumer,
        history: History::default(),
        durability: Durability::default(),
        when_away: WhenAway::default(),
    };
    for slow_consumer in [SlowConsumer::DropNewest, SlowConsumer::LatestWins] {
        let is_latest = slow_consumer == SlowConsumer::LatestWins;
        let config = Config {
            limits: Limits {
                outbound_bytes: 1 << 20,
                ..Limits::default()
            },
            topics: vec![policy("big", slow_consumer)],
            ..Config::default()
        };
        let pod = Pod::start(&config).await;
        let mut client = Client::ready(&pod, "").await;
        client.subscribe(&["big"]).await;
        let padding = "x".repeat(1 << 17);
        let topic = Topic::parse("big", 255).unwrap();
        let received = || pod.counter("wse_publications_received_total", "");
        let dropped = || pod.counter("wse_slow_consumer_drops_total", "");
        let mut published = 0_u32;
        while dropped() < 20.0 {
            let message = format!(r#"{{"c":"U","t":"note","p":{published},"x":"{padding}"}}"#);
            let sent = pod.fleet.publish(topic.clone(), message.into(), None);
            sent.await.unwrap();
            published += 1;
            assert!(published < 2_000, "it never became slow");
        }
        while received() < f64::from(published) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        client
            .send(r#"{"c":"WSE","t":"ping","p":{"timestamp":7}}"#)
            .await;
        let mut got = Vec::new();
        loop {
            let message = client.json().await;
            if message["t"] != "note" {
                break;
            }
            got.push(message["p"].as_u64().unwrap());
        }
        assert!(got.is_sorted_by(|one, next| one < next), "{got:?}");
        let last = u64::from(published) - 1;
        // With `DropNewest` it may or may not have found room.
        assert!(!is_latest || got.last() == Some(&last), "{got:?}");
        let lacks = f64::from(published) - got.len() as f64;
        assert_eq!(dropped(), lacks, "{slow_consumer:?}");
        let queued = got.len() as f64 + if is_latest { lacks } else { 0.0 };
        assert_eq!(pod.counter("wse_deliveries_total", ""), queued);
    }
}
