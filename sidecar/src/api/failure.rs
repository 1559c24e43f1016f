//! Why a call was not done, as JSON.

use std::collections::BTreeMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Documented, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::Unfit;
use crate::backplane::{self, NodeId};
use crate::hub;
use crate::topic::TopicError;

/// What a caller is told when a call was not done.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) told: Told,
    retry_after_seconds: Option<u32>,
}

/// The `error` of an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct Told {
    /// Names the kind of error; does not change between releases.
    #[schema(value_type = String, example = "TOPIC_INVALID")]
    pub(super) code: &'static str,
    /// What was wrong, for people.
    pub(super) message: String,
}

/// The body of an answer that is an error.
#[derive(Serialize, ToSchema)]
#[schema(as = ErrorAnswer)]
pub(super) struct ErrorAnswer {
    error: Told,
}

impl Failure {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            told: Told {
                code,
                message: message.into(),
            },
            retry_after_seconds: None,
        }
    }

    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Refused now; the same call may succeed soon.
    pub(super) fn unavailable(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            retry_after_seconds: Some(1),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, message)
        }
    }

    /// Nothing was found, which is certain only when every pod has answered.
    pub(super) fn not_found(code: &'static str, what: &str, missing: &[NodeId]) -> Self {
        if missing.is_empty() {
            return Self::new(
                StatusCode::NOT_FOUND,
                code,
                format!("{what} is not in the fleet"),
            );
        }
        let nodes: Vec<&str> = missing.iter().map(NodeId::as_str).collect();
        Self::unavailable(
            "NODE_MISSING",
            format!(
                "{what} was not found, but {} did not answer in time",
                nodes.join(", ")
            ),
        )
    }
}

impl From<backplane::Error> for Failure {
    fn from(error: backplane::Error) -> Self {
        let code = match error {
            backplane::Error::Away(_) => "BACKPLANE_AWAY",
            backplane::Error::Refused(_) => "BACKPLANE_REFUSED",
            backplane::Error::Uncertain => "PUBLISH_UNCERTAIN",
            backplane::Error::Unreplicated => "PUBLISH_UNREPLICATED",
        };
        Self::unavailable(code, error.to_string())
    }
}

impl From<hub::Error> for Failure {
    fn from(error: hub::Error) -> Self {
        match error {
            hub::Error::Backplane(error) => error.into(),
            hub::Error::Full(_) => Self::unavailable("NODE_FULL", error.to_string()),
        }
    }
}

impl From<TopicError> for Failure {
    fn from(error: TopicError) -> Self {
        Self::bad("TOPIC_INVALID", error.to_string())
    }
}

impl From<Unfit> for Failure {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Malformed(message) => Self::bad("MESSAGE_INVALID", message),
            Unfit::TooLarge(message) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "MESSAGE_TOO_LARGE", message)
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let body = Json(ErrorAnswer { error: self.told });
        let mut response = (self.status, body).into_response();
        if let Some(seconds) = self.retry_after_seconds {
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

/// The errors that every call can answer with.
impl IntoResponses for Failure {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        documented(&[
            ("400", "The request is malformed"),
            ("401", "No API key, or one that is not accepted"),
            (
                "403",
                "No API keys are configured, so every call is refused",
            ),
            (
                "503",
                "The fleet cannot do it now; retry after `Retry-After` seconds. `NODE_FULL`: the pod that holds \
                 the connection has as much waiting as it may have; `NODE_MISSING`: a pod did not answer in \
                 time; the others are the backplane's",
            ),
        ])
    }
}

/// The errors of calls with a body, beside those of every call.
pub(super) struct BodyFailure;

impl IntoResponses for BodyFailure {
    fn responses() -> BTreeMap<String, RefOr<Documented>> {
        let mut all = Failure::responses();
        all.extend(documented(&[
            ("408", "The body did not arrive in time"),
            ("413", "The body or the message is too large"),
            ("415", "The body is not announced as JSON"),
            ("422", "The body is JSON, but not what the call takes"),
        ]));
        all
    }
}

fn documented(errors: &[(&str, &str)]) -> BTreeMap<String, RefOr<Documented>> {
    let document = |(status, description): &(&str, &str)| {
        let schema = Ref::from_schema_name("ErrorAnswer");
        let body = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/json", body);
        ((*status).to_owned(), response.build().into())
    };
    errors.iter().map(document).collect()
}
