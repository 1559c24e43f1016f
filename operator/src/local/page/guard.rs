//! Keeps other pages out. The server is on loopback, but every page in the browser can reach loopback:
//! directly, or with a name of its own that resolves to 127.0.0.1 (DNS rebinding).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

/// On every answer. The page is one file, so its script and style are inline; nothing else is loaded.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; \
         connect-src 'self' ws://127.0.0.1:* wss://127.0.0.1:*; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Lets in requests that name this server and, where they change something, come from its page.
pub(super) async fn guard(
    State(own): State<Arc<SocketAddr>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match judge(&own, request.method(), request.headers()) {
        Verdict::Pass => next.run(request).await,
        // The cookie must be of the host that the WebSocket is on.
        Verdict::Redirect => {
            Redirect::temporary(&format!("http://{own}{}", request.uri().path())).into_response()
        }
        Verdict::Refuse(why) => (StatusCode::FORBIDDEN, why).into_response(),
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

#[derive(Debug, Eq, PartialEq)]
enum Verdict {
    Pass,
    Redirect,
    Refuse(&'static str),
}

fn judge(own: &SocketAddr, method: &Method, headers: &HeaderMap) -> Verdict {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let host = text(header::HOST).unwrap_or_default();
    let safe = matches!(*method, Method::GET | Method::HEAD);
    if host != own.to_string() {
        let by_name = host == format!("localhost:{}", own.port());
        return if by_name && safe {
            Verdict::Redirect
        } else {
            Verdict::Refuse("this server is not the one that the request names")
        };
    }
    let from_own_page = text(header::ORIGIN) == Some(&format!("http://{own}"));
    if safe || from_own_page {
        Verdict::Pass
    } else {
        Verdict::Refuse("only the page of this server may do that")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_names_and_other_pages_are_refused() {
        let own = SocketAddr::from(([127, 0, 0, 1], 4_000));
        let refused = |verdict| matches!(verdict, Verdict::Refuse(_));
        for (method, host, origin, passes) in [
            (Method::GET, "127.0.0.1:4000", None, true),
            (Method::GET, "evil.example:4000", None, false),
            (Method::GET, "127.0.0.1", None, false),
            (Method::GET, "", None, false),
            (
                Method::POST,
                "127.0.0.1:4000",
                Some("http://127.0.0.1:4000"),
                true,
            ),
            (
                Method::POST,
                "127.0.0.1:4000",
                Some("http://127.0.0.1:4001"),
                false,
            ),
            (Method::POST, "127.0.0.1:4000", Some("null"), false),
            (Method::POST, "127.0.0.1:4000", None, false),
            (
                Method::POST,
                "evil.example:4000",
                Some("http://evil.example:4000"),
                false,
            ),
            (
                Method::POST,
                "localhost:4000",
                Some("http://localhost:4000"),
                false,
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, origin.parse().unwrap());
            }
            let verdict = judge(&own, &method, &headers);
            assert_eq!(
                verdict == Verdict::Pass,
                passes,
                "{method} {host} {origin:?}"
            );
            assert_eq!(refused(verdict), !passes, "{method} {host} {origin:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost:4000".parse().unwrap());
        assert_eq!(judge(&own, &Method::GET, &headers), Verdict::Redirect);
    }
}
