//! The port of probes and metrics.

use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::TEXT_FORMAT;
use tokio::net::TcpListener;

use super::health::Health;
use super::metrics::Metrics;

/// Answers for as long as the process runs.
pub(super) async fn serve(listener: TcpListener, health: Health, metrics: Metrics) {
    let routes = Router::new()
        // That it answers is the answer: one that waits for a CRD must not be started again for it.
        .route("/live", get(|| async { "live" }))
        .route("/ready", get(ready))
        .route("/metrics", get(text))
        .with_state((health, metrics));
    // It ends only with the process.
    let _ = axum::serve(listener, routes).await;
}

async fn ready(State((health, _)): State<(Health, Metrics)>) -> Response {
    let problems = health.problems(Instant::now());
    if problems.is_empty() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n").into_response()
}

async fn text(State((_, metrics)): State<(Health, Metrics)>) -> Response {
    match metrics.text() {
        Ok(text) => ([("content-type", TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
