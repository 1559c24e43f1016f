//! The API over a fleet that answers what a test says.

mod fleet;
mod publishing;
mod refusals;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::backplane::{self, BoxFuture, Position};
use crate::hub::{ConnectionId, ConnectionInfo, Error, Gathered, TopicInfo, Who};
use crate::topic::Topic;

const ID: &str = "pod-1.00000000000000000000000000000000";

#[derive(Default)]
struct Script {
    /// Publishing on this topic fails the first time.
    fails_on: Option<&'static str>,
    position: Option<Position>,
    missing: Vec<NodeId>,
    connection: Option<ConnectionInfo>,
    /// A pod without room for questions.
    full: Option<NodeId>,
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
        let script = self.script.lock().unwrap();
        let (missing, full) = (script.missing.clone(), script.full.clone());
        Box::pin(async move {
            match full {
                Some(node) => Err(Error::Full(node)),
                None => Ok(Gathered { value, missing }),
            }
        })
    }
}

impl Calls for Fake {
    fn publish(
        &self,
        topic: Topic,
        envelope: Bytes,
        key: Option<String>,
    ) -> BoxFuture<Result<Option<Position>, backplane::Error>> {
        let envelope = String::from_utf8(envelope.to_vec()).unwrap();
        self.note(format!("publish {topic} {envelope} {key:?}"));
        let mut script = self.script.lock().unwrap();
        if script.fails_on == Some(topic.as_str()) {
            script.fails_on = None;
            return Box::pin(async { Err(backplane::Error::Away("connection refused".into())) });
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
        &NodeId::new("pod-1"),
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
