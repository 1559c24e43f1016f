//! The gateway beside other servers.

use serde_json::Value;
use wse_e2e::Error;
use wse_e2e::fleet::{Scratch, Setup};

use super::{command, ended};
use crate::{Outcome, alone};

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_there_is_left_out_by_its_name() -> Outcome {
    let _machine = alone().await;
    let (setup, cache) = (Setup::new()?, Scratch::new("peers")?);
    let ended = ended(
        command(&setup)
            .args(["peers", "--output", "json", "--rounds", "1"])
            .args(["--duration", "1", "--connections", "5", "--size", "100"])
            .args(["--idle-connections", "20", "--messages-per-second", "50"])
            .env("WSE_BENCH_CACHE", cache.path())
            .env("HOME", cache.path())
            .env("PATH", cache.path()),
    )
    .await?;
    let report = ended.report()?;
    println!("{report:#}\n{}", ended.stderr);
    assert!(ended.status.success());
    let skipped = report["skipped"].as_object();
    let skipped: Vec<&String> = skipped.into_iter().flat_map(|it| it.keys()).collect();
    let all = [
        "centrifuge",
        "cymongoose",
        "fastwebsockets",
        "tokio-tungstenite",
        "ws",
        "wse-server",
    ];
    assert_eq!(skipped, all);
    for name in skipped {
        assert!(ended.stderr.contains(&format!("skipping {name}: ")));
    }
    assert_eq!(names(&report["servers"]), ["gateway"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_and_a_peer_do_the_same_work() -> Outcome {
    let _machine = alone().await;
    let python = std::env::var("WSE_PYTHON");
    let python =
        python.map_err(|_| Error::Process("WSE_PYTHON is not set: e2e/run test".into()))?;
    let (setup, cache) = (Setup::new()?, Scratch::new("peers")?);
    let ended = ended(
        command(&setup)
            .args(["peers", "--output", "json", "--rounds", "1"])
            .args(["--peer", "cymongoose", "--python", &python])
            .args(["--duration", "1", "--connections", "5", "--size", "100"])
            .args(["--idle-connections", "20", "--messages-per-second", "50"])
            .env("WSE_BENCH_CACHE", cache.path()),
    )
    .await?;
    let report = ended.report()?;
    println!("{report:#}\n{}", ended.stderr);
    assert!(ended.status.success());
    assert_eq!(report["schema"], "wse-peers/1");
    assert_eq!(names(&report["servers"]), ["gateway", "cymongoose"]);
    let work = report["work"].as_array().map_or(&[][..], Vec::as_slice);
    let pieces: Vec<&Value> = work.iter().map(|it| &it["piece"]).collect();
    assert_eq!(pieces, ["messages", "fan-out", "latency", "idle"]);
    for compared in work {
        assert_eq!(names(&compared["servers"]), ["gateway", "cymongoose"]);
        for server in compared["servers"].as_array().into_iter().flatten() {
            let is_idle = compared["piece"] == "idle";
            assert_eq!(server["rounds"].as_array().map(Vec::len), Some(1));
            assert_eq!(server["missing"], 0, "{server}");
            assert_eq!(server["failures"], serde_json::json!({}), "{server}");
            let figure = if is_idle { "memory_bytes" } else { "cpu_us" };
            assert!(server[figure].is_number(), "{server}");
        }
    }
    // 50 a second for a second, to five, on time.
    let latency = &work[2]["servers"][1];
    assert!(latency["p50_us"].as_f64().is_some(), "{latency}");
    Ok(())
}

#[tokio::test]
async fn a_peer_that_nobody_knows_is_an_error_in_words() -> Outcome {
    let setup = Setup::new()?;
    let ended = ended(command(&setup).args(["peers", "--peer", "nginx"])).await?;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("no peer nginx"), "{}", ended.stderr);
    Ok(())
}

fn names(servers: &Value) -> Vec<&str> {
    let servers = servers.as_array().into_iter().flatten();
    servers.filter_map(|it| it["name"].as_str()).collect()
}
