//! Puts the rooms together. In comes a configuration file; out comes a running gateway, which follows
//! the file, obeys signals and ends when its drain does. It is the only room that knows all others,
//! and none knows it.
//!
//! Everything fallible of a configuration is made first ([`parts`]), at the start and at a reload
//! alike; then it is put in force.

mod doors;
mod files;
mod logs;
mod metrics;
mod parts;
mod pulse;
mod reactors;
mod reload;
mod running;
mod serve;
mod settings;
mod signals;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use prometheus::Registry;
use tokio::runtime::Runtime;

use self::logs::Logs;
use self::metrics::Metrics;
use self::parts::Parts;
use self::running::Running;
use self::settings::{Reading, Watched};
use crate::{auth, edge, panics};

/// Runs a gateway until its drain after a signal is over. Fails when it cannot start, or when a part
/// that it cannot do without has ended.
pub fn run(file: PathBuf) -> ExitCode {
    let reading = settings::read(&file, &Watched::default());
    let log = match &reading.outcome {
        Ok(settings) => settings.config.log.clone(),
        Err(_) => String::new(),
    };
    let logs = match Logs::start(&log) {
        Ok(logs) => logs,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    panics::install();
    match start(file, reading, logs) {
        Ok(()) => ExitCode::SUCCESS,
        Err(errors) => {
            for error in errors {
                tracing::error!("{error}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints what is wrong with a configuration and the files that it names, and which of its fields this
/// version does not know. Fails when something is wrong.
pub fn check(file: &Path) -> ExitCode {
    let reading = settings::read(file, &Watched::default());
    let compiled = reading.outcome.and_then(|settings| {
        let unknown = settings.unknown.clone();
        let metrics = auth::Metrics::new(&Registry::new()).map_err(one)?;
        let parts = Parts::compile(settings, None, Arc::new(metrics));
        Runtime::new().map_err(one)?.block_on(parts)?;
        Ok(unknown)
    });
    match compiled {
        Ok(unknown) => {
            for field in unknown {
                println!("warning: this version does not know the field {field}");
            }
            println!("{}: fine", file.display());
            ExitCode::SUCCESS
        }
        Err(errors) => {
            for error in errors {
                eprintln!("error: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn start(file: PathBuf, reading: Reading, logs: Logs) -> Result<(), Vec<String>> {
    let settings = reading.outcome?;
    // It changes the environment, so no thread may run yet.
    let inherited = edge::inherited().map_err(one)?;
    files::raise_limit();
    let registry = Registry::new();
    let metrics = Metrics::new(&registry).map_err(one)?;
    reload::report(&settings.unknown, &metrics);
    let runtime = Runtime::new().map_err(one)?;
    runtime.block_on(async {
        let running = Running::build(settings, inherited, &registry, logs).await?;
        running.run(file, reading.watched, &metrics).await
    })
}

/// One error as a list.
fn one(error: impl ToString) -> Vec<String> {
    vec![error.to_string()]
}
