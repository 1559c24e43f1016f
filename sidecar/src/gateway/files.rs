//! Open files: the limit that bounds how many clients a pod can hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that sessions must leave: the three ports' other connections, Redis, libraries, epoll.
pub(super) const RESERVED: u64 = 256;

/// Raises the soft limit to the hard one, which needs no privilege. Returns the limit in force;
/// `u64::MAX`: none.
pub(super) fn raise_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => {
            tracing::info!(before = current, now = maximum, "open-file limit");
            maximum.unwrap_or(u64::MAX)
        }
        Err(error) => {
            tracing::warn!(%error, limit = current, "the open-file limit cannot be raised");
            current.unwrap_or(u64::MAX)
        }
    }
}
