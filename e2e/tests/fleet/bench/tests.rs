//! The tests that run without a command, against gateways that do what the test knows.

use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::sleep;
use wse_e2e::Error;
use wse_e2e::fleet::config::Tls;
use wse_e2e::fleet::{Gateway, Setup};
use wse_e2e::ports;
use wse_e2e::redis::{Keeps, Redis};

use super::meddler::Meddler;
use super::{Ended, command, ended, unlimited};
use crate::{Outcome, alone, growth, has_grown};

const NO_BACKEND: [(&str, &str); 1] = [("outcome", "no_backend")];

/// `--test NAME` against a gateway.
fn test(setup: &Setup, gateway: &Gateway, names: &str, tiers: &str, seconds: &str) -> Command {
    let mut command = command(setup);
    command.args(["--output", "json"]);
    let port = gateway.config().listen.public.port().to_string();
    command.args(["--port", &port, "--test", names]);
    command.args(["--tiers", tiers, "--duration", seconds]);
    command
}

fn with_api<'a>(command: &'a mut Command, gateway: &Gateway) -> &'a mut Command {
    let listen = &gateway.config().listen;
    command
        .args(["--api", &format!("http://{}", listen.api)])
        .args(["--metrics", &format!("http://{}/metrics", listen.admin)])
}

/// The rounds of a run that went well.
fn rounds(ended: &Ended) -> Result<Vec<Value>, Error> {
    let report = ended.report()?;
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(report["schema"], "wse-bench/1");
    let rounds = report["rounds"].as_array().cloned();
    Ok(rounds.expect("rounds are a list"))
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_all_clients_do_the_same() -> Outcome {
    let _machine = alone().await;
    let setup = Setup::new()?;
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let ca = setup.file("tls.crt", &cert.pem())?;
    let mut config = unlimited(&setup, "a");
    config.listen.tls = Some(Tls {
        certificate_file: ca.clone(),
        key_file: setup.file("tls.key", &signing_key.serialize_pem())?,
    });
    let gateway = Gateway::start(&setup, config).await?;
    let names = "connection-storm,ping-latency,throughput,fanout-broadcast";
    let mut run = test(&setup, &gateway, names, "10", "1");
    with_api(&mut run, &gateway).args(["--host", "localhost"]);
    let refused = ended(&mut run).await?;
    assert_eq!(refused.status.code(), Some(1), "it does not speak TLS");
    run.arg("--tls");
    let unknown = ended(&mut run).await?;
    assert!(unknown.stderr.contains("certificate"), "{}", unknown.stderr);
    let all = rounds(&ended(run.arg("--ca").arg(&ca)).await?)?;
    for round in &all {
        println!("{round}");
        assert_eq!((&round["opened"], &round["held"]), (&10.into(), &10.into()));
    }
    assert!(all[2]["read"].as_u64() > Some(0));
    assert!(all[3]["delivered"].as_u64() > Some(0));
    assert_eq!(all[3]["missing"], 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_counts_is_what_the_gateway_counts() -> Outcome {
    const CLIENTS: u64 = 20;
    let _machine = alone().await;
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, unlimited(&setup, "a")).await?;
    let before = gateway.metrics().await?;
    let names = "connection-storm,ping-latency,throughput,fanout-broadcast,reconnect-storm,subscription-churn";
    let mut run = test(&setup, &gateway, names, "20", "2");
    let all = rounds(&ended(with_api(&mut run, &gateway)).await?)?;
    let named: Vec<&str> = all.iter().filter_map(|it| it["test"].as_str()).collect();
    assert_eq!(named.join(","), names);
    for round in &all {
        println!("{round}");
        assert_eq!(round["opened"], CLIENTS);
        assert_eq!(round["held"], CLIENTS);
        assert_eq!(round["failures"], serde_json::json!({}));
    }
    let [storm, ping, flood, fan, back, churn] = all.as_slice() else {
        panic!("{named:?}");
    };
    let is_told = |round: &Value| round["limited_by_generator"] == false;
    for (round, count) in [
        (storm, CLIENTS),
        (back, CLIENTS),
        (ping, 50 * CLIENTS),
        (churn, 50 * CLIENTS),
    ] {
        let told = &round["latency"]["count"];
        assert_eq!(
            told,
            &if is_told(round) {
                count.into()
            } else {
                Value::Null
            }
        );
    }
    assert_eq!(
        (&ping["unanswered"], &churn["unanswered"]),
        (&0.into(), &0.into())
    );

    let read = flood["read"].as_u64().expect("messages that were read");
    assert!(read > 0);
    assert_eq!(flood["sent"], read);
    let inbound = "wse_inbound_messages_total";
    has_grown(&gateway, &before, inbound, &NO_BACKEND, read as f64).await?;
    assert_eq!(
        growth(&gateway, &before, inbound, &NO_BACKEND).await?,
        read as f64
    );
    let said = flood["server"].as_array().expect("the metrics were named");
    let said = said.iter().find(|it| it["label"] == "no_backend");
    assert_eq!(said.map(|it| &it["count"]), Some(&read.into()));

    let delivered = fan["delivered"].as_u64().expect("deliveries");
    assert_eq!(delivered, fan["published"].as_u64().unwrap_or(0) * CLIENTS);
    assert_eq!((&fan["missing"], &fan["repeated"]), (&0.into(), &0.into()));
    let deliveries = growth(&gateway, &before, "wse_deliveries_total", &[]).await?;
    assert_eq!(deliveries, delivered as f64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_over_two_gateways_reaches_the_clients_of_both() -> Outcome {
    let _machine = alone().await;
    let redis = Redis::start(Keeps::Nothing).await?;
    let setup = Setup::over_redis(&redis.url())?;
    let a = Gateway::start(&setup, setup.config("a")).await?;
    let b = Gateway::start(&setup, setup.config("b")).await?;
    let (before_a, before_b) = (a.metrics().await?, b.metrics().await?);
    let mut run = test(&setup, &a, "fanout-cluster", "21", "1");
    run.args(["--port2", &b.config().listen.public.port().to_string()]);
    run.args(["--messages-per-second", "100"]);
    let all = rounds(&ended(with_api(&mut run, &a)).await?)?;
    let round = &all[0];
    println!("{round}");
    let (published, delivered) = (&round["published"], &round["delivered"]);
    assert_eq!(published, 100);
    assert_eq!(delivered, 2_100);
    let at = |gateway, before| growth(gateway, before, "wse_deliveries_total", &[]);
    let (of_a, of_b) = (at(&a, &before_a).await?, at(&b, &before_b).await?);
    // The first and every second client is on the first gateway.
    assert_eq!((of_a, of_b), (1_100.0, 1_000.0));
    Ok(())
}

/// Two fifths of every second the gateway is stopped. A client that waits for an answer before it asks
/// again would ask once in that time, and nine of ten of its answers would be quick.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_stalls_shows_in_the_percentiles() -> Outcome {
    let _machine = alone().await;
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, setup.config("a")).await?;
    let mut run = test(&setup, &gateway, "ping-latency", "10", "2");
    let stalling = async {
        loop {
            gateway.signal(Signal::STOP);
            sleep(Duration::from_millis(400)).await;
            gateway.signal(Signal::CONT);
            sleep(Duration::from_millis(600)).await;
        }
    };
    let ended = tokio::select! {
        ended = ended(&mut run) => ended?,
        () = stalling => unreachable!("it has no end"),
    };
    gateway.signal(Signal::CONT);
    let all = rounds(&ended)?;
    println!("{}", all[0]);
    assert_eq!(all[0]["latency"]["count"], 500);
    let p90 = all[0]["latency"]["p90_us"].as_u64();
    assert!(p90 > Some(100_000), "{p90:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_lost_or_come_twice_are_told() -> Outcome {
    let _machine = alone().await;
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, setup.config("a")).await?;
    let meddler = Meddler::stand_before(gateway.config().listen.public).await?;
    let mut run = command(&setup);
    run.args(["--output", "json"]);
    run.args([
        "--port",
        &meddler.port.to_string(),
        "--test",
        "fanout-broadcast",
    ]);
    run.args([
        "--tiers",
        "10",
        "--duration",
        "1",
        "--messages-per-second",
        "100",
    ]);
    let all = rounds(&ended(with_api(&mut run, &gateway)).await?)?;
    let round = &all[0];
    println!("{round}");
    let (lost, repeated) = (meddler.lost(), meddler.repeated());
    assert_eq!((lost, repeated), (100, 100));
    assert_eq!(round["missing"], lost);
    assert_eq!(round["repeated"], repeated);
    assert_eq!(round["expected"], 1_000);
    assert_eq!(round["delivered"], 1_000 - lost + repeated);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stays_is_counted_at_the_end() -> Outcome {
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, setup.config("a")).await?;
    let all = rounds(&ended(&mut test(&setup, &gateway, "sustained-hold", "20", "1")).await?)?;
    println!("{}", all[0]);
    assert_eq!(
        (&all[0]["opened"], &all[0]["held"]),
        (&20.into(), &20.into())
    );
    // A ping every 5 of 30 seconds; the last may not be answered yet.
    assert!(
        all[0]["latency"]["count"].as_u64() >= Some(5 * 20),
        "{}",
        all[0]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_full_has_a_limit() -> Outcome {
    const ROOM: u64 = 40;
    let _machine = alone().await;
    let setup = Setup::new()?;
    let mut config = setup.config("a");
    config.limits.connections = ROOM as u32;
    let gateway = Gateway::start(&setup, config).await?;
    let mut run = test(&setup, &gateway, "connection-limit", "10", "1");
    let all = rounds(&ended(&mut run).await?)?;
    let last = all.last().expect("at least one try");
    println!("{last}");
    let stable = last["limit"]["stable"].as_u64().expect("a limit");
    assert!((1..=ROOM).contains(&stable), "{last}");
    assert!(last["limit"]["failing"].as_u64() > Some(stable), "{last}");
    let refused = |round: &Value| round["failures"].to_string().contains("HTTP 503");
    assert!(all.iter().any(refused), "{all:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_gives_the_report_so_far() -> Outcome {
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, setup.config("a")).await?;
    let before = gateway.metrics().await?;
    // An hour.
    let mut run = test(
        &setup,
        &gateway,
        "ping-latency,connection-storm",
        "10",
        "3600",
    );
    let run = run
        .spawn()
        .map_err(|error| Error::Process(format!("wse-bench: {error}")))?;
    let pid = run.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    // The hello of each, and at least one ping.
    let handled = [("outcome", "handled")];
    has_grown(
        &gateway,
        &before,
        "wse_inbound_messages_total",
        &handled,
        12.0,
    )
    .await?;
    kill_process(pid.expect("it has not been waited for"), Signal::INT).expect("it runs");
    let output = run.wait_with_output().await;
    let output = output.map_err(|error| Error::Process(format!("wse-bench: {error}")))?;
    let report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| Error::Protocol(format!("{error}")))?;
    println!("{report}");
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(report["interrupted"], true);
    let rounds = report["rounds"].as_array().expect("rounds are a list");
    assert_eq!(rounds.len(), 1);
    assert_eq!(rounds[0]["opened"], 10);
    assert!(rounds[0]["latency"]["count"].as_u64() > Some(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exit_code_says_what_happened() -> Outcome {
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, setup.config("a")).await?;
    let foreign = setup.claims("bench", &[]).sign(&[b'x'; 32]);
    let port = gateway.config().listen.public.port();
    let (here, nobody) = (port.to_string(), ports::free().to_string());
    let api = format!("http://{}", gateway.config().listen.api);
    let fan = [
        "--test",
        "fanout-broadcast",
        "--api",
        &api,
        "--api-key",
        "foreign",
    ];
    let cases: [(&[&str], i32, &str); 10] = [
        (
            &["--fail-if", "ping-latency.p50>60s", "--fail-if", "failed>0"],
            0,
            "",
        ),
        (
            &["--fail-if", "p99.9>=1us"],
            3,
            "ping-latency with 5 connections",
        ),
        (
            &["--fail-if", "throughput.rate<1"],
            3,
            "no such figure was told",
        ),
        (
            &["--fail-if", "p98>1ms"],
            2,
            "no figure and no test is called",
        ),
        (&["--test", "ping-pong"], 2, "ping-latency"),
        (&["--token", &foreign], 1, "AUTH_FAILED"),
        (&["--port", &nobody], 1, "cannot connect to 127.0.0.1:"),
        (
            &["--metrics", "http://127.0.0.1:1/metrics"],
            1,
            "no metrics",
        ),
        (&["--test", "fanout-cluster"], 1, "--port2"),
        (&fan, 1, "401"),
    ];
    for (arguments, code, said) in cases {
        let mut run = command(&setup);
        run.args(["--tiers", "5", "--duration", "1", "--output", "json"]);
        for (option, value) in [("--test", "ping-latency"), ("--port", here.as_str())] {
            if !arguments.contains(&option) {
                run.args([option, value]);
            }
        }
        run.args(arguments);
        let ended = ended(&mut run).await?;
        assert_eq!(
            ended.status.code(),
            Some(code),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert!(
            ended.stderr.contains(said),
            "{arguments:?}: {}",
            ended.stderr
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_all_in_it_and_a_table_is_a_table() -> Outcome {
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, setup.config("a")).await?;
    let print = async |form: &str| {
        let mut run = command(&setup);
        let port = gateway.config().listen.public.port().to_string();
        run.args(["--port", &port, "--output", form]);
        run.args([
            "--test",
            "ping-latency",
            "--tiers",
            "5,10",
            "--duration",
            "1",
        ]);
        let ended = ended(&mut run).await?;
        assert!(ended.status.success(), "{}", ended.stderr);
        Ok::<_, Error>(String::from_utf8_lossy(&ended.stdout).into_owned())
    };
    let page = print("html").await?;
    assert!(
        page.contains("<svg") && page.ends_with("</html>\n"),
        "{page}"
    );
    for outside in ["href=", "src=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside} in {page}");
    }
    let table = print("markdown").await?;
    let rows = table.lines().filter(|line| line.starts_with('|'));
    assert_eq!(rows.count(), 4, "{table}");
    let text = print("text").await?;
    assert!(
        !text.contains('\x1b'),
        "colour, and it is no terminal: {text}"
    );
    Ok(())
}
