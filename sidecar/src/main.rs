//! The command line of the gateway.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use wse_sidecar::{api, gateway};

/// Handshakes allocate and free some tens of KiB each, on several threads: the C library's allocator spent a
/// tenth of a storm on it and kept the memory (docs/figures.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The WSE gateway.
#[derive(Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
struct Line {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    file: Option<File>,
}

#[derive(Subcommand)]
enum Command {
    /// Tell what is wrong with a configuration, and what this version does not know of it
    Check(File),
    /// Print the OpenAPI document of the backends' API
    Openapi,
    /// Run the gateway; so does `--config` alone
    Run(File),
}

#[derive(Args)]
struct File {
    /// The configuration, JSON
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let line = Line::parse();
    match (line.command, line.file) {
        (Some(Command::Check(file)), _) => gateway::check(&file.config),
        (Some(Command::Openapi), _) => {
            print!("{}", api::openapi());
            ExitCode::SUCCESS
        }
        (Some(Command::Run(file)), _) | (None, Some(file)) => gateway::run(file.config),
        // `arg_required_else_help` has ended the process already.
        (None, None) => ExitCode::FAILURE,
    }
}
