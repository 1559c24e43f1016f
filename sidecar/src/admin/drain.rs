//! Beginning a drain and taking it back, for who has the cluster's token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::Admin;
use super::refusal::Refusal;
use super::token::Trusted;
use crate::drain::Phase;

pub(super) async fn begin(_: Trusted, State(admin): State<Arc<Admin>>) -> Response {
    shown(admin.drain.begin().await)
}

pub(super) async fn cancel(
    _: Trusted,
    State(admin): State<Arc<Admin>>,
) -> Result<Response, Refusal> {
    match admin.drain.cancel().await {
        Ok(phase) => Ok(shown(phase)),
        Err(exiting) => Err(Refusal::new(StatusCode::CONFLICT, "EXITING", exiting)),
    }
}

fn shown(phase: Phase) -> Response {
    Json(json!({ "drain": phase })).into_response()
}
