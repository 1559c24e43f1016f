//! Tokens in, identities out: where a request carries its token, JWT verification by static keys and
//! JWKS, and what a token's claims grant. `edge` asks during the handshake; `protocol` and `hub` ask
//! an identity's grants. It knows no sockets and no sessions; time is an argument.
//!
//! A [`Verifier`] is built from the configuration and never changes; a reload builds the next one,
//! which takes over the fetched key set of the one before.

mod claims;
mod error;
mod grants;
mod jwks;
mod keys;
mod metrics;
#[cfg(test)]
pub(crate) mod minting;
mod refusal;
mod remote;
mod token;
mod verifier;

use std::sync::Arc;
use std::time::SystemTime;

pub use self::error::Error;
pub use self::grants::Grants;
pub use self::metrics::Metrics;
pub use self::refusal::{Denied, Refusal};
pub use self::verifier::Verifier;

/// Who a session is and what it may do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The `sub` claim, never empty.
    pub user: Arc<str>,
    /// What it may subscribe to.
    pub grants: Arc<Grants>,
    /// The `exp` claim with the configured leeway added, so that a token that was let in late is not
    /// put out at once: the session is closed with 4401 then. None only without authentication.
    pub expires_at: Option<SystemTime>,
}
