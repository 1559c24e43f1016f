//! The load generator says what is true.

use serde_json::Value;
use tokio::process::Command;
use wse_e2e::Error;
use wse_e2e::fleet::{Gateway, Setup};
use wse_e2e::ports;

use crate::{Outcome, alone};

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_s_subscribers_are_counted() -> Outcome {
    let _machine = alone().await;
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, setup.config("a")).await?;
    let listen = gateway.config().listen.clone();
    let (token, api) = (
        setup.token("bench", &["bench.*"]),
        format!("http://{}", listen.api),
    );
    let port = listen.public.port().to_string();
    let report = bench(&[
        "publish",
        "--port",
        &port,
        "--token",
        &token,
        "--api",
        &api,
        "--api-key",
        setup.api_key(),
        "--connections",
        "60",
        "--workers",
        "3",
        "--topic",
        "bench.a",
        "--topic",
        "bench.b",
        "--messages",
        "200",
        "--messages-per-second",
        "200",
        "--ping-seconds",
        "1",
    ])
    .await?
    .map_err(Error::Process)?;
    println!("{report}");
    let (connections, delivered) = (&report["connections"], &report["delivered"]);
    assert_eq!(connections["opened"], 60);
    assert_eq!(connections["held"], 60);
    assert_eq!(connections["handshake"]["count"], 60);
    assert_eq!(report["published"]["accepted"], 200);
    assert_eq!(report["published"]["call"]["count"], 200);
    assert_eq!(delivered["expected"], 200 * 60);
    assert_eq!(delivered["messages"], 200 * 60);
    assert_eq!(delivered["latency"]["count"], 200 * 60);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_cannot_be_is_an_error_in_words() -> Outcome {
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, setup.config("a")).await?;
    let port = gateway.config().listen.public.port().to_string();
    let nobody = ports::free().to_string();
    let foreign = setup.claims("bench", &[]).sign(&[b'x'; 32]);
    let token = setup.token("bench", &["bench.*"]);
    let cases: [(&[&str], &str); 3] = [
        (
            &["connect", "--port", &port, "--token", &foreign],
            "AUTH_FAILED",
        ),
        (
            &["connect", "--port", &nobody, "--token", &token],
            "cannot connect to 127.0.0.1:",
        ),
        (
            &[
                "hold", "--port", &port, "--token", &token, "--topic", "other",
            ],
            "not allowed to subscribe",
        ),
    ];
    for (arguments, expected) in cases {
        match bench(arguments).await? {
            Err(said) => assert!(said.contains(expected), "{arguments:?}: {said}"),
            Ok(report) => panic!("{arguments:?} succeeded: {report}"),
        }
    }
    Ok(())
}

/// Runs it: its report, or what it said when it failed.
async fn bench(arguments: &[&str]) -> Result<Result<Value, String>, Error> {
    let run = Command::new(env!("CARGO_BIN_EXE_wse-bench"))
        .args(["--output", "json"])
        .args(arguments)
        .kill_on_drop(true)
        .output();
    let output = run
        .await
        .map_err(|error| Error::Process(format!("wse-bench: {error}")))?;
    if !output.status.success() {
        return Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    serde_json::from_slice(&output.stdout)
        .map(Ok)
        .map_err(|error| Error::Protocol(format!("wse-bench: {error}")))
}
