//! The load generator says what is true. `commands` are its single steps, `tests` what it runs without a
//! command, `stress` is its command of that name, and `compare` beside it, `peers` compares servers,
//! `fleet` is what it sees of a fleet;
//! `meddler` stands between it and a gateway and loses things.

mod commands;
mod fleet;
mod meddler;
mod peers;
mod stress;
mod tests;

use std::process::{ExitStatus, Stdio};

use serde_json::Value;
use tokio::process::Command;
use wse_e2e::Error;
use wse_e2e::fleet::{Config, Setup};

/// How a run ended.
struct Ended {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: String,
}

impl Ended {
    /// What it printed as JSON.
    fn report(&self) -> Result<Value, Error> {
        let stderr = &self.stderr;
        serde_json::from_slice(&self.stdout)
            .map_err(|error| Error::Protocol(format!("wse-bench: {error}; it said {stderr}")))
    }
}

/// A run by somebody who knows the setup's secret.
fn command(setup: &Setup) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wse-bench"));
    command
        .args(["--issuer", Setup::ISSUER, "--audience", Setup::AUDIENCE])
        .env(
            "WSE_BENCH_SECRET",
            String::from_utf8_lossy(setup.secret()).as_ref(),
        )
        .env("WSE_API_KEY", setup.api_key())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A gateway in which a client may send what it can.
fn unlimited(setup: &Setup, node: &str) -> Config {
    let mut config = setup.config(node);
    config.limits.messages_per_second = 0;
    config.limits.bytes_per_second = 0;
    config
}

async fn ended(command: &mut Command) -> Result<Ended, Error> {
    let output = command.output().await;
    let output = output.map_err(|error| Error::Process(format!("wse-bench: {error}")))?;
    Ok(Ended {
        status: output.status,
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
