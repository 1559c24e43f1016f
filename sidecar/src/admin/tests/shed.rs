//! Who may shed, what, and when.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use super::pod;
use crate::keyring::KeyRing;

#[tokio::test]
async fn a_shed_says_how_many_leave_and_stays_ready() {
    let pod = pod();
    for (asked, shed) in [(1, 1), (6, 6), (9, 7)] {
        let body = json!({"sessions": asked, "windowSeconds": 3_600, "later": true});
        let answer = pod.shed("token", &body.to_string()).await;
        assert_eq!(answer, (StatusCode::OK, json!({"shed": shed})));
    }
    assert_eq!(pod.get("/ready").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_shed_needs_the_token_before_its_body_is_looked_at() {
    let pod = pod();
    for body in ["{", r#"{"sessions": 1, "windowSeconds": 1}"#] {
        for token in ["wrong", ""] {
            let (status, answer) = pod.shed(token, body).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
            assert_eq!(answer["error"]["code"], "TOKEN_REFUSED");
        }
    }
    pod.admin.configure(KeyRing::default());
    let (status, answer) = pod.shed("token", "{").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(answer["error"]["code"], "TOKEN_NOT_CONFIGURED");
}

#[tokio::test]
async fn a_shed_with_a_bad_body_is_refused_with_what_is_wrong() {
    let pod = pod();
    for (body, told) in [
        ("", "windowSeconds"),
        ("{", "windowSeconds"),
        ("[]", "windowSeconds"),
        (r#"{"windowSeconds": 1}"#, "missing field `sessions`"),
        (r#"{"sessions": 1}"#, "missing field `windowSeconds`"),
        (r#"{"sessions": -1, "windowSeconds": 1}"#, "-1"),
        (r#"{"sessions": 1.5, "windowSeconds": 1}"#, "1.5"),
        (r#"{"sessions": "1", "windowSeconds": 1}"#, "string"),
        (r#"{"sessions": 0, "windowSeconds": 1}"#, "at least 1"),
        (r#"{"sessions": 1, "windowSeconds": 3601}"#, "at most 3600"),
    ] {
        let (status, answer) = pod.shed("token", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert_eq!(answer["error"]["code"], "BODY_INVALID", "{body}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(told), "{body}: {message}");
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_no_shed_from_the_announcement_of_a_drain_on() {
    let pod = pod();
    let body = r#"{"sessions": 1, "windowSeconds": 0}"#;
    pod.ask(Method::POST, "/drain", "token").await;
    for _ in ["announced", "leaving"] {
        let (status, answer) = pod.shed("token", body).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert_eq!(answer["error"]["code"], "DRAINING");
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    pod.ask(Method::DELETE, "/drain", "token").await;
    assert_eq!(pod.shed("token", body).await.0, StatusCode::OK);
}
