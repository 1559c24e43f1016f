//! What a client may not do ends with the right code, is counted, and disturbs nobody.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use wse_e2e::Error;
use wse_e2e::client::{Client, Dial};
use wse_e2e::fleet::config::Origins;
use wse_e2e::fleet::{Gateway, Setup};
use wse_e2e::token::Claims;

use crate::bystander::Bystander;
use crate::raw::{self, BINARY, CONTINUATION, FIN, PING, Raw, TEXT};
use crate::script::Script;
use crate::{Outcome, alone, growth, has_grown};

#[tokio::test(flavor = "multi_thread")]
async fn the_python_client_is_told_that_its_token_is_no_good_and_stays_away() -> Outcome {
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, setup.config("a")).await?;
    let bystander = Bystander::arrive(&setup, &gateway).await?;
    let good = setup.claims("python", &["chat.*"]);
    let cases = [
        ("alg_none", good.unsigned()),
        ("bad_signature", good.sign(&[b'x'; 32])),
        (
            "expired",
            good.clone()
                .expired(Duration::from_secs(60))
                .sign(setup.secret()),
        ),
        ("too_long", good.padded(16 << 10).sign(setup.secret())),
        (
            "wrong_audience",
            Claims::new("python", Setup::ISSUER, "another").sign(setup.secret()),
        ),
    ];
    let before = gateway.metrics().await?;
    let mut scripts = Vec::new();
    for (reason, token) in &cases {
        scripts.push((
            reason,
            Script::start("refused.py", token, &[&gateway.url()])?,
        ));
    }
    for (reason, mut script) in scripts {
        let said = script.says().await?;
        println!("{reason}: {said}");
        assert_eq!(said["errors"][0]["code"], "AUTH_FAILED", "{reason}");
        assert_eq!(said["state"], "error", "{reason}");
        assert_eq!(said["reconnects"], 0, "{reason}");
        let refusals = "wse_auth_refusals_total";
        has_grown(&gateway, &before, refusals, &[("reason", reason)], 1.0).await?;
        assert_eq!(
            growth(&gateway, &before, refusals, &[("reason", reason)]).await?,
            1.0
        );
    }
    // The Python client does not show the close code, so another looks at it.
    for (reason, token) in &cases {
        match Client::connect(&Dial::new(&gateway.url(), token)).await {
            Err(Error::Refused { code, close, .. }) => {
                assert_eq!((code.as_str(), close), ("AUTH_FAILED", 4401), "{reason}");
            }
            other => panic!("{reason}: {other:?}"),
        }
    }
    assert!(bystander.leave().await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_from_elsewhere_is_refused_before_the_upgrade() -> Outcome {
    let setup = Setup::new()?;
    let mut config = setup.config("a");
    config.auth.allowed_origins = Origins::List(vec!["https://app.test".into()]);
    let gateway = Gateway::start(&setup, config).await?;
    let bystander = Bystander::arrive(&setup, &gateway).await?;
    let before = gateway.metrics().await?;
    let mut dial = Dial::new(&gateway.url(), &setup.token("user", &["chat.*"]));

    dial.origin = Some("https://evil.test".into());
    match Client::connect(&dial).await {
        Err(Error::Upgrade { status: 403, .. }) => {}
        other => panic!("{other:?}"),
    }
    let refused = "wse_handshakes_total";
    has_grown(
        &gateway,
        &before,
        refused,
        &[("outcome", "refused_origin")],
        1.0,
    )
    .await?;

    dial.origin = Some("https://app.test".into());
    Client::connect(&dial).await?.close().await;
    assert!(bystander.leave().await? > 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_frames_end_with_their_code() -> Outcome {
    const LIMIT: u64 = 64 << 10;
    let setup = Setup::new()?;
    let mut config = setup.config("a");
    config.limits.message_bytes = 64 << 10;
    let gateway = Gateway::start(&setup, config).await?;
    let bystander = Bystander::arrive(&setup, &gateway).await?;
    let token = setup.token("rude", &["chat.*"]);
    let long = vec![b' '; 40 << 10];
    let cases: [(&str, u16, Vec<u8>); 9] = [
        ("a reserved opcode", 1002, raw::frame(FIN | 0x3, b"")),
        ("a reserved bit", 1002, raw::frame(FIN | 0x40 | TEXT, b"{}")),
        ("a fragmented ping", 1002, raw::frame(PING, b"")),
        (
            "a continuation of nothing",
            1002,
            raw::frame(FIN | CONTINUATION, b""),
        ),
        ("an unmasked frame", 1002, raw::unmasked(FIN | TEXT, b"{}")),
        (
            "a frame above the limit",
            1009,
            [raw::header(FIN | BINARY, 0x80, LIMIT + 1), vec![0; 4]].concat(),
        ),
        (
            "a message above the limit",
            1009,
            [raw::frame(BINARY, &long), raw::frame(CONTINUATION, &long)].concat(),
        ),
        (
            "a text that is not UTF-8",
            1007,
            raw::frame(FIN | TEXT, b"{\"t\":\"\xff\"}"),
        ),
        (
            "a text cut inside a character",
            1007,
            [
                raw::frame(TEXT, b"\xc3"),
                raw::frame(FIN | CONTINUATION, b"\x28"),
            ]
            .concat(),
        ),
    ];
    for (what, code, bytes) in cases {
        let before = gateway.metrics().await?;
        let mut raw = Raw::open(&gateway, &token).await?;
        raw.send(&bytes).await?;
        assert_eq!(raw.close_code().await?, Some(code), "{what}");
        let code = code.to_string();
        has_grown(
            &gateway,
            &before,
            "wse_sessions_closed_total",
            &[("code", &code)],
            1.0,
        )
        .await?;
    }
    assert!(bystander.leave().await? > 0);
    Ok(())
}

/// 1,000 clients want the gateway to hold 1 MiB each of a message that they never finish.
#[tokio::test(flavor = "multi_thread")]
async fn unfinished_messages_have_a_budget() -> Outcome {
    const CLIENTS: usize = 1_000;
    const FRAGMENT: usize = 16 << 10;
    const FRAGMENTS: usize = (1 << 20) / FRAGMENT;
    const BUDGET: u64 = 32 << 20;
    let _machine = alone().await;
    let setup = Setup::new()?;
    let mut config = setup.config("a");
    config.limits.message_bytes = 2 << 20;
    config.limits.bytes_per_second = 0;
    config.limits.partial_bytes = BUDGET;
    let reactors = u64::from(config.reactors);
    let gateway = Gateway::start(&setup, config).await?;
    let bystander = Bystander::arrive(&setup, &gateway).await?;
    let token = setup.token("dribbler", &["chat.*"]);
    let before = gateway.metrics().await?;

    let mut clients = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        clients.push(Raw::open(&gateway, &token).await?);
    }
    let idle_bytes = gateway.peak_memory_bytes()?;
    let mut closed = Vec::new();
    for round in 0..FRAGMENTS {
        let opcode = if round == 0 { BINARY } else { CONTINUATION };
        let fragment = raw::frame(opcode, &[b'x'; FRAGMENT]);
        clients = dribble(clients, &fragment, &mut closed).await;
    }
    // What is on its way is read after all was sent: then those that are left are within the budget.
    let most = usize::try_from(reactors * BUDGET).unwrap_or(usize::MAX) / (FRAGMENT * FRAGMENTS);
    for _ in 0..600 {
        if clients.len() <= most {
            break;
        }
        sleep(Duration::from_millis(100)).await;
        clients = dribble(clients, &[], &mut closed).await;
    }
    let grown_bytes = gateway.peak_memory_bytes()?.saturating_sub(idle_bytes);
    let held = clients.len();
    let too_big = closed.iter().filter(|&&code| code == 1009).count();
    println!(
        "{held} of {CLIENTS} held, {too_big} closed with 1009, memory grew by {} MiB for {} MiB sent",
        grown_bytes >> 20,
        (CLIENTS * FRAGMENT * FRAGMENTS) >> 20,
    );

    assert!(held <= most, "{held} messages of 1 MiB are held");
    // A client that went on sending may see the reset of its connection before the Close frame.
    assert!(too_big > 0, "{closed:?}");
    assert!(
        closed.iter().all(|code| [1009, 1006].contains(code)),
        "{closed:?}"
    );
    // Twice the budget for allocation in steps, and some for the sessions that come and go.
    assert!(
        grown_bytes < 2 * reactors * BUDGET + (64 << 20),
        "{grown_bytes}"
    );
    let nines = [("code", "1009")];
    has_grown(
        &gateway,
        &before,
        "wse_sessions_closed_total",
        &nines,
        too_big as f64,
    )
    .await?;
    assert!(bystander.leave().await? > 0);
    Ok(())
}

/// Sends each client's next bytes; returns those that are not closed, and appends the others' codes.
async fn dribble(clients: Vec<Raw>, bytes: &[u8], closed: &mut Vec<u16>) -> Vec<Raw> {
    let mut left = Vec::with_capacity(clients.len());
    for mut client in clients {
        // A connection that has ended refuses them; how it ended is read behind.
        let _ = client.send(bytes).await;
        match client.has_ended() {
            Some(code) => closed.push(code),
            None => left.push(client),
        }
    }
    left
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_handshake_is_dropped() -> Outcome {
    let setup = Setup::new()?;
    let mut config = setup.config("a");
    config.limits.handshake_timeout_millis = 500;
    let gateway = Gateway::start(&setup, config).await?;
    let bystander = Bystander::arrive(&setup, &gateway).await?;
    let before = gateway.metrics().await?;

    let mut clients = JoinSet::new();
    let began = Instant::now();
    for head in ["", "GET /wse HTTP/1.1\r\nHost: a\r\n"] {
        let address = gateway.config().listen.public;
        clients.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(head.as_bytes()).await?;
            // It may be told 408; then the connection ends.
            let mut answer = Vec::new();
            match timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await {
                Ok(_) => Ok(String::from_utf8_lossy(&answer).into_owned()),
                Err(_) => Err(std::io::Error::other("it was kept for a minute")),
            }
        });
    }
    for dropped in clients.join_all().await {
        let answer = dropped.map_err(|error| Error::Lost(error.to_string()))?;
        assert!(!answer.starts_with("HTTP/1.1 101"), "{answer}");
    }
    assert!(began.elapsed() >= Duration::from_millis(500));
    let timeouts = [("outcome", "timeout")];
    has_grown(&gateway, &before, "wse_handshakes_total", &timeouts, 2.0).await?;
    assert!(bystander.leave().await? > 0);
    Ok(())
}
