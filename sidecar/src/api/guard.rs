//! What holds for every request: it is counted, the answer names the pod, a key is needed, and what
//! is not there is refused in JSON.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Api;
use super::failure::Failure;
use crate::keyring::bearer;

/// Path that needs no key: it says nothing that the repository does not.
const OPEN: &str = "/openapi.json";

/// Wraps the routes.
pub(super) fn enclose(routes: Router<Arc<Api>>, api: &Arc<Api>) -> Router {
    routes
        .fallback(async || {
            Failure::new(
                StatusCode::NOT_FOUND,
                "ROUTE_UNKNOWN",
                "there is no such path; see /openapi.json",
            )
        })
        .method_not_allowed_fallback(async || {
            Failure::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "METHOD_NOT_ALLOWED",
                "this path does not know this method; see /openapi.json",
            )
        })
        .layer(from_fn_with_state(api.clone(), authorize))
        .layer(from_fn_with_state(api.clone(), observe))
        .with_state(api.clone())
}

async fn observe(
    State(api): State<Arc<Api>>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    api.metrics
        .answered(route, &method, response.status(), began.elapsed());
    if let Ok(node) = HeaderValue::from_str(api.node.as_str()) {
        response.headers_mut().insert("x-wse-node", node);
    }
    response
}

async fn authorize(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if request.uri().path() == OPEN {
        return next.run(request).await;
    }
    let settings = api.settings.load();
    if settings.keys.is_empty() {
        return Failure::new(
            StatusCode::FORBIDDEN,
            "API_DISABLED",
            "no API key is configured: set api.keyFiles (spec.api in a WseCluster)",
        )
        .into_response();
    }
    if !presented(request.headers()).is_some_and(|key| settings.keys.accepts(key)) {
        let refusal = Failure::new(
            StatusCode::UNAUTHORIZED,
            "API_KEY_REFUSED",
            "send an accepted key as `Authorization: Bearer <key>` or `X-API-Key: <key>`",
        );
        return ([(WWW_AUTHENTICATE, "Bearer")], refusal).into_response();
    }
    drop(settings);
    next.run(request).await
}

fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let own = || headers.get("x-api-key").map(HeaderValue::as_bytes);
    bearer(headers).or_else(own)
}
