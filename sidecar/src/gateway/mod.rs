//! Puts the rooms together. In comes a configuration file; out comes a running gateway, which follows
//! the file, obeys signals and ends when its drain does. It is the only room that knows all others,
//! and none knows it.

mod files;
mod logs;
mod metrics;
mod panics;
mod reload;
mod serve;
mod settings;
mod signals;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub fn run(file: PathBuf) -> ExitCode {
    let _ = file;
    ExitCode::FAILURE
}

/// Prints what is wrong with a configuration and the secrets that it names.
pub fn check(file: &Path) -> ExitCode {
    let reading = settings::read(file, &settings::Watched::default());
    match reading.outcome {
        Ok(settings) => {
            for field in settings.unknown {
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
