//! Keys, and what is refused; what is counted of it.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use http::{Method, Request, StatusCode};
use hyper::body::Frame;

use super::*;

/// A body that never comes.
struct Stalled;

impl axum::body::HttpBody for Stalled {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

#[tokio::test]
async fn keys_are_needed_by_either_header() {
    let pod = pod();
    for (name, value, status) in [
        ("authorization", "Bearer secret", 200),
        ("authorization", "bearer previous", 200),
        ("x-api-key", "secret", 200),
        ("x-api-key", "wrong", 401),
        ("authorization", "Bearer ", 401),
        ("authorization", "Basic secret", 401),
        ("x-other", "secret", 401),
    ] {
        let request = Request::get("/topics").header(name, value);
        let answer = pod.ask(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {value}");
        if status == 401 {
            assert_eq!(answer.code(), "API_KEY_REFUSED");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
    pod.api.configure(settings(&["next"]));
    assert_eq!(pod.get("/topics").await.status, StatusCode::UNAUTHORIZED);
    pod.api.configure(settings(&[]));
    let answer = pod.get("/topics").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(answer.body.to_string().contains("api.keyFiles"));
}

#[tokio::test]
async fn bad_requests_are_refused_in_json() {
    let pod = pod();
    let long = format!(r#"{{"topic":"{}","message":{{}}}}"#, "x".repeat(21));
    let large = format!(
        r#"{{"topic":"a","message":{{"t":"{}"}}}}"#,
        "x".repeat(1_000)
    );
    let huge = format!(
        r#"{{"topic":"a","message":{{"t":"{}"}}}}"#,
        "x".repeat(4_096)
    );
    let many = format!(
        r#"{{"publications":[{}]}}"#,
        [r#"{"topic":"a","message":1}"#; 1_001].join(",")
    );
    let key = format!(
        r#"{{"topic":"a","message":{{}},"idempotencyKey":"{}"}}"#,
        "k".repeat(129)
    );
    let connections = format!("/connections/{ID}");
    let close = |query: &str| format!("{connections}?{query}");
    let reason = close(&format!("reason={}", "r".repeat(124)));
    let user = format!("/users/{}/connections", "u".repeat(1_025));
    let (delete, get, post, put) = (Method::DELETE, Method::GET, Method::POST, Method::PUT);
    let cases = [
        (&post, "/publish", "{", 400, "JSON_INVALID"),
        (&post, "/publish", "{}", 422, "BODY_INVALID"),
        (
            &post,
            "/publish",
            r#"{"topic":1,"message":{}}"#,
            422,
            "BODY_INVALID",
        ),
        (
            &post,
            "/publish",
            r#"{"topic":"a","message":{},"x":1}"#,
            422,
            "BODY_INVALID",
        ),
        (
            &post,
            "/publish",
            "{\"topic\":\"a\",\"message\":{\"t\":\"\u{1}\"}}",
            400,
            "JSON_INVALID",
        ),
        (
            &post,
            "/publish",
            r#"{"topic":"","message":{}}"#,
            400,
            "TOPIC_INVALID",
        ),
        (
            &post,
            "/publish",
            r#"{"topic":"a*","message":{}}"#,
            400,
            "TOPIC_INVALID",
        ),
        (&post, "/publish", long.as_str(), 400, "TOPIC_INVALID"),
        (
            &post,
            "/publish",
            r#"{"topic":"a","message":[]}"#,
            400,
            "MESSAGE_INVALID",
        ),
        (&post, "/publish", large.as_str(), 413, "MESSAGE_TOO_LARGE"),
        (&post, "/publish", huge.as_str(), 413, "BODY_TOO_LARGE"),
        (
            &post,
            "/publish",
            key.as_str(),
            400,
            "IDEMPOTENCY_KEY_INVALID",
        ),
        (&get, "/nowhere", "", 404, "ROUTE_UNKNOWN"),
        (&put, "/publish", "", 405, "METHOD_NOT_ALLOWED"),
        (&get, "/connections/x", "", 400, "CONNECTION_ID_INVALID"),
        (&get, "/connections?limit=0", "", 400, "LIMIT_INVALID"),
        (&get, "/connections?limit=1001", "", 400, "LIMIT_INVALID"),
        (&get, "/connections?limit=x", "", 400, "QUERY_INVALID"),
        (&get, "/connections?users=ann", "", 400, "QUERY_INVALID"),
        (&get, "/topics/%FF", "", 400, "PATH_INVALID"),
        (&get, "/topics/%24all", "", 400, "TOPIC_INVALID"),
        (&delete, &close("code=1000"), "", 400, "CLOSE_CODE_INVALID"),
        (&delete, &close("code=1008"), "", 400, "CLOSE_CODE_INVALID"),
        (&delete, &close("code=3999"), "", 400, "CLOSE_CODE_INVALID"),
        (&delete, &close("code=4508"), "", 400, "CLOSE_CODE_INVALID"),
        (&delete, &close("code=70000"), "", 400, "QUERY_INVALID"),
        (&delete, &reason, "", 400, "CLOSE_REASON_INVALID"),
        (&delete, &user, "", 400, "USER_INVALID"),
        (&delete, &connections, "", 404, "CONNECTION_NOT_FOUND"),
    ];
    for (method, path, body, status, code) in cases {
        let answer = pod.call(method.clone(), path, body.to_owned()).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path} {body}");
        assert_eq!(answer.code(), code, "{method} {path} {body}");
    }
    pod.api.configure(Settings {
        max_body_bytes: 1 << 20,
        ..settings(&["secret"])
    });
    assert_eq!(
        pod.post("/publish/batch", many).await.code(),
        "BATCH_TOO_LARGE"
    );
    assert_eq!(
        pod.log(),
        [format!(
            "disconnect Connection({:?}) 4403 ",
            ConnectionId::parse(ID).unwrap()
        )]
    );
}

#[tokio::test]
async fn another_content_type_is_refused() {
    let pod = pod();
    let request = Request::post("/publish")
        .header("x-api-key", "secret")
        .header("content-type", "text/plain")
        .body(Body::from(r#"{"topic":"a","message":{}}"#))
        .unwrap();
    let answer = pod.ask(request).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.code(), "CONTENT_TYPE_UNSUPPORTED");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_given_up() {
    let pod = pod();
    let request = Request::post("/publish")
        .header("x-api-key", "secret")
        .header("content-type", "application/json")
        .body(Body::new(Stalled))
        .unwrap();
    let answer = pod.ask(request).await;
    assert_eq!(answer.status, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(answer.code(), "BODY_TIMEOUT");
}

#[tokio::test]
async fn the_document_needs_no_key() {
    let pod = pod();
    pod.api.configure(settings(&[]));
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let answer = pod.ask(request).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.body["paths"].as_object().unwrap().len(), 11);
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let pod = pod();
    pod.get("/topics/one").await;
    pod.get("/topics/two").await;
    pod.get("/nowhere").await;
    pod.call(Method::from_bytes(b"BREW").unwrap(), "/topics", "")
        .await;
    let text = prometheus::TextEncoder::new()
        .encode_to_string(&pod.registry.gather())
        .unwrap();
    for line in [
        r#"wse_api_requests_total{method="GET",route="/topics/{topic}",status="2xx"} 2"#,
        r#"wse_api_requests_total{method="GET",route="unmatched",status="4xx"} 1"#,
        r#"wse_api_requests_total{method="other",route="/topics",status="4xx"} 1"#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
