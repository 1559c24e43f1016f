//! A fleet on one machine: what `plan` decides, carried out with processes. In comes a file with a
//! `WseCluster` and its Secrets, which may be edited while it runs; out come `wse-sidecar` processes
//! on one listening socket, a redis-server when there are several, and a page to try them with.
//! For a laptop and for tests: everything is on loopback and ends with `up`. It decides nothing that
//! `plan` decides.

mod child;
mod cluster_file;
mod fleet;
mod journal;
mod names;
mod page;
mod process;
mod redis;
mod report;
mod run;
mod scratch;
mod signals;
mod token;
mod wanted;

use std::io;
use std::path::PathBuf;

pub use self::cluster_file::{Input, Refused};
pub use self::run::up;

/// How `up` was called.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file with the WseCluster and its Secrets.
    pub file: PathBuf,
    /// Number of gateways. None: one; or what the file says, over the Redis that is given.
    pub replicas: Option<u32>,
    /// Whether the number follows the load, as the file's `scaling` says.
    pub autoscale: bool,
    /// The Redis that gateways share over. None: several have one of their own.
    pub redis: Option<String>,
    /// The port that clients connect to.
    pub port: u16,
    /// The gateway's executable. None: beside this one.
    pub sidecar: Option<PathBuf>,
}

/// Why `up` cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file says something that cannot be.
    #[error(transparent)]
    File(#[from] Refused),
    /// The system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// There is no redis-server on this machine.
    #[error(
        "more than one gateway needs redis-server, which is not installed: apt-get install redis-server"
    )]
    NoRedis,
    /// There is no gateway to start.
    #[error("no gateway at {0}: build it (cargo build -p wse-sidecar), or name it with --sidecar")]
    NoSidecar(PathBuf),
    /// The redis-server did not come up.
    #[error("redis-server did not start; it said:\n{0}")]
    Redis(String),
}

/// Says what was tried when the system refuses it.
fn tried<T>(what: impl Into<String>, result: io::Result<T>) -> Result<T, Error> {
    result.map_err(|source| Error::Io {
        what: what.into(),
        source,
    })
}
