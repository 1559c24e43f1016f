//! Logs: JSON lines on standard error, with a level that reloads.

use std::io;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

/// Used while the configuration names no filter.
const DEFAULT: &str = "info";

/// Changes the filter.
pub(super) struct Logs(reload::Handle<EnvFilter, Registry>);

impl Logs {
    /// Begins to log.
    ///
    /// # Errors
    /// When `directives` is no filter, or something else logs already.
    pub(super) fn start(directives: &str) -> Result<Self, String> {
        let (filter, handle) = reload::Layer::new(parse(directives)?);
        let lines = fmt::layer()
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(true)
            .with_writer(io::stderr);
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .try_init()
            .map_err(|error| error.to_string())?;
        Ok(Self(handle))
    }

    /// Uses another filter from now on.
    ///
    /// # Errors
    /// When `directives` is no filter; the old one stays.
    pub(super) fn change(&self, directives: &str) -> Result<(), String> {
        self.0
            .reload(parse(directives)?)
            .map_err(|error| error.to_string())
    }
}

/// Reads the `log` setting.
///
/// # Errors
/// Names the setting when it is no filter.
pub(super) fn parse(directives: &str) -> Result<EnvFilter, String> {
    let directives = match directives.trim() {
        "" => DEFAULT,
        given => given,
    };
    EnvFilter::try_new(directives).map_err(|error| format!("log: {directives:?}: {error}"))
}
