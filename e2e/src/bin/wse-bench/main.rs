//! Puts load on a fleet and says how long things took. Latencies are counted from the moment that a
//! fixed schedule meant a thing to happen, not from when it could, so that a gateway that stalls
//! cannot hide it (coordinated omission). Connections are spread over worker processes, because one
//! process may hold only so many files.
//!
//! `cli` is what the user says, `crew` starts the workers and gathers what they saw, `worker` is what
//! one of them does, `connection` what one connection goes through, `publish` is the backend, `latency`,
//! `moves` and `report` are the figures.

mod cli;
mod connection;
mod crew;
mod latency;
mod moves;
mod publish;
mod report;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use self::cli::{Cli, Command, Output};
use self::crew::Crew;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match cli.command {
        // A worker is one of many processes: one thread each is what the machine has.
        Command::Worker => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
    .enable_all()
    .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(cli)),
        Err(error) => Err(format!("cannot start: {error}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wse-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<(), String> {
    let report = match cli.command {
        Command::Connect(load) => Crew::open(&cli.target, &load).await?.finish(0).await?,
        Command::Hold {
            load,
            seconds,
            reconnect,
        } => {
            // From here on, because as the first process of a container it cannot be ended otherwise.
            let mut told = signal(SignalKind::terminate())
                .map_err(|error| format!("cannot listen to SIGTERM: {error}"))?;
            let mut crew = tokio::select! {
                crew = Crew::start(&cli.target, &load, reconnect) => crew?,
                _ = told.recv() => return Err("ended by SIGTERM before the first connection".into()),
            };
            tokio::select! {
                held = hold(&mut crew, Duration::from_secs(seconds), cli.output) => held?,
                _ = told.recv() => {}
            }
            crew.finish(0).await?
        }
        Command::Publish {
            load,
            api,
            api_key,
            messages,
        } => {
            let names = publish::names(&load.topics)?;
            let crew = Crew::open(&cli.target, &load).await?;
            let api = wse_e2e::api::Api::new(&api, &api_key);
            let sent = match publish::run(&api, names, &messages).await {
                Ok(sent) => sent,
                Err(error) => {
                    crew.dismiss().await;
                    return Err(error);
                }
            };
            let mut report = crew.finish(sent.accepted).await?;
            report.published = Some(sent);
            report
        }
        Command::Worker => return worker::run().await,
    };
    match cli.output {
        Output::Json => println!("{}", report.json()?),
        Output::Text => print!("{report}"),
    }
    Ok(())
}

/// Says when all are open, and keeps them for so long.
async fn hold(crew: &mut Crew, time: Duration, output: Output) -> Result<(), String> {
    let connections = crew.opened().await?;
    match output {
        Output::Json => println!(
            "{}",
            json!({ "event": "holding", "connections": connections })
        ),
        Output::Text => println!("holding    {connections}"),
    }
    sleep(time).await;
    Ok(())
}
