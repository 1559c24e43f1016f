//! Beginning a drain and taking it back, for who has the cluster's token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::Admin;
use crate::drain::Phase;
use crate::keyring::bearer;

pub(super) async fn begin(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refuse(&admin, &headers) {
        return refusal;
    }
    shown(admin.drain.begin().await)
}

pub(super) async fn cancel(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refuse(&admin, &headers) {
        return refusal;
    }
    match admin.drain.cancel().await {
        Ok(phase) => shown(phase),
        Err(exiting) => refusal(StatusCode::CONFLICT, "EXITING", &exiting.to_string()),
    }
}

fn shown(phase: Phase) -> Response {
    Json(json!({ "drain": phase })).into_response()
}

fn refuse(admin: &Admin, headers: &HeaderMap) -> Option<Response> {
    let token = admin.token.load();
    if token.is_empty() {
        return Some(refusal(
            StatusCode::FORBIDDEN,
            "DRAIN_DISABLED",
            "no token is configured: set admin.tokenFile",
        ));
    }
    if !bearer(headers).is_some_and(|presented| token.accepts(presented)) {
        return Some(refusal(
            StatusCode::UNAUTHORIZED,
            "TOKEN_REFUSED",
            "send the cluster's token as `Authorization: Bearer <token>`",
        ));
    }
    None
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let body = Json(json!({ "error": { "code": code, "message": message } }));
    (status, body).into_response()
}
