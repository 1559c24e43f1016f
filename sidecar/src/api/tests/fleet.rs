//! Looking at connections and topics, and ending connections.

use http::{Method, StatusCode};
use serde_json::json;

use super::*;

#[tokio::test]
async fn looks_at_connections_and_topics() {
    let pod = pod();
    pod.fake.script.lock().unwrap().connection = Some(connection());
    let one = pod.get(&format!("/connections/{ID}")).await.body;
    assert_eq!(one["user"], "ann");
    assert_eq!(one["ageSeconds"], 5);
    let list = pod.get("/connections?user=ann").await.body;
    assert_eq!(list, json!({"connections": [one], "missing": []}));
    let topics = pod.get("/topics?prefix=chat.&limit=2").await.body;
    let listed = json!([{"topic": "chat.a", "subscribers": 3}]);
    assert_eq!(topics, json!({"topics": listed, "missing": []}));
    let topic = pod.get("/topics/a%2Fb").await.body;
    assert_eq!(topic["topic"], "a/b");
    assert_eq!(topic["epoch"], "000000ab");
    assert_eq!(
        pod.log()[1..],
        [
            "connections Some(\"ann\") 100",
            "topics chat. 2",
            "topic a/b"
        ]
    );
}

#[tokio::test]
async fn sends_to_and_ends_one_connection() {
    let pod = pod();
    pod.fake.script.lock().unwrap().connection = Some(connection());
    let path = format!("/connections/{ID}");
    let messages = format!("{path}/messages");
    let sent = pod.post(&messages, r#"{"message":{"t":"x"}}"#).await;
    assert_eq!(sent.body, json!({"delivered": true}));
    let ended = pod
        .call(
            Method::DELETE,
            &format!("{path}?code=4300&reason=later"),
            "",
        )
        .await;
    assert_eq!(ended.body, json!({"disconnected": 1, "missing": []}));
    let ended = pod.call(Method::DELETE, "/users/ann/connections", "").await;
    assert_eq!(ended.body, json!({"disconnected": 1, "missing": []}));
    let log = pod.log();
    assert!(log[1].ends_with("4300 later"), "{log:?}");
    assert_eq!(log[2], "disconnect User(\"ann\") 4403 ");
}

#[tokio::test]
async fn what_was_not_found_is_certain_only_when_all_have_answered() {
    let pod = pod();
    pod.fake.script.lock().unwrap().missing = vec![NodeId::new("pod-2")];
    let path = format!("/connections/{ID}");
    let messages = format!("{path}/messages");
    for answer in [
        pod.get(&path).await,
        pod.call(Method::DELETE, &path, "").await,
        pod.post(&messages, r#"{"message":{}}"#).await,
    ] {
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.code(), "NODE_MISSING");
        assert!(answer.body.to_string().contains("pod-2"));
    }
    let list = pod.get("/connections").await.body;
    assert_eq!(list, json!({"connections": [], "missing": ["pod-2"]}));
}

#[tokio::test]
async fn a_pod_without_room_is_told_apart_from_one_that_does_not_answer() {
    let pod = pod();
    pod.fake.script.lock().unwrap().full = Some(NodeId::new("pod-2"));
    let messages = format!("/connections/{ID}/messages");
    let answer = pod.post(&messages, r#"{"message":{}}"#).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.code(), "NODE_FULL");
    assert_eq!(answer.headers["retry-after"], "1");
    assert!(answer.body.to_string().contains("pod-2"));
}
