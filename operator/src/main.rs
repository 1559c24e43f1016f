//! The command line.

mod offline;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use wse_operator::local::{self, Options};
use wse_operator::{api, tier};

/// Turns a WseCluster into a fleet of gateways.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print the CustomResourceDefinition.
    Crd,
    /// Run the fleet of a file on this machine, until Ctrl-C.
    Up {
        /// YAML with one WseCluster and its Secrets; edits are followed.
        file: PathBuf,
        /// Number of gateways; several share a redis-server that is started for them.
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
        replicas: Option<u32>,
        /// Port that clients connect to, on 127.0.0.1. 0: a free one.
        #[arg(long, default_value_t = 8080)]
        port: u16,
        /// The gateway's executable, if it is not beside this one.
        #[arg(long)]
        sidecar: Option<PathBuf>,
    },
    /// Print what would be done for the fleet of a file, and do nothing.
    Plan {
        /// YAML with one WseCluster and its Secrets.
        file: PathBuf,
        /// JSON with the pods that there are; without it there are none. Such as
        /// {"pods": [{"name": "chat-0", "state": "Ready", "load": {"sessions": 12}}]}
        #[arg(long)]
        load: Option<PathBuf>,
    },
    /// Print the eight load tiers.
    Tiers,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whether or not somebody can read it.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Crd => print!("{}", serde_saphyr::to_string(&api::crd())?),
        Command::Plan { file, load } => print!("{}", offline::plan(&file, load.as_deref())?),
        Command::Tiers => print!("{}", tier::table()),
        Command::Up {
            file,
            replicas,
            port,
            sidecar,
        } => {
            let options = Options {
                file,
                replicas,
                port,
                sidecar,
            };
            // One thread: children are signalled once for each of their parent's threads that a SIGKILL
            // ends, and a gateway that is told twice to end does so without draining.
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_all().build()?.block_on(local::up(options))?;
        }
    }
    Ok(())
}
