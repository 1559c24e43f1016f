//! Why something was not changed, as JSON.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

/// What a caller is told.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    /// Names the kind; does not change between releases.
    code: &'static str,
    /// For people.
    message: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl ToString) -> Self {
        Self {
            status,
            code,
            message: message.to_string(),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = json!({ "code": self.code, "message": self.message });
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}
