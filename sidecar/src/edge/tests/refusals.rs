//! Every refusal, before the upgrade and after it.

use super::*;

#[tokio::test]
async fn what_is_no_websocket_is_told_so() {
    let house = House::open(Limits::default()).await;
    let answer = house.ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(answer.status(), 426);
    answer.assert_line("upgrade: websocket");
    answer.assert_line("connection: upgrade, close");
    assert_eq!(answer.error_code(), "NOT_WEBSOCKET");
    assert!(answer.body.contains("WebSocket"));
    house.counted("not_websocket", 1).await;
}

#[tokio::test]
async fn a_bad_handshake_is_refused() {
    let house = House::open(Limits::default()).await;
    for (from, to, status) in [
        ("dGhlIHNhbXBsZSBub25jZQ==", "short", 400),
        ("Version: 13", "Version: 12", 426),
        ("Host: server.example.com\r\n", "", 400),
        ("Host: ", "Host: one\r\nHost: ", 400),
        ("HTTP/1.1", "HTTP/1.0", 505),
        ("GET", "POST", 405),
    ] {
        let answer = house.ask(&format!("{}\r\n", HEAD.replace(from, to))).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.error_code(), "BAD_HANDSHAKE");
    }
    for body in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let answer = house.ask(&format!("{HEAD}{body}\r\n\r\n")).await;
        assert_eq!(answer.status(), 400);
        assert_eq!(answer.error_code(), "BAD_HANDSHAKE");
    }
    for (garbage, status) in [
        ("\x16\x03\x01\x02\x00\x01 a TLS hello\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
    ] {
        assert_eq!(house.ask(garbage).await.status(), status, "{garbage}");
    }
    house.counted("bad_handshake", 10).await;
}

#[tokio::test]
async fn draining_refuses_before_the_upgrade_until_taken_back() {
    let mut house = House::open(Limits::default()).await;
    house.control.refuse(true);
    assert!(house.control.refuses());
    let answer = house.ask(&format!("{HEAD}\r\n")).await;
    assert_eq!(answer.status(), 503);
    answer.assert_line("retry-after: 1");
    answer.assert_line("connection: close");
    assert_eq!(answer.error_code(), "DRAINING");
    house.counted("refused_draining", 1).await;

    house.control.refuse(false);
    house.upgrade("").await;
}

#[tokio::test]
async fn a_full_pod_refuses_before_the_upgrade() {
    let limits = Limits {
        connections: 10,
        ..Limits::default()
    };
    let mut house = House::with(limits.clone(), &anybody(), || 10, None).await;
    let answer = house.ask(&format!("{HEAD}\r\n")).await;
    assert_eq!(answer.status(), 503);
    answer.assert_line("retry-after: 5");
    answer.assert_line("connection: close");
    assert_eq!(answer.error_code(), "AT_CAPACITY");
    house.counted("refused_capacity", 1).await;

    let more = Limits {
        connections: 11,
        ..limits
    };
    house.control.reload(policy(more, &anybody()).await);
    house.upgrade("").await;
}

#[tokio::test]
async fn too_many_handshakes_a_second_are_refused() {
    let limits = Limits {
        handshakes_per_second: 1,
        ..Limits::default()
    };
    let mut house = House::open(limits).await;
    house.upgrade("").await;
    let mut answers = Vec::new();
    for _ in 0..3 {
        let mut stream = house.connect().await;
        stream
            .write_all(format!("{HEAD}\r\n").as_bytes())
            .await
            .unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        answers.push(status);
        if &status == b"HTTP/1.1 429" {
            let answer = Answer::read(&mut stream).await;
            answer.assert_line("retry-after: 1");
            answer.assert_line("connection: close");
            assert_eq!(answer.error_code(), "RATE_LIMITED");
        }
    }
    assert!(answers.contains(b"HTTP/1.1 429"));
}

#[tokio::test]
async fn a_foreign_page_is_refused() {
    let mut house = House::open(Limits::default()).await;
    let foreign = "Origin: https://evil.example.com\r\n";
    let answer = house.ask(&format!("{HEAD}{foreign}\r\n")).await;
    assert_eq!(answer.status(), 403);
    assert_eq!(answer.error_code(), "ORIGIN_NOT_ALLOWED");
    house.counted("refused_origin", 1).await;
    house
        .upgrade("Origin: https://server.example.com\r\n")
        .await;

    let auth = Auth {
        allowed_origins: Origins::List(vec!["https://evil.example.com".into()]),
        ..anybody()
    };
    house.control.reload(policy(Limits::default(), &auth).await);
    house.upgrade(foreign).await;
}

#[tokio::test]
async fn a_refused_token_is_upgraded_to_be_told() {
    let signer = Signer::hs256();
    let scratch = Scratch::new();
    let auth = Auth {
        keys: vec![signer.key(&scratch)],
        ..Auth::default()
    };
    let mut house = House::with(Limits::default(), &auth, || 0, None).await;
    let good = signer.token("ada");
    for (more, expected) in [
        (format!("Authorization: Bearer {good}\r\n"), Ok("ada")),
        (format!("Cookie: a=b; access_token={good}\r\n"), Ok("ada")),
        (String::new(), Err(Refusal::Required)),
        (
            format!("Cookie: access_token=x\r\nAuthorization: Bearer {good}\r\n"),
            Err(Refusal::Failed("malformed")),
        ),
        (
            format!("Authorization: Bearer {good}{}\r\n", "x".repeat(8192)),
            Err(Refusal::Failed("too_long")),
        ),
    ] {
        let (_client, arrival) = house.upgrade(&more).await;
        let user = arrival.identity.map(|identity| identity.user);
        assert_eq!(user.as_deref().map_err(|refusal| *refusal), expected);
    }
    house.counted("upgraded", 5).await;
}

#[tokio::test]
async fn without_keys_clients_are_sent_away_and_not_refused_for_good() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let auth = Auth {
        jwks: Some(Jwks {
            url: Some(format!("http://{address}/keys")),
            ..Jwks::default()
        }),
        ..Auth::default()
    };
    let house = House::with(Limits::default(), &auth, || 0, None).await;
    let token = Signer::es256("k").token("ada");
    let answer = house
        .ask(&format!("{HEAD}Authorization: Bearer {token}\r\n\r\n"))
        .await;
    assert_eq!(answer.status(), 503);
    answer.assert_line("retry-after: 5");
    assert_eq!(answer.error_code(), "KEYS_UNAVAILABLE");
    house.counted("refused_keys", 1).await;
}
