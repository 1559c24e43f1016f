//! Open files: the limit that bounds how many clients a pod can hold.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, which needs no privilege.
pub(super) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::info!(before = current, now = maximum, "open-file limit"),
        Err(error) => {
            tracing::warn!(%error, limit = current, "the open-file limit cannot be raised");
        }
    }
}
