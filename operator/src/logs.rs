//! Logs: JSON lines on standard error.

use std::io;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

/// Begins to log what the filter lets through.
///
/// # Errors
/// When it is no filter.
pub(crate) fn start(directives: &str) -> Result<(), Box<dyn std::error::Error>> {
    let filter =
        EnvFilter::try_new(directives).map_err(|error| format!("--log {directives:?}: {error}"))?;
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_writer(io::stderr);
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()?;
    Ok(())
}
