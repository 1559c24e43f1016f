//! Hello, heartbeats, refusals, direct sends, disconnects.

use bytes::Bytes;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use wse_sidecar::config::{Config, Limits};
use wse_sidecar::hub::{ConnectionId, Who};
use wse_sidecar::topic::Topic;

use crate::client::Client;
use crate::pod::Pod;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_greeted_and_its_hello_and_pings_are_answered() {
    let pod = Pod::start(&Config::default()).await;
    let mut client = Client::connect(&pod, "user=grace").await;
    let ready = client.json().await;
    assert_eq!(
        (&ready["c"], &ready["t"]),
        (&json!("WSE"), &json!("server_ready"))
    );
    let details = &ready["p"]["details"];
    assert_eq!(details["features"]["recovery"], false);
    assert_eq!(details["user_id"], "grace");
    assert!(
        details["connection_id"]
            .as_str()
            .unwrap()
            .starts_with("pod-1.")
    );

    client
        .send(r#"{"c":"WSE","t":"client_hello","p":{"client_version":"2.5.1","protocol_version":1,"features":{"encryption":true}},"v":1}"#)
        .await;
    let hello = client.json().await;
    assert_eq!(hello["t"], "server_hello");
    assert_eq!(hello["p"]["features"]["encryption"], false);
    assert_eq!(hello["p"]["ping_interval"], 25_000);
    assert_eq!(hello["p"]["limits"]["max_message_size"], 1 << 20);
    assert_eq!(hello["p"]["connection_id"], details["connection_id"]);

    client
        .send(r#"{"c":"WSE","t":"ping","p":{"timestamp":1700000000123.5},"v":1}"#)
        .await;
    let pong = client.text().await;
    // What the Python client looks at.
    assert!(pong[..25].contains(r#""t":"PONG""#), "{pong}");
    assert!(
        pong.contains(r#""client_timestamp":1700000000123.5,"#),
        "{pong}"
    );

    client.send("PING:42").await;
    assert_eq!(client.text().await, "PONG:42");
    client
        .send(r#"WSE{"type":"sync_request","payload":{"topics":["a"]}}"#)
        .await;
    let snapshot = client.json().await;
    assert_eq!(snapshot["t"], "snapshot_complete");
    assert_eq!(snapshot["p"], json!({"topics": ["a"], "count": 0}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_client_is_told_and_closed_with_4401() {
    let pod = Pod::start(&Config::default()).await;
    let mut client = Client::connect(&pod, "refused").await;
    let error = client.json().await;
    assert_eq!(error["t"], "error");
    assert_eq!(error["p"]["code"], "AUTH_FAILED");
    assert!(error["p"]["timestamp"].is_string());
    assert_eq!(
        client.closed().await,
        (4401, "Authentication failed".into())
    );
    assert_eq!(pod.counter("wse_sessions_refused_total", ""), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_its_token() {
    let pod = Pod::start(&Config::default()).await;
    let mut client = Client::ready(&pod, "lasts=1").await;
    assert_eq!(client.closed().await, (4401, "Token expired".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_pings_and_closes_a_silent_client_with_4408() {
    let config = Config {
        limits: Limits {
            ping_seconds: 1,
            idle_seconds: 2,
            ..Limits::default()
        },
        ..Config::default()
    };
    let pod = Pod::start(&config).await;
    let mut client = Client::ready(&pod, "").await;
    // RFC 6455 pings do not count as a sign of life.
    client.send(Message::Ping(Bytes::new())).await;
    let ping = client.text().await;
    assert!(ping[..25].contains(r#""t":"ping""#), "{ping}");
    assert_eq!(client.closed().await, (4408, "idle timeout".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_reaches_one_connection_one_user_and_everybody() {
    let pod = Pod::start(&Config::default()).await;
    let mut ada = Client::ready(&pod, "user=ada").await;
    let mut other_ada = Client::ready(&pod, "user=ada").await;
    let mut bob = Client::ready(&pod, "user=bob").await;

    let id = ConnectionId::parse(&ada.id).unwrap();
    let sent = pod
        .fleet
        .send(id, Bytes::from_static(br#"{"c":"U","t":"note","p":1}"#))
        .await;
    assert!(sent.unwrap().value);
    assert_eq!(ada.note().await, 1);
    let gone = ConnectionId::parse(&format!("pod-1.{}", "0".repeat(32))).unwrap();
    let sent = pod.fleet.send(gone, Bytes::from_static(b"{}")).await;
    assert!(!sent.unwrap().value);

    pod.send(Topic::user("ada"), 2).await;
    assert_eq!((ada.note().await, other_ada.note().await), (2, 2));
    pod.send(Topic::all(), 3).await;
    for client in [&mut ada, &mut other_ada, &mut bob] {
        assert_eq!(client.note().await, 3);
        client.nothing_came().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_sees_and_disconnects_sessions() {
    let pod = Pod::start(&Config::default()).await;
    let mut ada = Client::ready(&pod, "user=ada").await;
    let mut other_ada = Client::ready(&pod, "user=ada").await;
    let mut bob = Client::ready(&pod, "user=bob").await;
    ada.subscribe(&["chat.1", "chat.*"]).await;

    let listed = pod.fleet.connections(Some("ada".into()), 10).await.unwrap();
    assert_eq!((listed.value.len(), listed.missing.len()), (2, 0));
    let listed = pod.fleet.connections(None, 2).await.unwrap();
    assert_eq!(listed.value.len(), 2);
    let id = ConnectionId::parse(&ada.id).unwrap();
    let found = pod
        .fleet
        .connection(id.clone())
        .await
        .unwrap()
        .value
        .unwrap();
    assert_eq!((found.user.as_str(), found.node.as_str()), ("ada", "pod-1"));
    assert_eq!(found.subscriptions, ["chat.*", "chat.1"]);

    let count = pod
        .fleet
        .disconnect(Who::Connection(id.clone()), 4403, "bye".into())
        .await;
    assert_eq!(count.unwrap().value, 1);
    assert_eq!(ada.closed().await, (4403, "bye".into()));
    let again = pod
        .fleet
        .disconnect(Who::Connection(id), 4403, "bye".into())
        .await;
    assert_eq!(again.unwrap().value, 0);
    let count = pod
        .fleet
        .disconnect(Who::User("ada".into()), 4300, "come back".into())
        .await;
    assert_eq!(count.unwrap().value, 1);
    assert_eq!(other_ada.closed().await, (4300, "come back".into()));
    bob.nothing_came().await;
}
