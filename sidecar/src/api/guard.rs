//! What holds for every request: it is counted, the answer names the pod, a key is needed, and what
//! is not there is refused in JSON.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use futures_util::future::{self, Either, Ready};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pin_project_lite::pin_project;
use tower::Service;
use tower::layer::layer_fn;

use super::Api;
use super::failure::Failure;
use crate::keyring::bearer;

/// Path that needs no key: it says nothing that the repository does not.
const OPEN: &str = "/openapi.json";

/// Wraps the routes.
pub(super) fn enclose(routes: Router<Arc<Api>>, api: &Arc<Api>) -> Router {
    let shared = api.clone();
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
        .layer(layer_fn(move |route| Guarded {
            api: shared.clone(),
            route,
        }))
        .with_state(api.clone())
}

/// A route behind its guard. One service of our own, because each middleware that is a function costs
/// a request four allocations.
#[derive(Clone)]
struct Guarded<S> {
    api: Arc<Api>,
    route: S,
}

pin_project! {
    /// A request that is counted when its answer is there.
    struct Call<F> {
        api: Arc<Api>,
        began: Instant,
        method: Method,
        route: Option<MatchedPath>,
        #[pin]
        answer: F,
    }
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Call<Either<Ready<Result<Response, Infallible>>, S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Call {
            api: self.api.clone(),
            began: Instant::now(),
            method: request.method().clone(),
            route: request.extensions().get().cloned(),
            answer: match self.api.refusal(&request) {
                Some(refusal) => Either::Left(future::ok(refusal)),
                None => Either::Right(self.route.call(request)),
            },
        }
    }
}

impl<F> Future for Call<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let call = self.project();
        let Ok(mut response) = ready!(call.answer.poll(context));
        let route = call.route.as_ref().map_or("unmatched", MatchedPath::as_str);
        let status = response.status();
        call.api
            .metrics
            .answered(route, call.method, status, call.began.elapsed());
        if let Some(node) = &call.api.node {
            response.headers_mut().insert("x-wse-node", node.clone());
        }
        Poll::Ready(Ok(response))
    }
}

impl Api {
    /// The answer to a request without an accepted key.
    fn refusal(&self, request: &Request) -> Option<Response> {
        if request.uri().path() == OPEN {
            return None;
        }
        let settings = self.settings.load();
        if settings.keys.is_empty() {
            let failure = Failure::new(
                StatusCode::FORBIDDEN,
                "API_DISABLED",
                "no API key is configured: set api.keyFiles (spec.api in a WseCluster)",
            );
            return Some(failure.into_response());
        }
        if presented(request.headers()).is_some_and(|key| settings.keys.accepts(key)) {
            return None;
        }
        let failure = Failure::new(
            StatusCode::UNAUTHORIZED,
            "API_KEY_REFUSED",
            "send an accepted key as `Authorization: Bearer <key>` or `X-API-Key: <key>`",
        );
        Some(([(WWW_AUTHENTICATE, "Bearer")], failure).into_response())
    }
}

fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let own = || headers.get("x-api-key").map(HeaderValue::as_bytes);
    bearer(headers).or_else(own)
}
