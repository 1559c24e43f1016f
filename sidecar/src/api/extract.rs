//! Bodies, path segments and queries, with refusals that are JSON as well.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::Api;
use super::failure::Failure;
use crate::patience::timeout;

/// How long a body may take to arrive.
const BODY: Duration = Duration::from_secs(30);

/// A JSON body within the configured size.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Api>> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Failure> {
        if !is_json(request.headers()) {
            return Err(Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "CONTENT_TYPE_UNSUPPORTED",
                "send the body as `Content-Type: application/json`",
            ));
        }
        let limit = api.settings.load().max_body_bytes;
        let bytes = read(request.into_body(), limit).await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| match error.classify() {
                Category::Data => Failure::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "BODY_INVALID",
                    error.to_string(),
                ),
                _ => Failure::bad("JSON_INVALID", error.to_string()),
            })
    }
}

/// Percent-decoded path segments.
pub(super) struct Path<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Api>> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Failure> {
        axum::extract::Path::from_request_parts(parts, api)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|error: PathRejection| Failure::bad("PATH_INVALID", error.body_text()))
    }
}

/// The query.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Api>> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Failure> {
        axum::extract::Query::from_request_parts(parts, api)
            .await
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error: QueryRejection| Failure::bad("QUERY_INVALID", error.body_text()))
    }
}

async fn read(body: axum::body::Body, limit: usize) -> Result<Bytes, Failure> {
    let read = timeout(BODY, Limited::new(body, limit).collect()).await;
    let read = read.map_err(|_| {
        Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "BODY_TIMEOUT",
            format!("the body did not arrive within {} seconds", BODY.as_secs()),
        )
    })?;
    match read {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BODY_TOO_LARGE",
            format!("the body is larger than api.maxBodyBytes, {limit}"),
        )),
        Err(error) => Err(Failure::bad(
            "BODY_INCOMPLETE",
            format!("the body could not be read: {error}"),
        )),
    }
}

/// `application/json` or `application/<anything>+json` (RFC 6839), parameters ignored.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence
        .strip_prefix("application/")
        .is_some_and(|subtype| subtype == "json" || subtype.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_json_by_its_media_type() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/cloudevents+json", true),
            ("application/jsonp", false),
            ("text/json", false),
            ("text/plain", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
