//! Shedding some sessions, for who has the cluster's token.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use super::refusal::Refusal;
use super::token::Trusted;
use crate::drain::NotShed;

/// Longest window, in seconds. The operator paces a rebalance over minutes.
const LONGEST_WINDOW: u32 = 3_600;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wish {
    /// How many are to leave.
    sessions: u32,
    /// Each leaves at its own random moment inside this many seconds.
    window_seconds: u32,
}

pub(super) async fn shed(
    _: Trusted,
    State(admin): State<Arc<Admin>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, Refusal> {
    let body = body.map_err(|error| bad(error.body_text()))?;
    let wish = wish(&body).map_err(bad)?;
    let window = Duration::from_secs(wish.window_seconds.into());
    match admin.drain.shed(wish.sessions as usize, window).await {
        Ok(shed) => Ok(Json(json!({ "shed": shed }))),
        Err(why @ NotShed::Busy) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", why)),
        Err(why @ NotShed::Draining) => Err(Refusal::new(StatusCode::CONFLICT, "DRAINING", why)),
    }
}

fn wish(body: &[u8]) -> Result<Wish, String> {
    let wish: Wish = serde_json::from_slice(body)
        .map_err(|error| format!("send {{\"sessions\": n, \"windowSeconds\": w}}: {error}"))?;
    if wish.sessions == 0 {
        return Err("sessions must be at least 1".into());
    }
    if wish.window_seconds > LONGEST_WINDOW {
        return Err(format!("windowSeconds must be at most {LONGEST_WINDOW}"));
    }
    Ok(wish)
}

fn bad(message: String) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, "BODY_INVALID", message)
}
