//! Why the fleet did not do what a backend asked.

use crate::backplane::{self, NodeId};

/// Why a call was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The backplane did not do it.
    #[error(transparent)]
    Backplane(#[from] backplane::Error),
    /// The pod that holds the connection has as much waiting as it may have. Nothing was done; retry
    /// later.
    #[error("pod {0} has as much waiting as it may have")]
    Full(NodeId),
}
