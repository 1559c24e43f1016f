//! Asks gateways over HTTP: how they are, to drain, to publish. The same questions whether they are
//! processes of this machine or pods.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::json;

use crate::plan::{Load, SHED_WINDOW_SECONDS};

/// A gateway that has not answered by then is busy or gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// Publishing may wait while Redis is away: longer than the gateway holds a publication.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(20);
/// More than any answer is.
const ANSWER_BYTES: usize = 1 << 20;

/// A client of gateways. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Ask(Client<HttpConnector, Full<Bytes>>);

/// What a gateway says of itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Told {
    /// What it carries.
    pub(crate) load: Load,
    /// Kernel settings in force in it, one space between numbers; those that it reads.
    pub(crate) sysctls: Arc<BTreeMap<String, String>>,
    /// Whether it was asked to drain, and that was not taken back.
    pub(crate) drains: bool,
}

/// Why a gateway does not do as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// It does not take the token.
    #[error("it refuses the admin token: {0}")]
    Token(String),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

/// Why a gateway did not say how it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Silence {
    /// It answered, but not as a gateway of a version that this build knows.
    #[error("its answer makes no sense")]
    Nonsense,
    /// Nothing took the question there, or it was turned down.
    #[error("it does not take the question")]
    Refused,
    /// Nothing came back in time.
    #[error("no answer in time")]
    Timeout,
}

/// Why an exchange did not come to an end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer for {} s", .0.as_secs())]
    Late(Duration),
    #[error("{0}")]
    Other(String),
}

/// The parts of a gateway's `/load` that decisions need.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    connections: u32,
    capacity: Capacity,
    messages_in: Total,
    messages_out: Total,
    bytes_in: Total,
    bytes_out: Total,
    /// Left out by gateways of earlier releases.
    #[serde(default)]
    cpu_cores: f64,
    memory: Memory,
    outbound_queued_bytes: u64,
    largest_topic: u32,
    drain: String,
    degraded: bool,
    /// Left out by gateways of earlier releases.
    #[serde(default)]
    sysctls: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Capacity {
    connections: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Total {
    per_second: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    resident_bytes: Option<u64>,
    limit_bytes: Option<u64>,
}

impl From<Answer> for Told {
    fn from(answer: Answer) -> Self {
        let rate = |one: Total, other: Total| whole(one.per_second) + whole(other.per_second);
        let load = Load {
            sessions: answer.connections,
            capacity: Some(answer.capacity.connections),
            messages_per_second: rate(answer.messages_in, answer.messages_out),
            bytes_per_second: rate(answer.bytes_in, answer.bytes_out),
            cpu_millicores: whole(answer.cpu_cores * 1_000.0),
            memory_bytes: answer.memory.resident_bytes,
            memory_limit_bytes: answer.memory.limit_bytes,
            outbound_queued_bytes: answer.outbound_queued_bytes,
            largest_topic: answer.largest_topic,
            refuses: matches!(answer.drain.as_str(), "leaving" | "empty"),
            degraded: answer.degraded,
        };
        Self {
            load,
            sysctls: answer.sysctls.into(),
            drains: answer.drain != "serving",
        }
    }
}

/// The nearest whole number; 0 for what is negative or none, and at most 2^53.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to what fits"
)]
fn whole(number: f64) -> u64 {
    number.round().clamp(0.0, 9_007_199_254_740_992.0) as u64
}

impl Ask {
    pub(crate) fn new() -> Self {
        // No connection is kept: one to each of 2,000 pods was 80 MB of buffers, and a new one for a
        // question every few seconds costs next to nothing.
        let mut builder = Client::builder(TokioExecutor::new());
        builder.pool_max_idle_per_host(0);
        Self(builder.build(HttpConnector::new()))
    }

    /// Whether the gateway with this admin port takes clients.
    pub(crate) async fn ready(&self, admin: SocketAddr) -> bool {
        let answer = self
            .call(Method::GET, admin, "/ready", None, None, PATIENCE)
            .await;
        answer.is_ok_and(|(status, _)| status == StatusCode::OK)
    }

    /// What the gateway with this admin port carries.
    ///
    /// # Errors
    /// When it did not say.
    pub(crate) async fn load(&self, admin: SocketAddr) -> Result<Told, Silence> {
        let call = self.call(Method::GET, admin, "/load", None, None, PATIENCE);
        let (status, body) = call.await.map_err(|failure| match failure {
            Failure::Late(_) => Silence::Timeout,
            Failure::Other(_) => Silence::Refused,
        })?;
        if status != StatusCode::OK {
            return Err(Silence::Refused);
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| Silence::Nonsense)?;
        Ok(answer.into())
    }

    /// Asks a gateway to drain, or takes that back.
    ///
    /// # Errors
    /// When it does not do so.
    pub(crate) async fn drain(
        &self,
        admin: SocketAddr,
        token: &str,
        on: bool,
    ) -> Result<(), Refusal> {
        let method = if on { Method::POST } else { Method::DELETE };
        self.tell(method, admin, "/drain", token, None).await
    }

    /// Asks some of a gateway's clients to find another one.
    ///
    /// # Errors
    /// When it does not do so.
    pub(crate) async fn shed(
        &self,
        admin: SocketAddr,
        token: &str,
        sessions: u32,
    ) -> Result<(), Refusal> {
        let body = json!({"sessions": sessions, "windowSeconds": SHED_WINDOW_SECONDS});
        let body = Some(body.to_string().into());
        self.tell(Method::POST, admin, "/shed", token, body).await
    }

    async fn tell(
        &self,
        method: Method,
        admin: SocketAddr,
        path: &str,
        token: &str,
        body: Option<Bytes>,
    ) -> Result<(), Refusal> {
        let call = self.call(method, admin, path, Some(token), body, PATIENCE);
        let call = call.await;
        let (status, body) = call.map_err(|failure| Refusal::Other(failure.to_string()))?;
        let text = format!("{status}: {}", String::from_utf8_lossy(&body));
        match status {
            StatusCode::OK => Ok(()),
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Err(Refusal::Token(text)),
            _ => Err(Refusal::Other(text)),
        }
    }

    /// Passes a publication on, and its answer back.
    ///
    /// # Errors
    /// In words, when there was no answer.
    pub(crate) async fn publish(
        &self,
        api: SocketAddr,
        key: &str,
        publication: Bytes,
    ) -> Result<(StatusCode, Bytes), String> {
        let body = Some(publication);
        let call = self.call(
            Method::POST,
            api,
            "/publish",
            Some(key),
            body,
            PUBLISH_PATIENCE,
        );
        call.await.map_err(|failure| failure.to_string())
    }

    async fn call(
        &self,
        method: Method,
        to: SocketAddr,
        path: &str,
        bearer: Option<&str>,
        body: Option<Bytes>,
        patience: Duration,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{to}{path}"));
        if let Some(token) = bearer {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| Failure::Other(error.to_string()))?;
        let exchange = async {
            let response = self
                .0
                .request(request)
                .await
                .map_err(|error| Failure::Other(error.to_string()))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES)
                .collect()
                .await;
            let body = body.map_err(|error| Failure::Other(error.to_string()))?;
            Ok((status, body.to_bytes()))
        };
        tokio::time::timeout(patience, exchange)
            .await
            .map_err(|_| Failure::Late(patience))?
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    async fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn serve(answer: &'static str) -> SocketAddr {
        let (listener, address) = listen().await;
        let routes = Router::new().route("/load", get(move || async move { answer }));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        address
    }

    #[tokio::test]
    async fn tells_apart_why_a_pod_says_nothing() {
        let load =
            r#"{"connections": -1, "largestTopic": 0, "drain": "serving", "degraded": false}"#;
        for answer in ["", "<html>", "{}", load] {
            let told = Ask::new().load(serve(answer).await).await;
            assert_eq!(told, Err(Silence::Nonsense), "{answer}");
        }
        let (listener, closed) = listen().await;
        drop(listener);
        assert_eq!(Ask::new().load(closed).await, Err(Silence::Refused));
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_wait_for_ever() {
        let (_listener, address) = listen().await;
        assert_eq!(Ask::new().load(address).await, Err(Silence::Timeout));
    }
}
