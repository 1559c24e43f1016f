//! The stress run, against gateways that do what the test knows, and comparisons of its reports.

use serde_json::Value;
use tokio::process::Command;
use wse_e2e::Error;
use wse_e2e::fleet::{Gateway, Setup};
use wse_sidecar::config::CompressionMode;

use super::{command, ended, unlimited};
use crate::{Outcome, alone};

const DIMENSIONS: [&str; 6] = [
    "connections",
    "messages",
    "subscriptions",
    "broadcast",
    "permissions",
    "compression",
];

/// `stress --quick` against a gateway, up to so many connections.
fn stress(setup: &Setup, gateway: &Gateway, most: u32) -> Command {
    let mut command = command(setup);
    let listen = &gateway.config().listen;
    command.args(["stress", "--quick", "--max-load", &most.to_string()]);
    command.args(["--port", &listen.public.port().to_string()]);
    command.args(["--metrics", &format!("http://{}/metrics", listen.admin)]);
    command
}

/// The report of a run, whose exit code is this one.
async fn report(command: &mut Command, code: i32) -> Result<Value, Error> {
    let ended = ended(command.args(["--output", "json"])).await?;
    assert_eq!(ended.status.code(), Some(code), "{}", ended.stderr);
    let report = ended.report()?;
    assert_eq!(report["schema"], "wse-stress/1");
    Ok(report)
}

fn cells(report: &Value) -> &[Value] {
    report["cells"].as_array().expect("cells are a list")
}

/// What the gateway says, in the cell, that it has counted.
fn counted(cell: &Value, metric: &str, label: &str) -> u64 {
    let said = cell["server"].as_array().expect("the metrics were named");
    let mut said = said.iter();
    let found = said.find(|it| it["metric"] == metric && it["label"] == label);
    found.and_then(|it| it["count"].as_u64()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dimension_has_figures_and_the_gateway_counts_the_same() -> Outcome {
    let _machine = alone().await;
    let setup = Setup::new()?;
    let mut config = unlimited(&setup, "a");
    config.compression.mode = CompressionMode::Deflate;
    let gateway = Gateway::start(&setup, config).await?;
    let mut run = stress(&setup, &gateway, 100);
    run.args(["--api", &format!("http://{}", gateway.config().listen.api)]);
    let report = report(&mut run, 0).await?;
    println!("{report}");

    let cells = cells(&report);
    assert_eq!(cells.len(), 2 * DIMENSIONS.len());
    for (cells, (level, connections)) in cells
        .chunks(DIMENSIONS.len())
        .zip([("Minimal", 10), ("Light", 100)])
    {
        for (cell, dimension) in cells.iter().zip(DIMENSIONS) {
            assert_eq!(cell["level"], level);
            assert_eq!(cell["dimension"], dimension);
            assert_eq!(cell["skipped"], Value::Null);
            assert_eq!(cell["opened"], connections, "{cell}");
            assert_eq!(cell["held"], connections, "{cell}");
            let is_told = cell["limited_by_generator"] == false;
            assert_eq!(cell["rate"].as_f64() > Some(0.0), is_told, "{cell}");
            assert_eq!(cell["verdict"].is_string(), is_told, "{cell}");
            let done = cell["done"].as_u64().expect("things that were done");
            // An operation is a storm's connection only in the first dimension.
            let least = if dimension == "connections" { 1 } else { 100 };
            assert!(done >= least * connections, "{cell}");
        }
        let [_, messages, changes, broadcast, checks, deflated] = cells else {
            panic!("{cells:?}");
        };
        let of = |cell: &Value, name: &str| cell[name].as_u64().unwrap_or(0);
        let inbound = "wse_inbound_messages_total";
        for cell in [messages, deflated] {
            assert_eq!(counted(cell, inbound, "no_backend"), of(cell, "done"));
        }
        // Hellos of before, to which there is no answer, may be handled when it has begun.
        let handled = of(changes, "done") + of(changes, "pongs");
        let hellos = handled..=handled + connections;
        assert!(hellos.contains(&counted(changes, inbound, "handled")));
        // Of eight topics in a question, six are not allowed.
        let refused = counted(checks, "wse_subscriptions_refused_total", "not_permitted");
        assert_eq!(refused, of(checks, "done") / 8 * 6);
        let deliveries = counted(broadcast, "wse_deliveries_total", "");
        assert_eq!(deliveries, of(broadcast, "done"));
        assert_eq!(of(broadcast, "done"), of(broadcast, "sent"));
        for saved in ["saved_percent", "broadcast_saved_percent"] {
            assert!(deflated[saved].as_f64() > Some(30.0), "{deflated}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_met_is_named_and_the_rate_is_not_judged() -> Outcome {
    let _machine = alone().await;
    let setup = Setup::new()?;
    let mut config = setup.config("a");
    config.limits.messages_per_second = 50;
    let gateway = Gateway::start(&setup, config).await?;
    let mut run = stress(&setup, &gateway, 10);
    let report = report(run.args(["--dimension", "messages"]), 0).await?;
    println!("{report}");
    let cell = &cells(&report)[0];
    assert_eq!(cell["limited_by_server"], true);
    assert_eq!(cell["verdict"], Value::Null);
    assert!(cell["told"]["RATE_LIMITED"].as_u64() > Some(0), "{cell}");
    let advice = report["recommendations"].as_array().expect("a list");
    let settings = advice.iter().filter_map(|it| it["setting"].as_str());
    let mut settings = settings.filter(|it| it.contains("limits.messagesPerSecond"));
    assert!(settings.next().is_some(), "{advice:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_does_not_do_is_left_out_and_told() -> Outcome {
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, unlimited(&setup, "a")).await?;
    let mut run = stress(&setup, &gateway, 10);
    let report = report(run.args(["--dimension", "compression,broadcast"]), 0).await?;
    println!("{report}");
    for (cell, why) in cells(&report)
        .iter()
        .zip(["does not publish by itself", "permessage-deflate"])
    {
        let skipped = cell["skipped"].as_str().unwrap_or_default();
        assert!(skipped.contains(why), "{cell}");
        assert_eq!(cell["rate"], Value::Null);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_judged_printed_and_held_against_another() -> Outcome {
    let _machine = alone().await;
    let setup = Setup::new()?;
    let gateway = Gateway::start(&setup, unlimited(&setup, "a")).await?;
    let run = || {
        let mut run = stress(&setup, &gateway, 11);
        run.args(["--dimension", "messages"]);
        run
    };
    let mut old = report(run().args(["--fail-if", "failed>0"]), 0).await?;
    for arguments in [
        ["--fair", "messages=1000000000", "--fail-if", "poor>0"],
        ["--good", "messages=1", "--fail-if", "failed<1"],
    ] {
        let report = report(run().args(arguments), 3).await?;
        assert_eq!(report["thresholds"][0]["failed"], true, "{report}");
    }
    for (arguments, said) in [
        (["--good", "pings=3"], "no dimension is called"),
        (["--dimension", "pings"], "permissions"),
        (["--fail-if", "unanswered>3"], "no figure"),
    ] {
        let ended = ended(run().args(arguments)).await?;
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    let page = ended(run().args(["--output", "html"])).await?;
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(
        page.contains("<svg") && page.ends_with("</html>\n"),
        "{page}"
    );
    for outside in ["href=", "src=", "url(", "@import", "<script"] {
        assert!(!page.contains(outside), "{outside} in {page}");
    }

    // Whatever the generator could tell, from here on it is known.
    old["cells"][0]["rate"] = 1_000.0.into();
    let mut slower = old.clone();
    slower["cells"][0]["rate"] = 800.0.into();
    let files = [
        setup.file("old.json", &old.to_string())?,
        setup.file("slower.json", &slower.to_string())?,
        setup.file("else.json", "{}")?,
    ];
    let compare = async |a: usize, b: usize, more: &[&str]| {
        let mut run = command(&setup);
        let files = [&files[a], &files[b]];
        ended(run.arg("compare").args(files).args(more)).await
    };
    for (a, b, more, code) in [
        (0, 0, &[][..], 0),
        (0, 1, &[], 3),
        (1, 0, &[], 0),
        (0, 1, &["--worse-than", "25"], 0),
        (0, 2, &[], 1),
    ] {
        let ended = compare(a, b, more).await?;
        let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), &ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{stdout} {stderr}");
        assert_eq!(stderr.contains("names no schema"), code == 1, "{stderr}");
    }
    let told = compare(0, 1, &["--output", "json"]).await?.report()?;
    assert_eq!(told["schema"], "wse-compare/1");
    assert_eq!(told["regressions"], 1);
    assert_eq!(
        told["figures"][0]["change_percent"]
            .as_f64()
            .map(f64::round),
        Some(-20.0)
    );
    Ok(())
}
