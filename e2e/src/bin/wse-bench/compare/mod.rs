//! Two reports of the same kind, held against each other: `read` takes figures out of their JSON, `figures`
//! pairs and judges them, `output` lays that out.

mod figures;
mod output;
mod read;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::figures::Comparison;
use crate::cli::Output;
use crate::output::{Paint, print};
use crate::threshold::BEYOND;

/// Of the command `compare`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// A report as JSON, of the tests or of stress.
    old: PathBuf,
    /// Another of the same kind.
    new: PathBuf,
    /// A rate that is lower, or a latency that is higher, by more percent has regressed.
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    worse_than: f64,
}

/// Prints what has changed. Something that has regressed is an exit code.
///
/// # Errors
/// Why the two cannot be compared.
pub(crate) fn run(arguments: &Arguments, output: Output) -> Result<ExitCode, String> {
    let (old, new) = (read::read(&arguments.old)?, read::read(&arguments.new)?);
    let comparison = Comparison::new(old, new, arguments.worse_than)?;
    print(&match output {
        Output::Html => return Err("a comparison is printed as text, json or markdown".into()),
        Output::Json => {
            serde_json::to_string(&comparison).map_err(|error| error.to_string())? + "\n"
        }
        Output::Markdown => output::markdown(&comparison),
        Output::Text => output::text(&comparison, Paint::of_stdout()),
    })?;
    Ok(match comparison.regressions {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(BEYOND),
    })
}
