//! What a client may not do, and what it is told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use wse_sidecar::config::{Config, Limits};
use wse_sidecar::hub::{self, ConnectionId, Who};
use wse_sidecar::protocol;

use crate::client::Client;
use crate::pod::Pod;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_too_much_is_warned_and_then_told_what_was_dropped() {
    let config = Config {
        limits: Limits {
            messages_per_second: 20,
            ..Limits::default()
        },
        ..Config::default()
    };
    let pod = Pod::start(&config).await;
    let mut client = Client::ready(&pod, "").await;
    for _ in 0..60 {
        client.send(r#"{"t":"typing","p":{}}"#).await;
    }
    let warning = client.json().await;
    assert_eq!(warning["t"], "rate_limit_warning");
    assert_eq!(warning["p"]["limit"], 20);
    let error = client.json().await;
    assert_eq!(error["p"]["code"], "RATE_LIMITED");
    assert!(error["p"]["retry_after"].as_f64().unwrap() > 0.0);
    let dropped = pod.counter("wse_inbound_messages_total", "rate_limited");
    assert!(dropped >= 1.0, "{dropped}");
}

#[tokio::test(flavor = "multi_thread")]
async fn application_messages_are_counted_and_never_answered() {
    let pod = Pod::start(&Config::default()).await;
    let mut client = Client::ready(&pod, "").await;
    for _ in 0..10 {
        client
            .send(r#"{"c":"U","t":"typing","p":{"a":1},"id":"x"}"#)
            .await;
    }
    let batch = json!({"t": "batch", "p": {"count": 2, "messages": [
        {"t": "typing", "p": {}}, {"t": "subscription_update", "p": {"action": "subscribe", "topics": ["chat.1"]}}
    ]}});
    client.send(batch.to_string()).await;
    assert_eq!(
        client.json().await["p"]["success_topics"],
        json!(["chat.1"])
    );
    client.nothing_came().await;
    assert_eq!(
        pod.counter("wse_inbound_messages_total", "no_backend"),
        11.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_is_told_once_a_second_and_harms_nothing() {
    let pod = Pod::start(&Config::default()).await;
    for (bad, code) in [
        (&b"{\"t\":"[..], "INVALID_MESSAGE"),
        (b"C:\x78\x01", "PROTOCOL_ERROR"),
        (b"\xff\xfe", "INVALID_MESSAGE"),
        (b"{}", "PROTOCOL_ERROR"),
        (
            b"{\"t\":\"subscription_update\",\"p\":{\"action\":\"subscribe\",\"topics\":[1]}}",
            "PROTOCOL_ERROR",
        ),
    ] {
        let mut client = Client::ready(&pod, "").await;
        client.send(Bytes::copy_from_slice(bad)).await;
        let error = client.json().await;
        assert_eq!(error["p"]["code"], code, "{error}");
        client.send(Bytes::copy_from_slice(bad)).await;
        client.nothing_came().await;
    }
    assert_eq!(pod.counter("wse_inbound_messages_total", "malformed"), 8.0);
    assert_eq!(
        pod.counter("wse_inbound_messages_total", "unsupported"),
        2.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_client_survives_a_reload_that_shortens_idleness() {
    let pod = Pod::start(&Config::default()).await;
    let mut client = Client::ready(&pod, "").await;
    let limits = Limits {
        idle_seconds: 3,
        ping_seconds: 1,
        ..Limits::default()
    };
    tokio::time::sleep(Duration::from_secs(limits.idle_seconds.into())).await;
    let config = Config {
        limits,
        ..Config::default()
    };
    pod.gateway
        .reload(Arc::new(hub::Settings::new(&config).unwrap()));
    assert_eq!(client.json().await["t"], "ping");
}

/// A session that is being closed because it does not read lives on until it takes the Close frame, or
/// for some seconds. For backends it is gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_that_is_being_closed_is_gone_for_backends() {
    let config = Config {
        limits: Limits {
            outbound_bytes: 64 << 10,
            ..Limits::default()
        },
        ..Config::default()
    };
    let pod = Pod::start(&config).await;
    let mut client = Client::ready(&pod, "").await;
    client.subscribe(&["chat.1"]).await;
    let listed = pod.fleet.connections(None, 10).await.unwrap().value;
    let id = ConnectionId::parse(&listed[0].id).unwrap();
    let message = format!(r#"{{"t":"note","p":"{}"}}"#, "x".repeat(32 << 10));
    let envelope = protocol::envelope::prepare(&message, 64).unwrap();
    let send = || async {
        let sent = pod.fleet.send(id.clone(), envelope.clone()).await;
        sent.unwrap().value
    };
    // It reads nothing: the one too many is not said to have been sent.
    while send().await {}
    assert_eq!(pod.fleet.sessions(), 1, "the client has not gone yet");
    assert!(!send().await);
    let listed = pod.fleet.connections(None, 10).await.unwrap().value;
    assert!(listed.is_empty(), "{listed:?}");
    let topics = pod.fleet.topics("", 10).await.unwrap().value;
    assert!(topics.is_empty(), "{topics:?}");
    let deliveries = pod.counter("wse_deliveries_total", "");
    pod.publish("chat.1", 1).await;
    let ended = pod
        .fleet
        .disconnect(Who::Connection(id.clone()), 4403, String::new());
    assert_eq!(ended.await.unwrap().value, 0);
    assert_eq!(pod.counter("wse_deliveries_total", ""), deliveries);
}
