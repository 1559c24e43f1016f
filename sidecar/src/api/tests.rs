//! The API over a fleet that answers what a test says.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::backplane::{BoxFuture, Error, Position};
use crate::hub::{ConnectionId, ConnectionInfo, Gathered, TopicInfo, Who};
use crate::topic::Topic;

const ID: &str = "pod-1.00000000000000000000000000000000";

#[derive(Default)]
struct Script {
    /// Publishing on this topic fails the first time.
    fails_on: Option<&'static str>,
    position: Option<Position>,
    missing: Vec<NodeId>,
    connection: Option<ConnectionInfo>,
}

#[derive(Default)]
struct Fake {
    script: Mutex<Script>,
    log: Mutex<Vec<String>>,
    offsets: Mutex<HashMap<Topic, u64>>,
}

impl Fake {
    fn note(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }

    fn gathered<T: Send + 'static>(&self, value: T) -> BoxFuture<Result<Gathered<T>, Error>> {
        let missing = self.script.lock().unwrap().missing.clone();
        Box::pin(async move { Ok(Gathered { value, missing }) })
    }
}

impl Calls for Fake {
    fn publish(
        &self,
        topic: Topic,
        envelope: Bytes,
        key: Option<String>,
    ) -> BoxFuture<Result<Option<Position>, Error>> {
        let envelope = String::from_utf8(envelope.to_vec()).unwrap();
        self.note(format!("publish {topic} {envelope} {key:?}"));
        let mut script = self.script.lock().unwrap();
        if script.fails_on == Some(topic.as_str()) {
            script.fails_on = None;
            return Box::pin(async { Err(Error::Away("connection refused".into())) });
        }
        let mut offsets = self.offsets.lock().unwrap();
        let offset = offsets.entry(topic).or_default();
        *offset += 1;
        let position = script.position.map(|at| Position {
            offset: *offset,
            ..at
        });
        // Later calls are ready sooner: a batch that did not wait would be out of order.
        let delay = Duration::from_millis(20 / *offset);
        Box::pin(async move {
            tokio::time::sleep(delay).await;
            Ok(position)
        })
    }

    fn send(&self, to: ConnectionId, envelope: Bytes) -> BoxFuture<Result<Gathered<bool>, Error>> {
        self.note(format!("send {to} {}", String::from_utf8_lossy(&envelope)));
        let found = self.script.lock().unwrap().connection.is_some();
        self.gathered(found)
    }

    fn disconnect(
        &self,
        who: Who,
        code: u16,
        reason: String,
    ) -> BoxFuture<Result<Gathered<u64>, Error>> {
        self.note(format!("disconnect {who:?} {code} {reason}"));
        let found = self.script.lock().unwrap().connection.is_some();
        self.gathered(u64::from(found))
    }

    fn connections(
        &self,
        user: Option<String>,
        limit: usize,
    ) -> BoxFuture<Result<Gathered<Vec<ConnectionInfo>>, Error>> {
        self.note(format!("connections {user:?} {limit}"));
        let found = self.script.lock().unwrap().connection.clone();
        self.gathered(found.into_iter().collect())
    }

    fn connection(
        &self,
        id: ConnectionId,
    ) -> BoxFuture<Result<Gathered<Option<ConnectionInfo>>, Error>> {
        self.note(format!("connection {id}"));
        let found = self.script.lock().unwrap().connection.clone();
        self.gathered(found)
    }

    fn topics(
        &self,
        prefix: String,
        limit: usize,
    ) -> BoxFuture<Result<Gathered<Vec<TopicInfo>>, Error>> {
        self.note(format!("topics {prefix} {limit}"));
        self.gathered(vec![info("chat.a", None)])
    }

    fn topic(&self, topic: Topic) -> BoxFuture<Result<Gathered<TopicInfo>, Error>> {
        self.note(format!("topic {topic}"));
        let head = self.script.lock().unwrap().position;
        self.gathered(info(topic.as_str(), head))
    }
}

fn info(topic: &str, head: Option<Position>) -> TopicInfo {
    TopicInfo {
        topic: Topic::trusted(topic),
        subscribers: 3,
        head,
    }
}

fn connection() -> ConnectionInfo {
    ConnectionInfo {
        id: ID.into(),
        node: "pod-1".into(),
        user: "ann".into(),
        remote: "127.0.0.1:1".into(),
        age_seconds: 5,
        subscriptions: vec!["chat.a".into()],
        queued_bytes: 0,
    }
}

/// Takes objects and refuses anything else, byte for byte.
fn prepare(message: &RawValue, _depth: u16) -> Result<Bytes, Unfit> {
    let text = message.get();
    if text.len() > 1_000 {
        return Err(Unfit::TooLarge("larger than 1,000 bytes".into()));
    }
    if !text.starts_with('{') {
        return Err(Unfit::Malformed("not an object".into()));
    }
    Ok(Bytes::copy_from_slice(text.as_bytes()))
}

struct Pod {
    fake: Arc<Fake>,
    api: Arc<Api>,
    registry: prometheus::Registry,
}

fn settings(keys: &[&str]) -> Settings {
    Settings {
        keys: KeyRing::of(keys),
        max_body_bytes: 4_096,
        topic_bytes: 20,
        json_depth: 64,
    }
}

fn pod() -> Pod {
    let fake = Arc::new(Fake::default());
    fake.script.lock().unwrap().position = Some(Position {
        epoch: 0xab,
        offset: 0,
    });
    let registry = prometheus::Registry::new();
    let api = Api::new(
        NodeId::new("pod-1"),
        fake.clone(),
        prepare,
        Metrics::new(&registry).unwrap(),
        settings(&["secret", "previous"]),
    );
    Pod {
        fake,
        api,
        registry,
    }
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Value,
}

impl Answer {
    fn code(&self) -> &str {
        assert!(!self.body["error"]["message"].as_str().unwrap().is_empty());
        self.body["error"]["code"].as_str().unwrap()
    }
}

impl Pod {
    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.api.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        assert_eq!(parts.headers["x-wse-node"], "pod-1");
        assert_eq!(parts.headers["content-type"], "application/json");
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap(),
        }
    }

    async fn call(&self, method: Method, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", "Bearer secret")
            .header("content-type", "application/json")
            .body(body.into())
            .unwrap();
        self.ask(request).await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.call(Method::POST, path, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, Body::empty()).await
    }

    fn log(&self) -> Vec<String> {
        self.fake.log.lock().unwrap().clone()
    }
}

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
async fn keys_are_needed_by_either_header() {
    let pod = pod();
    for (name, value, status) in [
        ("authorization", "Bearer secret", 200),
        ("authorization", "bearer previous", 200),
        ("x-api-key", "secret", 200),
        ("x-api-key", "wrong", 401),
        ("authorization", "Bearer ", 401),
        ("authorization", "Basic secret", 401),
        ("x-other", "secret", 401),
    ] {
        let request = Request::get("/topics").header(name, value);
        let answer = pod.ask(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {value}");
        if status == 401 {
            assert_eq!(answer.code(), "API_KEY_REFUSED");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
    pod.api.configure(settings(&["next"]));
    assert_eq!(pod.get("/topics").await.status, StatusCode::UNAUTHORIZED);
    pod.api.configure(settings(&[]));
    let answer = pod.get("/topics").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.body.to_string().contains("api.keyFiles"));
}

#[tokio::test]
async fn bad_requests_are_refused_in_json() {
    let pod = pod();
    let long = format!(r#"{{"topic":"{}","message":{{}}}}"#, "x".repeat(21));
    let large = format!(
        r#"{{"topic":"a","message":{{"t":"{}"}}}}"#,
        "x".repeat(1_000)
    );
    let huge = format!(
        r#"{{"topic":"a","message":{{"t":"{}"}}}}"#,
        "x".repeat(4_096)
    );
    let many = format!(
        r#"{{"publications":[{}]}}"#,
        [r#"{"topic":"a","message":1}"#; 1_001].join(",")
    );
    let key = format!(
        r#"{{"topic":"a","message":{{}},"idempotencyKey":"{}"}}"#,
        "k".repeat(129)
    );
    let connections = format!("/connections/{ID}");
    let close = |query: &str| format!("{connections}?{query}");
    let reason = close(&format!("reason={}", "r".repeat(124)));
    let user = format!("/users/{}/connections", "u".repeat(1_025));
    let (delete, get, post, put) = (Method::DELETE, Method::GET, Method::POST, Method::PUT);
    let cases = [
        (&post, "/publish", "{", 400, "JSON_INVALID"),
        (&post, "/publish", "{}", 422, "BODY_INVALID"),
        (
            &post,
            "/publish",
            r#"{"topic":1,"message":{}}"#,
            422,
            "BODY_INVALID",
        ),
        (
            &post,
            "/publish",
            r#"{"topic":"a","message":{},"x":1}"#,
            422,
            "BODY_INVALID",
        ),
        (
            &post,
            "/publish",
            "{\"topic\":\"a\",\"message\":{\"t\":\"\u{1}\"}}",
            400,
            "JSON_INVALID",
        ),
        (
            &post,
            "/publish",
            r#"{"topic":"","message":{}}"#,
            400,
            "TOPIC_INVALID",
        ),
        (
            &post,
            "/publish",
            r#"{"topic":"a*","message":{}}"#,
            400,
            "TOPIC_INVALID",
        ),
        (&post, "/publish", long.as_str(), 400, "TOPIC_INVALID"),
        (
            &post,
            "/publish",
            r#"{"topic":"a","message":[]}"#,
            400,
            "MESSAGE_INVALID",
        ),
        (&post, "/publish", large.as_str(), 413, "MESSAGE_TOO_LARGE"),
        (&post, "/publish", huge.as_str(), 413, "BODY_TOO_LARGE"),
        (
            &post,
            "/publish",
            key.as_str(),
            400,
            "IDEMPOTENCY_KEY_INVALID",
        ),
        (&get, "/nowhere", "", 404, "ROUTE_UNKNOWN"),
        (&put, "/publish", "", 405, "METHOD_NOT_ALLOWED"),
        (&get, "/connections/x", "", 400, "CONNECTION_ID_INVALID"),
        (&get, "/connections?limit=0", "", 400, "LIMIT_INVALID"),
        (&get, "/connections?limit=1001", "", 400, "LIMIT_INVALID"),
        (&get, "/connections?limit=x", "", 400, "QUERY_INVALID"),
        (&get, "/connections?users=ann", "", 400, "QUERY_INVALID"),
        (&get, "/topics/%FF", "", 400, "PATH_INVALID"),
        (&get, "/topics/%24all", "", 400, "TOPIC_INVALID"),
        (&delete, &close("code=1000"), "", 400, "CLOSE_CODE_INVALID"),
        (&delete, &close("code=1008"), "", 400, "CLOSE_CODE_INVALID"),
        (&delete, &close("code=3999"), "", 400, "CLOSE_CODE_INVALID"),
        (&delete, &close("code=4508"), "", 400, "CLOSE_CODE_INVALID"),
        (&delete, &close("code=70000"), "", 400, "QUERY_INVALID"),
        (&delete, &reason, "", 400, "CLOSE_REASON_INVALID"),
        (&delete, &user, "", 400, "USER_INVALID"),
        (&delete, &connections, "", 404, "CONNECTION_NOT_FOUND"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = pod.call(method.clone(), path, body.to_owned()).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {body}");
        assert_eq!(answer.code(), code, "{method} {path} {body}");
    }
    pod.api.configure(Settings {
        max_body_bytes: 1 << 20,
        ..settings(&["secret"])
    });
    assert_eq!(
        pod.post("/publish/batch", many).await.code(),
        "BATCH_TOO_LARGE"
    );
    assert_eq!(
        pod.log(),
        [format!(
            "disconnect Connection({:?}) 4403 ",
            ConnectionId::parse(ID).unwrap()
        )]
    );
}

#[tokio::test]
async fn another_content_type_is_refused() {
    let pod = pod();
    let request = Request::post("/publish")
        .header("x-api-key", "secret")
        .header("content-type", "text/plain")
        .body(Body::from(r#"{"topic":"a","message":{}}"#))
        .unwrap();
    let answer = pod.ask(request).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.code(), "CONTENT_TYPE_UNSUPPORTED");
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
async fn the_document_needs_no_key() {
    let pod = pod();
    pod.api.configure(settings(&[]));
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let answer = pod.ask(request).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["paths"].as_object().unwrap().len(), 11);
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let pod = pod();
    pod.get("/topics/one").await;
    pod.get("/topics/two").await;
    pod.get("/nowhere").await;
    pod.call(Method::from_bytes(b"BREW").unwrap(), "/topics", "")
        .await;
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&pod.registry.gather())
        .unwrap();
    for line in [
        r#"wse_api_requests_total{method="GET",route="/topics/{topic}",status="2xx"} 2"#,
        r#"wse_api_requests_total{method="GET",route="unmatched",status="4xx"} 1"#,
        r#"wse_api_requests_total{method="other",route="/topics",status="4xx"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
