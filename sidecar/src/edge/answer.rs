//! What a request that is not upgraded is answered.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::metrics::Outcome;
use crate::wire::handshake;

/// Why a request is not upgraded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum No {
    /// The request has a body, whose bytes would be taken for frames.
    Body,
    Capacity,
    Draining,
    Handshake(handshake::Refusal),
    /// The keys that verify tokens cannot be had.
    Keys,
    Origin,
    Rate,
}

impl No {
    pub(super) fn outcome(self) -> Outcome {
        match self {
            Self::Body => Outcome::BadHandshake,
            Self::Capacity => Outcome::RefusedCapacity,
            Self::Draining => Outcome::RefusedDraining,
            Self::Handshake(handshake::Refusal::NoUpgrade) => Outcome::NotWebSocket,
            Self::Handshake(_) => Outcome::BadHandshake,
            Self::Keys => Outcome::RefusedKeys,
            Self::Origin => Outcome::RefusedOrigin,
            Self::Rate => Outcome::RefusedRate,
        }
    }

    /// The response. The connection is closed after it: a client that waits on it only costs.
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let body = json!({"error": {"code": self.code(), "message": self.message()}});
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        if let Self::Handshake(refusal) = self {
            *headers = refusal.headers();
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.append(CONNECTION, HeaderValue::from_static("close"));
        self.retry_after(headers);
        response
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Body => StatusCode::BAD_REQUEST,
            Self::Capacity | Self::Draining | Self::Keys => StatusCode::SERVICE_UNAVAILABLE,
            Self::Handshake(refusal) => refusal.status(),
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Rate => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Body => "BAD_HANDSHAKE",
            Self::Capacity => "AT_CAPACITY",
            Self::Draining => "DRAINING",
            Self::Handshake(handshake::Refusal::NoUpgrade) => "NOT_WEBSOCKET",
            Self::Handshake(_) => "BAD_HANDSHAKE",
            Self::Keys => "KEYS_UNAVAILABLE",
            Self::Origin => "ORIGIN_NOT_ALLOWED",
            Self::Rate => "RATE_LIMITED",
        }
    }

    fn message(self) -> String {
        match self {
            Self::Body => "the request of a handshake has no body".into(),
            Self::Capacity => "this pod has as many sessions as it takes".into(),
            Self::Draining => "this pod takes no new sessions; another one will".into(),
            Self::Handshake(refusal) => refusal.to_string(),
            Self::Keys => "tokens cannot be verified at the moment".into(),
            Self::Origin => "pages of this origin may not connect".into(),
            Self::Rate => "too many handshakes at once".into(),
        }
    }

    /// In seconds (RFC 9110 section 10.2.3). A draining pod has siblings that take the client at once.
    fn retry_after(self, headers: &mut HeaderMap) {
        let seconds = match self {
            Self::Capacity | Self::Keys => "5",
            Self::Draining | Self::Rate => "1",
            Self::Body | Self::Handshake(_) | Self::Origin => return,
        };
        headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
    }
}
