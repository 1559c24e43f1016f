//! A benchmark for any server that speaks WSE's protocol: users run it before they believe anybody's
//! figures, ours too. Latencies count from the moment that a fixed schedule meant a thing to happen, not
//! from when it could, so that a server that stalls cannot hide it (coordinated omission). What arrives is
//! counted where it arrives; what a server did with a message is said by the server, or is said not to be
//! known. When the generator itself was the limit, it says so and tells no figure.
//!
//! `suite` is the tests, which run when there is no command; the commands below are single steps of them
//! for scripts. `crew` starts worker processes, because one may hold only so many files, and gathers what
//! they saw; `worker` is what one of them does; `connection` is what one ordinary connection goes through
//! (tokio-tungstenite: no code of ours judges ours), while rates come from [`wse_e2e::raw`], where a message
//! costs next to nothing. `round` conducts a crew from its first connection to its last. `latency`, `moves`,
//! `numbers`, `processor` and `report` are the figures, `threshold` is what they may not be, `server` what the
//! server itself says it did; `output` lays out what is printed, `progress` is for who waits, `interrupt` for who does not.
//! `stress` loads a server level by level, with the same crews; `fleet` looks at what a fleet is while its
//! load changes, as a `ramp` has it; `peers` loads servers on other libraries; `compare` reads two reports of
//! the tests or of `stress`.
//!
//! Why it is so: `docs/decisions/0007-wse-bench.md`.

mod cli;
mod compare;
mod connection;
mod crew;
mod fleet;
mod interrupt;
mod latency;
mod moves;
mod numbers;
mod output;
mod peers;
mod processor;
mod progress;
mod publish;
mod ramp;
mod report;
mod round;
mod server;
mod stress;
mod suite;
mod target;
mod threshold;
mod worker;

use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches};
use serde_json::json;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use self::cli::{Cli, Command, Load, Output};
use self::crew::{Crew, knock};
use self::report::Report;
use self::target::Target;

fn main() -> ExitCode {
    let cli = parse();
    let done = match cli.command {
        // One thread each is what the machine has for many processes.
        Some(Command::Worker) => worker::run().map(|()| ExitCode::SUCCESS),
        // The same thread starts all that has a processor of its own.
        Some(Command::Peers(arguments)) => block_on(
            &mut Builder::new_current_thread(),
            peers::run(&arguments, cli.output),
        ),
        _ => block_on(&mut Builder::new_multi_thread(), run(cli)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("wse-bench: {error}");
        ExitCode::FAILURE
    })
}

fn block_on<T>(
    runtime: &mut Builder,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(work)
}

/// What the user says; what is of the tests only is refused with a command.
fn parse() -> Cli {
    let mut command = Cli::command();
    let matches = command.get_matches_mut();
    let of_tests = suite::Arguments::augment_args(clap::Command::new("tests"));
    let mut of_tests = of_tests.get_arguments().map(clap::Arg::get_id);
    let is_said =
        |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    if let (Some(name), Some(id)) = (matches.subcommand_name(), of_tests.find(is_said)) {
        let option = id.as_str().replace('_', "-");
        let why = format!(
            "--{option} before `{name}` is an option of the tests, which run without a command"
        );
        command.error(ErrorKind::ArgumentConflict, why).exit();
    }
    Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

async fn run(cli: Cli) -> Result<ExitCode, String> {
    let Some(command) = &cli.command else {
        return suite::run(&cli.target, &cli.tests, cli.output).await;
    };
    match command {
        Command::Compare(arguments) => return compare::run(arguments, cli.output),
        Command::Fleet(arguments) => return fleet::run(&cli.target, arguments, cli.output).await,
        Command::Stress(arguments) => {
            return stress::run(&cli.target, arguments, cli.output).await;
        }
        _ => {}
    }
    if matches!(cli.output, Output::Html | Output::Markdown) {
        return Err("a command's figures are printed as text or json".into());
    }
    let report = match command {
        Command::Connect(load) => open(&cli.target, load).await?.finish(0).await?,
        Command::Hold {
            load,
            seconds,
            reconnect,
        } => {
            // From here on, because as the first process of a container it cannot be ended otherwise.
            let mut told = signal(SignalKind::terminate())
                .map_err(|error| format!("cannot listen to SIGTERM: {error}"))?;
            let mut crew = tokio::select! {
                crew = start(&cli.target, load, *reconnect) => crew?,
                _ = told.recv() => return Err("ended by SIGTERM before the first connection".into()),
            };
            tokio::select! {
                held = hold(&mut crew, Duration::from_secs(*seconds), cli.output) => held?,
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
            let crew = open(&cli.target, load).await?;
            let api = wse_e2e::api::Api::new(api, api_key);
            let sent = match publish::run(&api, names, messages).await {
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
        Command::Compare(_)
        | Command::Fleet(_)
        | Command::Peers(_)
        | Command::Stress(_)
        | Command::Worker => {
            return Err("it is no single step".into());
        }
    };
    print(&report, cli.output)?;
    Ok(ExitCode::SUCCESS)
}

/// Tries one connection, then starts the workers. With `reconnect` theirs come back when they end.
async fn start(target: &Target, load: &Load, reconnect: bool) -> Result<Crew, String> {
    let job = target.job(load, reconnect)?;
    knock(&job.doors, &job.topics).await?;
    Crew::start(&job).await
}

/// [`start`], and waits until all are open.
async fn open(target: &Target, load: &Load) -> Result<Crew, String> {
    let mut crew = start(target, load, false).await?;
    crew.opened().await?;
    Ok(crew)
}

/// Says when all are open, and keeps them for so long.
async fn hold(crew: &mut Crew, time: Duration, output: Output) -> Result<(), String> {
    let connections = crew.opened().await?;
    match output {
        Output::Json => println!(
            "{}",
            json!({ "event": "holding", "connections": connections })
        ),
        _ => println!("holding    {connections}"),
    }
    sleep(time).await;
    Ok(())
}

fn print(report: &Report, output: Output) -> Result<(), String> {
    match output {
        Output::Json => println!("{}", report.json()?),
        _ => print!("{report}"),
    }
    Ok(())
}
