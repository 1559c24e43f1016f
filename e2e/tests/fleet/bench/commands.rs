//! Single steps of the load generator, for scripts.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::ChildStdout;
use tokio::sync::watch;
use tokio::task::JoinSet;
use wse_e2e::Error;
use wse_e2e::fleet::{Gateway, Setup};
use wse_e2e::ports;

use super::command;
use crate::{Outcome, alone, until};

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
    let report = bench(
        &setup,
        &[
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
        ],
    )
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
        match bench(&setup, arguments).await? {
            Err(said) => assert!(said.contains(expected), "{arguments:?}: {said}"),
            Ok(report) => panic!("{arguments:?} succeeded: {report}"),
        }
    }
    Ok(())
}

/// Gateway A drains behind an address that leads to B from then on, as a Service does.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_come_back_are_followed() -> Outcome {
    const CLIENTS: u64 = 100;
    let _machine = alone().await;
    let setup = Setup::new()?;
    let mut config = setup.config("a");
    config.drain.window_seconds = 3;
    let a = Gateway::start(&setup, config).await?;
    let b = Gateway::start(&setup, setup.config("b")).await?;
    let (leads, lead) = watch::channel(a.config().listen.public);
    let service = service(lead).await?;

    let mut bench = command(&setup)
        .args(["--output", "json", "hold", "--reconnect", "--topic", "chat"])
        .args(["--seconds", "600", "--connections", &CLIENTS.to_string()])
        .args(["--port", &service.port.to_string()])
        .spawn()
        .map_err(|error| Error::Process(format!("wse-bench: {error}")))?;
    let pid = bench.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    let pid = pid.expect("it has not been waited for");
    let stdout = bench.stdout.take().expect("stdout is piped");
    let mut lines = BufReader::new(stdout).lines();
    assert_eq!(
        said(&mut lines).await?,
        json!({ "event": "holding", "connections": CLIENTS })
    );

    for number in [0, 1, 3, 3] {
        let message = json!({ "t": "bench", "p": { "seq": number, "ts_us": 1 } });
        a.api().publish("chat", &message, None).await?;
    }
    leads.send_replace(b.config().listen.public);
    assert_eq!(a.drain().await?.status, 200);
    until("every client to be on the other gateway", async || {
        Ok(b.load().await?["connections"] == CLIENTS)
    })
    .await?;
    kill_process(pid, Signal::TERM).expect("it runs until it is told to end");
    let report = said(&mut lines).await?;
    let status = bench.wait().await.expect("it has not been waited for");
    println!("{report}");
    assert!(status.success(), "{status}");

    let (connections, moves) = (&report["connections"], &report["moves"]);
    assert_eq!(connections["opened"], CLIENTS);
    assert_eq!(connections["held"], CLIENTS);
    assert_eq!(moves["connections"], json!({ "1": CLIENTS }));
    assert_eq!(moves["closes"], json!({ "4300": CLIENTS }));
    assert_eq!(moves["nodes"], json!({ "b": CLIENTS }));
    assert_eq!(moves["missing"], CLIENTS);
    assert_eq!(moves["repeated"], CLIENTS);
    assert_eq!(report["delivered"]["messages"], 4 * CLIENTS);
    let tenths = moves["tenths"].as_object().expect("tenths of a second");
    assert!(tenths.len() > 1, "{tenths:?}");
    assert_eq!(
        tenths.values().filter_map(Value::as_u64).sum::<u64>(),
        CLIENTS
    );
    assert!(moves["first_seconds"].as_f64() < moves["last_seconds"].as_f64());
    Ok(())
}

/// One address for many gateways.
struct Service {
    port: u16,
    _forwarding: JoinSet<()>,
}

/// Forwards each new connection to where `lead` leads at that moment.
async fn service(lead: watch::Receiver<std::net::SocketAddr>) -> Result<Service, Error> {
    let failed = |error| Error::Process(format!("the service: {error}"));
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let mut forwarding = JoinSet::new();
    forwarding.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut client, _)) = listener.accept().await {
            let to = *lead.borrow();
            connections.spawn(async move {
                let mut gateway = TcpStream::connect(to).await?;
                copy_bidirectional(&mut client, &mut gateway).await
            });
        }
    });
    Ok(Service {
        port,
        _forwarding: forwarding,
    })
}

async fn said(lines: &mut Lines<BufReader<ChildStdout>>) -> Result<Value, Error> {
    let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
    let line = line.map_err(|_| Error::Timeout("a line of wse-bench".into()))?;
    let line = line.ok().flatten().unwrap_or_default();
    serde_json::from_str(&line).map_err(|error| Error::Protocol(format!("{error} in {line:?}")))
}

/// Runs it: its report, or what it said when it failed.
async fn bench(setup: &Setup, arguments: &[&str]) -> Result<Result<Value, String>, Error> {
    let ended = super::ended(command(setup).args(["--output", "json"]).args(arguments)).await?;
    match ended.status.success() {
        true => ended.report().map(Ok),
        false => Ok(Err(ended.stderr)),
    }
}
