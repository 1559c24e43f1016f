//! What the edge is told, all that a reload changes.

use std::sync::Arc;
use std::time::Duration;

use super::admission::capacity;
use super::certificate::Certificate;
use super::origin::{AllowedOrigins, BadOrigin};
use crate::auth::Verifier;
use crate::config::{Compression, CompressionMode, ContextTakeover, Limits, Origins};
use crate::wire::deflate::Terms;

/// Whom the edge lets in, how many, and as whom it presents itself.
#[derive(Debug)]
pub struct Policy {
    /// Sessions; see [`capacity`].
    pub(super) capacity: usize,
    /// Handshakes at once.
    pub(super) pending: usize,
    /// Handshakes a second. 0: any number.
    pub(super) per_second: u32,
    /// From accept to the end of the request head, the TLS handshake with it.
    pub(super) timeout: Duration,
    pub(super) origins: AllowedOrigins,
    pub(super) verifier: Arc<Verifier>,
    /// On what terms messages may be deflated, if at all.
    pub(super) deflate: Option<Terms>,
    /// None: clients speak plain HTTP.
    pub(super) certificate: Option<Certificate>,
}

impl Policy {
    /// Reads the limits that concern the edge, and the origins. With a certificate the edge speaks TLS
    /// and nothing else.
    ///
    /// # Errors
    /// When an entry of the list of origins is none.
    pub fn new(
        limits: &Limits,
        origins: &Origins,
        verifier: Arc<Verifier>,
        certificate: Option<Certificate>,
    ) -> Result<Self, BadOrigin> {
        Ok(Self {
            capacity: capacity(limits),
            pending: (limits.pending_handshakes as usize).max(1),
            per_second: limits.handshakes_per_second,
            timeout: Duration::from_millis(limits.handshake_timeout_millis),
            origins: AllowedOrigins::new(origins)?,
            verifier,
            deflate: None,
            certificate,
        })
    }

    /// Lets clients agree on compression, as configured. Without this none can.
    pub fn compressing(self, compression: &Compression) -> Self {
        let terms = Terms {
            context_takeover: compression.context_takeover == ContextTakeover::Allowed,
        };
        Self {
            deflate: (compression.mode == CompressionMode::Deflate).then_some(terms),
            ..self
        }
    }
}
