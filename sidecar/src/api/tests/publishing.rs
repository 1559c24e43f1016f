//! Publishing, alone and in batches.

use http::StatusCode;
use serde_json::{Value, json};

use super::*;

#[tokio::test]
async fn publishes_the_message_as_it_came() {
    let pod = pod();
    let body =
        r#"{"topic":"chat.a","message":{"t":"x", "n": 1.00e2,"p":{"a":[ ]}},"idempotencyKey":"k"}"#;
    let answer = pod.post("/publish", body).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body, json!({"epoch": "000000ab", "offset": 1}));
    assert_eq!(
        pod.log(),
        [r#"publish chat.a {"t":"x", "n": 1.00e2,"p":{"a":[ ]}} Some("k")"#]
    );
}

#[tokio::test]
async fn a_local_delivery_has_no_position() {
    let pod = pod();
    pod.fake.script.lock().unwrap().position = None;
    let answer = pod.post("/publish", r#"{"topic":"a","message":{}}"#).await;
    assert_eq!(answer.body, json!({"epoch": null, "offset": null}));
}

#[tokio::test]
async fn reserved_topics_are_reached_by_their_own_paths() {
    let pod = pod();
    pod.post("/broadcast", r#"{"message":{"t":"all"}}"#).await;
    pod.post("/users/a%2Fb%20c/messages", r#"{"message":{"t":"u"}}"#)
        .await;
    let answer = pod
        .post("/publish", r#"{"topic":"$all","message":{}}"#)
        .await;
    assert_eq!(answer.code(), "TOPIC_INVALID");
    assert_eq!(
        pod.log(),
        [
            r#"publish $all {"t":"all"} None"#,
            r#"publish $user:a/b c {"t":"u"} None"#
        ]
    );
}

#[tokio::test]
async fn a_fleet_that_is_away_says_when_to_come_back() {
    let pod = pod();
    pod.fake.script.lock().unwrap().fails_on = Some("a");
    let answer = pod.post("/publish", r#"{"topic":"a","message":{}}"#).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.code(), "BACKPLANE_AWAY");
    assert_eq!(answer.headers["retry-after"], "1");
}

#[tokio::test(start_paused = true)]
async fn a_batch_keeps_each_topics_order_and_reports_each_item() {
    let pod = pod();
    let items = [
        r#"{"topic":"a","message":{"n":1}}"#,
        r#"{"topic":"b","message":{"n":2}}"#,
        r#"{"topic":"$x","message":{"n":3}}"#,
        r#"{"topic":"a","message":{"n":4},"idempotencyKey":"k"}"#,
        r#"{"topic":"b","message":7}"#,
        r#"{"topic":"a","message":{"n":5}}"#,
    ];
    let body = format!(r#"{{"publications":[{}]}}"#, items.join(","));
    let answer = pod.post("/publish/batch", body).await;
    assert_eq!(answer.status, StatusCode::OK);
    let results = answer.body["results"].as_array().unwrap();
    let seen: Vec<Value> = results
        .iter()
        .map(|r| {
            r.get("offset")
                .unwrap_or_else(|| &r["error"]["code"])
                .clone()
        })
        .collect();
    let expected = json!([1, 1, "TOPIC_INVALID", 2, "MESSAGE_INVALID", 3]);
    assert_eq!(Value::from(seen), expected);
    let of_a: Vec<String> = pod
        .log()
        .into_iter()
        .filter(|line| line.starts_with("publish a"))
        .collect();
    assert_eq!(
        of_a,
        [
            r#"publish a {"n":1} None"#,
            r#"publish a {"n":4} Some("k")"#,
            r#"publish a {"n":5} None"#
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_no_hole_behind_a_failure() {
    let pod = pod();
    pod.fake.script.lock().unwrap().fails_on = Some("a");
    let item = |topic| format!(r#"{{"topic":"{topic}","message":{{}}}}"#);
    let body = format!(
        r#"{{"publications":[{},{},{}]}}"#,
        item("a"),
        item("b"),
        item("a")
    );
    let answer = pod.post("/publish/batch", body).await;
    let results = &answer.body["results"];
    assert_eq!(results[0]["error"]["code"], "BACKPLANE_AWAY");
    assert_eq!(results[1]["offset"], 1);
    assert_eq!(results[2]["error"]["code"], "BACKPLANE_AWAY");
    let attempts = pod
        .log()
        .iter()
        .filter(|l| l.starts_with("publish a"))
        .count();
    assert_eq!(attempts, 1);
}

#[tokio::test]
async fn an_empty_batch_has_no_results() {
    let answer = pod().post("/publish/batch", r#"{"publications":[]}"#).await;
    assert_eq!(answer.body, json!({"results": []}));
}
