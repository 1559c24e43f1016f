//! The page to try a fleet with, and the little server behind it. In come a browser's requests from
//! this machine; out go one HTML file, what the page must know, and publications, which are passed to a
//! gateway with the API key so that no key reaches the browser. It knows the fleet only as the last
//! [`Snapshot`].

mod guard;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::ask::Ask;
use crate::plan::{Condition, Observation, Plan, PodState};

/// The page.
const HTML: &str = include_str!("index.html");

/// What the page must know to connect.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Session {
    /// `<namespace>/<name>`.
    pub(super) cluster: String,
    /// Where clients connect.
    pub(super) url: String,
    /// A token to begin with.
    pub(super) token: Option<String>,
    /// Whether no token is needed.
    pub(super) anonymous: bool,
    /// Name of the cookie that carries the token.
    pub(super) cookie: String,
    /// Whether the fleet takes no cookies, because every page may connect.
    pub(super) cookie_refused: bool,
    /// A topic to begin with.
    pub(super) topic: String,
}

/// The fleet as it was last seen.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    tier: String,
    /// Pods that there should be once what is under way has ended.
    desired: u32,
    pods: Vec<SeenPod>,
    conditions: Vec<SeenCondition>,
    /// Where publications go: the API ports of the gateways that are ready.
    #[serde(skip)]
    pub(super) apis: Vec<SocketAddr>,
    #[serde(skip)]
    pub(super) key: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SeenPod {
    name: String,
    state: &'static str,
    sessions: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SeenCondition {
    r#type: String,
    holds: bool,
    message: String,
}

impl Snapshot {
    /// What the page is shown of a pass.
    pub(super) fn new(plan: &Plan, observation: &Observation) -> Self {
        let pods = observation.pods.iter().map(|pod| SeenPod {
            name: pod.name.clone(),
            state: match pod.state {
                PodState::Down => "down",
                PodState::Leave => "leaving",
                PodState::Ready => "ready",
                PodState::Unready if pod.asked_to_drain => "draining",
                PodState::Unready => "starting",
            },
            sessions: pod.load.map(|load| load.sessions),
        });
        let seen = |condition: &Condition| SeenCondition {
            r#type: format!("{:?}", condition.r#type),
            holds: condition.holds,
            message: condition.message.clone(),
        };
        Self {
            tier: plan.tier.to_string(),
            desired: plan.desired,
            pods: pods.collect(),
            conditions: plan.conditions.iter().map(seen).collect(),
            apis: Vec::new(),
            key: String::new(),
        }
    }
}

/// What the server answers from.
#[derive(Clone)]
struct Page {
    session: watch::Receiver<Session>,
    fleet: watch::Receiver<Snapshot>,
    ask: Ask,
}

/// Serves the page until the run ends.
pub(super) async fn serve(
    listener: TcpListener,
    key: String,
    session: watch::Receiver<Session>,
    fleet: watch::Receiver<Snapshot>,
    ask: Ask,
) -> std::io::Result<()> {
    let own = listener.local_addr()?;
    let page = Page {
        session,
        fleet,
        ask,
    };
    axum::serve(listener, router(page, own, &key)).await
}

/// Everything is below the key, which the page's own address has: its requests are relative to that.
fn router(page: Page, own: SocketAddr, key: &str) -> Router {
    Router::new()
        .route(&format!("/{key}/"), get(async || Html(HTML)))
        .route(&format!("/{key}/session"), get(session))
        .route(&format!("/{key}/fleet"), get(fleet))
        .route(&format!("/{key}/publish"), post(publish))
        .layer(middleware::from_fn_with_state(Arc::new(own), guard::guard))
        .with_state(page)
}

async fn session(State(page): State<Page>) -> Json<Session> {
    Json(page.session.borrow().clone())
}

async fn fleet(State(page): State<Page>) -> Json<Snapshot> {
    Json(page.fleet.borrow().clone())
}

async fn publish(State(page): State<Page>, headers: HeaderMap, publication: Bytes) -> Response {
    // A form of another page can send text, but not this type without asking first.
    let json = |value: &header::HeaderValue| value.as_bytes().starts_with(b"application/json");
    if !headers.get(header::CONTENT_TYPE).is_some_and(json) {
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json");
    }
    let (api, key) = {
        let fleet = page.fleet.borrow();
        (fastrand::choice(fleet.apis.clone()), fleet.key.clone())
    };
    let Some(api) = api else {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "no gateway is ready");
    };
    match page.ask.publish(api, &key, publication).await {
        Ok((status, answer)) => {
            (status, [(header::CONTENT_TYPE, "application/json")], answer).into_response()
        }
        Err(error) => refusal(StatusCode::BAD_GATEWAY, &error),
    }
}

/// In the form of the gateway's own errors.
fn refusal(status: StatusCode, message: &str) -> Response {
    let code = status.canonical_reason().unwrap_or_default();
    let body = serde_json::json!({"error": {"code": code, "message": message}});
    (status, Json(body)).into_response()
}
