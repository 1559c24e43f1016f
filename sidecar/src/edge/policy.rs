//! What the edge is told, all that a reload changes.

use std::sync::Arc;
use std::time::Duration;

use super::admission::capacity;
use super::origin::{AllowedOrigins, BadOrigin};
use crate::auth::Verifier;
use crate::config::{Limits, Origins};

/// Whom the edge lets in, and how many.
#[derive(Debug)]
pub struct Policy {
    /// Sessions; see [`capacity`].
    pub(super) capacity: usize,
    /// Handshakes at once.
    pub(super) pending: usize,
    /// Handshakes a second. 0: any number.
    pub(super) per_second: u32,
    /// From accept to the end of the request head.
    pub(super) timeout: Duration,
    pub(super) origins: AllowedOrigins,
    pub(super) verifier: Arc<Verifier>,
}

impl Policy {
    /// Reads the limits that concern the edge, and the origins.
    ///
    /// # Errors
    /// When an entry of the list of origins is none.
    pub fn new(
        limits: &Limits,
        origins: &Origins,
        verifier: Arc<Verifier>,
    ) -> Result<Self, BadOrigin> {
        Ok(Self {
            capacity: capacity(limits),
            pending: (limits.pending_handshakes as usize).max(1),
            per_second: limits.handshakes_per_second,
            timeout: Duration::from_millis(limits.handshake_timeout_millis),
            origins: AllowedOrigins::new(origins)?,
            verifier,
        })
    }
}
