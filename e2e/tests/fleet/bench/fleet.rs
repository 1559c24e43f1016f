//! A fleet that is looked at while its load changes.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::sleep;
use wse_e2e::Error;
use wse_e2e::fleet::{Scratch, Shown, Up};
use wse_e2e::ports;

use super::ended;
use crate::{Outcome, alone, until};

const SECRET: &str = "a-secret-of-this-test-alone-32-bytes-long";

/// From the eleventh client on the tier is Light. Pods do not spread clients, so that only a rollout
/// moves them.
const FLEET: &str = r#"
apiVersion: wse.dev/v1alpha1
kind: WseCluster
metadata: {name: crowd}
spec:
  capacity: {tier: Auto, expectedConnections: 1}
  scaling: {mode: Fixed, replicas: 2}
  drain: {windowSeconds: 1, deadlineSeconds: 10, rebalance: Never}
  backplane: {type: Redis, redis: {url: "redis://redis:6379"}}
  auth:
    keys: [{algorithm: HS256, secretKeyRef: {name: jwt, key: secret}}]
    issuers: [test]
    audiences: [test]
  api: {keys: [{secretKeyRef: {name: jwt, key: secret}}]}
  podTemplate: {metadata: {labels: {edition: first}}}
---
apiVersion: v1
kind: Secret
metadata: {name: jwt}
stringData: {secret: a-secret-of-this-test-alone-32-bytes-long}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_ramp_is_followed_up_and_down() -> Outcome {
    let _machine = alone().await;
    let up = Up::start(FLEET, &["--replicas", "2"]).await?;
    let ended = ended(bench(&up).args(["--stage", "1s:12,1s:12,1s:4,2s:4"])).await?;
    let report = ended.report()?;
    println!("{report}");
    assert!(ended.status.success(), "{}: {}", ended.status, ended.stderr);
    assert_eq!(report["schema"], "wse-fleet/1");
    assert_eq!(report["stages"], "1s:12,1s:12,1s:4,2s:4");
    let connections = &report["connections"];
    for (what, count) in [
        ("wanted", 12),
        ("opened", 12),
        ("peak", 12),
        ("left", 8),
        ("held", 4),
    ] {
        assert_eq!(connections[what], count, "{what}");
    }
    assert_eq!(connections["failures"], json!({}));
    assert_eq!(report["ready"], json!({ "start": 2, "peak": 2, "end": 2 }));
    assert_eq!(report["tiers"][0], json!([0, "Minimal"]));
    assert_eq!(report["tiers"][1][1], "Light");
    assert_eq!(report["gaps"], json!([]));
    let series = series(&report);
    let wanted: Vec<&Value> = series.iter().take(6).map(|row| &row["wanted"]).collect();
    assert_eq!(wanted, [0, 12, 12, 4, 4, 4]);
    assert_eq!(series[5]["open"], 4);
    let sessions: u64 = sessions(&series[5]).values().sum();
    assert_eq!(sessions, 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_are_replaced_are_seen_with_every_client_s_move() -> Outcome {
    const CLIENTS: u32 = 40;
    let _machine = alone().await;
    let up = Up::start(FLEET, &["--replicas", "2"]).await?;
    let first = names(&up.shown().await?);
    let mut bench = bench(&up);
    bench.args(["--stage", &format!("1s:{CLIENTS},1h:{CLIENTS}")]);
    bench.args(["--topic", "crowd", "--messages-per-second", "20"]);
    let bench = bench
        .spawn()
        .map_err(|error| Error::Process(format!("wse-bench: {error}")))?;
    let pid = bench.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    until("every client to be there", async || {
        Ok(all_sessions(&up.shown().await?) == CLIENTS)
    })
    .await?;
    up.edit(&FLEET.replace("edition: first", "edition: second"))?;
    until("every client to be on a new pod", async || {
        let shown = up.shown().await?;
        let are_new = names(&shown).is_disjoint(&first);
        Ok(are_new && all_sessions(&shown) == CLIENTS)
    })
    .await?;
    let shown = up.shown().await?;
    // It is looked at every second.
    sleep(Duration::from_secs(3)).await;
    kill_process(pid.expect("it was not waited for"), Signal::INT)
        .expect("it runs until it is ended");
    let output = bench.wait_with_output().await;
    let output = output.map_err(|error| Error::Process(format!("wse-bench: {error}")))?;
    println!("{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report so far");
    println!("{report}");
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(report["interrupted"], true);

    let moves = &report["moves"];
    let closed = moves["closes"]["4300"]
        .as_u64()
        .expect("all were asked to move");
    assert!(closed >= CLIENTS.into(), "{moves}");
    assert_eq!(moves["closes"], json!({ "4300": closed }));
    assert_eq!(moves["reconnects"], closed);
    assert_eq!(moves["failed_attempts"], 0);
    let times = moves["connections"].as_object().expect("an object");
    let times = times.iter().map(|(times, connections)| {
        (
            times.parse::<u64>().expect("a number"),
            connections.as_u64().expect("a number"),
        )
    });
    let times: Vec<(u64, u64)> = times.collect();
    assert_eq!(
        times
            .iter()
            .map(|(times, connections)| times * connections)
            .sum::<u64>(),
        closed
    );
    assert!(times.iter().all(|(times, _)| *times > 0), "{moves}");
    let delivered = &report["delivered"];
    assert!(delivered["messages"].as_u64() > Some(0));
    assert_eq!(
        (&delivered["lost"], &delivered["repeated"]),
        (&json!(0), &json!(0))
    );

    let series = series(&report);
    for what in ["asked", "reconnects"] {
        let sum: u64 = series.iter().filter_map(|row| row[what].as_u64()).sum();
        assert_eq!(sum, closed, "{what}");
    }
    let shown_sessions: BTreeMap<String, u64> = shown
        .pods
        .iter()
        .map(|pod| (pod.name.clone(), pod.sessions.unwrap_or_default().into()))
        .collect();
    assert!(
        series.iter().any(|row| sessions(row) == shown_sessions),
        "{shown_sessions:?}"
    );
    assert!(
        series
            .iter()
            .filter(|row| row["tier"].is_string())
            .all(|row| row["desired"] == 2)
    );
    let events = report["events"].as_array().expect("an array");
    let happened = |what: &str| -> BTreeSet<String> {
        let events = events.iter().filter(|event| event["what"] == what);
        events
            .filter_map(|event| event["pod"].as_str().map(str::to_owned))
            .collect()
    };
    assert_eq!(happened("appears"), names(&shown));
    assert_eq!(happened("gone"), first);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_cannot_be_looked_at_is_an_error_in_words() -> Outcome {
    let _machine = alone().await;
    let up = Up::start(FLEET, &["--replicas", "2"]).await?;
    let nobody = format!("http://127.0.0.1:{}/key/", ports::free());
    let elsewhere = format!("{}x/", up.page().url());
    let dir = Scratch::new("kubeconfig")?;
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "contexts": [{ "name": "here", "context": { "cluster": "here", "user": "me" } }],
        "clusters": [{ "name": "here", "cluster": { "server": format!("http://127.0.0.1:{}", ports::free()) } }],
        "users": [{ "name": "me", "user": {} }],
    });
    let config = dir.write("config", &config.to_string())?;
    let config = config.to_string_lossy();
    let page = up.page().url();
    let cases: [(&[&str], &str); 9] = [
        (
            &["--page", &nobody],
            "as `wse-operator up` prints it, and does that run?",
        ),
        (&["--page", &elsewhere], "answered 404"),
        (&["--page", "127.0.0.1:1"], "http://127.0.0.1:PORT/KEY/"),
        (&["--page", page, "--token", "none"], "AUTH_FAILED"),
        (
            &["--page", page, "--stage", "60:100"],
            "no TIME:CONNECTIONS",
        ),
        (
            &["--page", page, "--stage", "1ms:100"],
            "less than a second",
        ),
        (
            &["--cluster", "chat", "--kubeconfig", "/nowhere"],
            "/nowhere",
        ),
        (
            &["--cluster", "a/chat", "--kubeconfig", &config],
            "cannot read WseCluster a/chat",
        ),
        (
            &[
                "--cluster",
                "chat",
                "--kubeconfig",
                &config,
                "--context",
                "there",
            ],
            "there",
        ),
    ];
    for (arguments, expected) in cases {
        let ended = ended(command(&up).args(arguments)).await?;
        assert!(!ended.status.success(), "{arguments:?}");
        assert!(
            ended.stderr.contains(expected),
            "{arguments:?}: {}",
            ended.stderr
        );
        assert!(ended.stdout.is_empty(), "{arguments:?}");
    }
    Ok(())
}

/// A run against a fleet, by somebody who knows its secret.
fn bench(up: &Up) -> Command {
    let mut command = command(up);
    command.args(["--page", up.page().url()]);
    command
}

/// The same without the fleet's page.
fn command(up: &Up) -> Command {
    let port = up.url.split([':', '/']).nth(4).unwrap_or_default();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wse-bench"));
    command
        .args(["fleet", "--output", "json", "--port", port])
        .args(["--audience", "test", "--issuer", "test"])
        .env("WSE_BENCH_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn names(shown: &Shown) -> BTreeSet<String> {
    shown.pods.iter().map(|pod| pod.name.clone()).collect()
}

fn all_sessions(shown: &Shown) -> u32 {
    shown.pods.iter().filter_map(|pod| pod.sessions).sum()
}

fn series(report: &Value) -> &Vec<Value> {
    report["series"].as_array().expect("an array")
}

/// Of each pod in a row of the series.
fn sessions(row: &Value) -> BTreeMap<String, u64> {
    let pods = row["pods"].as_object().into_iter().flatten();
    pods.map(|(name, pod)| (name.clone(), pod["sessions"].as_u64().unwrap_or_default()))
        .collect()
}
