//! Readiness, and metrics as text.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use prometheus::{TEXT_FORMAT, TextEncoder};
use serde::Serialize;

use super::Admin;
use crate::drain::Phase;

/// Why the pod is ready or not.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Readiness {
    ready: bool,
    listening: bool,
    /// There is a key to verify tokens with. Without one every client would be sent away for good.
    keys: bool,
    drain: Phase,
    /// The backplane is away. That alone does not make a pod unready: all pods would be unready at
    /// once, and nobody could connect.
    degraded: bool,
    sessions: usize,
}

pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let listening = admin.vitals.listening();
    let keys = admin.vitals.has_keys();
    let drain = admin.drain.phase();
    let readiness = Readiness {
        ready: listening && keys && drain == Phase::Serving,
        listening,
        keys,
        drain,
        degraded: admin.vitals.degraded(),
        sessions: admin.vitals.sessions(),
    };
    let status = if readiness.ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(readiness)).into_response()
}

pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    match TextEncoder::new().encode_to_string(&admin.registry.gather()) {
        Ok(text) => ([(CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
        }
    }
}
