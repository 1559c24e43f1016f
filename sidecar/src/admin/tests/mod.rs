//! The admin port over a gateway that is as a test says.

mod shed;

use std::sync::Mutex;
use std::time::Duration;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::drain::{Controls, Doors, Driver, Metrics, Schedule};

#[derive(Clone, Copy)]
struct State {
    listening: bool,
    keys: bool,
    degraded: bool,
}

struct Fake(Mutex<State>);

impl Fake {
    fn state(&self) -> State {
        *self.0.lock().unwrap()
    }
}

impl Vitals for Fake {
    fn node(&self) -> &str {
        "pod-1"
    }

    fn reactors(&self) -> usize {
        2
    }

    fn listening(&self) -> bool {
        self.state().listening
    }

    fn has_keys(&self) -> bool {
        self.state().keys
    }

    fn degraded(&self) -> bool {
        self.state().degraded
    }

    fn sessions(&self) -> usize {
        7
    }

    fn largest_topic(&self) -> usize {
        5
    }

    fn outbound_queued_bytes(&self) -> u64 {
        3
    }

    fn connection_limit(&self) -> u32 {
        100
    }

    fn capacity(&self) -> usize {
        90
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            handshakes: 9,
            messages_in: 40,
            ..Traffic::default()
        }
    }
}

/// A house that nobody leaves.
struct Full;

impl Doors for Full {
    fn refuse(&self, _on: bool) {}
    fn leave(&self, _window: Duration, _deadline: Duration) {}
    async fn shed(&self, sessions: usize, _window: Duration) -> usize {
        sessions.min(7)
    }
    fn stay(&self) {}
    fn sessions(&self) -> usize {
        7
    }
}

struct Pod {
    admin: Arc<Admin>,
    fake: Arc<Fake>,
    drain: Controls,
}

fn pod() -> Pod {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry).unwrap();
    let schedule = Schedule::from(&crate::config::Drain::default());
    let (driver, drain) = Driver::new(Full, schedule, metrics);
    tokio::spawn(driver.run());
    let fake = Arc::new(Fake(Mutex::new(State {
        listening: true,
        keys: true,
        degraded: false,
    })));
    let admin = Admin::new(
        fake.clone(),
        drain.clone(),
        registry,
        Arc::default(),
        KeyRing::of(&["token"]),
    );
    Pod { admin, fake, drain }
}

impl Pod {
    async fn ask(&self, method: Method, path: &str, token: &str) -> (StatusCode, Value) {
        self.send(method, path, token, "").await
    }

    async fn shed(&self, token: &str, body: &str) -> (StatusCode, Value) {
        self.send(Method::POST, "/shed", token, body).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: &str,
    ) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .body(Body::from(body.to_owned()))
            .unwrap();
        let response = self.admin.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (parts.status, body)
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, "").await
    }
}

#[tokio::test]
async fn readiness_needs_listening_keys_and_no_drain() {
    let pod = pod();
    for (listening, keys, degraded, ready) in [
        (true, true, false, true),
        (true, true, true, true),
        (false, true, false, false),
        (true, false, false, false),
    ] {
        *pod.fake.0.lock().unwrap() = State {
            listening,
            keys,
            degraded,
        };
        let (status, body) = pod.get("/ready").await;
        assert_eq!(status == StatusCode::OK, ready);
        let expected = json!({
            "ready": ready, "listening": listening, "keys": keys, "drain": "serving",
            "degraded": degraded, "sessions": 7,
        });
        assert_eq!(body, expected);
        assert_eq!(pod.get("/live").await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_drain_needs_the_token() {
    let pod = pod();
    for method in [Method::POST, Method::DELETE] {
        let (status, body) = pod.ask(method.clone(), "/drain", "wrong").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(body["error"]["code"], "TOKEN_REFUSED");
        assert_eq!(
            pod.ask(method, "/drain", "").await.0,
            StatusCode::UNAUTHORIZED
        );
    }
    assert_eq!(pod.drain.phase(), crate::drain::Phase::Serving);
    pod.admin.configure(KeyRing::default());
    let (status, body) = pod.ask(Method::POST, "/drain", "token").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(body["error"]["code"], "TOKEN_NOT_CONFIGURED");
    assert!(body.to_string().contains("admin.tokenFile"));
}

#[tokio::test(start_paused = true)]
async fn a_drain_shows_and_is_taken_back() {
    let pod = pod();
    let (status, body) = pod.ask(Method::POST, "/drain", "token").await;
    assert_eq!(
        (status, body),
        (StatusCode::OK, json!({"drain": "announced"}))
    );
    let (status, body) = pod.get("/ready").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(body["drain"], "announced");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(pod.get("/load").await.1["drain"], "leaving");
    let metrics = pod.get("/metrics").await.1;
    assert!(
        metrics
            .as_str()
            .unwrap()
            .contains("\nwse_drain_sessions_left 7\n")
    );
    let (_, body) = pod.ask(Method::DELETE, "/drain", "token").await;
    assert_eq!(body, json!({"drain": "serving"}));
    assert_eq!(pod.get("/ready").await.0, StatusCode::OK);
    pod.drain.exit().await;
    let (status, body) = pod.ask(Method::DELETE, "/drain", "token").await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(body["error"]["code"], "EXITING");
}

#[tokio::test]
async fn load_can_be_read_back() {
    let pod = pod();
    let (status, body) = pod.get("/load").await;
    assert_eq!(status, StatusCode::OK);
    let load: Load = serde_json::from_value(body).unwrap();
    assert_eq!((load.node.as_str(), load.connections), ("pod-1", 7));
    assert_eq!((load.largest_topic, load.outbound_queued_bytes), (5, 3));
    assert_eq!((load.handshakes.total, load.messages_in.total), (9, 40));
    assert_eq!(
        (load.capacity.connections, load.capacity.configured),
        (90, Some(100))
    );
    assert!(load.memory.resident_bytes.is_some_and(|bytes| bytes > 0));
    assert!(load.somaxconn.is_some());
    let somaxconn = load.sysctls.get("net.core.somaxconn").unwrap();
    assert_eq!(somaxconn.parse().ok(), load.somaxconn);
    assert_eq!(load.reactors, 2);
    assert!(load.cpu_seconds > 0.0);
}
