//! Tokens in, identities out: JWT verification by static keys and JWKS, and what a token's claims
//! grant. `edge` asks during the handshake; `protocol` and `hub` ask an identity's grants. It knows
//! no sockets and no sessions; time is an argument.

use std::sync::Arc;
use std::time::SystemTime;

use crate::topic::{Pattern, Topic};

/// Who a session is and what it may do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The `sub` claim, never empty.
    pub user: Arc<str>,
    /// What it may subscribe to.
    pub grants: Arc<Grants>,
    /// The `exp` claim: the session is closed with 4401 then. None only without authentication.
    pub expires_at: Option<SystemTime>,
}

/// Topic patterns that are allowed and denied; a deny wins, also at delivery.
#[derive(Clone, Debug, Default)]
pub struct Grants {
    allow: Vec<Pattern>,
    deny: Vec<Pattern>,
}

impl Grants {
    /// Grants what `allow` matches and `deny` does not.
    pub fn new(allow: Vec<Pattern>, deny: Vec<Pattern>) -> Self {
        Self { allow, deny }
    }

    /// Whether the topic may be subscribed to and delivered.
    pub fn permits(&self, topic: &Topic) -> bool {
        self.allow.iter().any(|allowed| allowed.matches(topic)) && !self.denies(topic)
    }

    /// Whether the pattern may be subscribed to: it must lie inside one allowed pattern and not wholly
    /// inside a denied one. What it matches is still checked at delivery.
    pub fn permits_pattern(&self, pattern: &Pattern) -> bool {
        self.allow.iter().any(|allowed| allowed.covers(pattern))
            && !self.deny.iter().any(|denied| denied.covers(pattern))
    }

    /// Whether a deny pattern matches the topic.
    pub fn denies(&self, topic: &Topic) -> bool {
        self.deny.iter().any(|denied| denied.matches(topic))
    }

    /// Whether nothing is denied, so that delivery needs no check.
    pub fn denies_nothing(&self) -> bool {
        self.deny.is_empty()
    }
}

/// Why a client was not let in, told after the upgrade as the protocol's error message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The token is not valid: `AUTH_FAILED`. The label says why, for the metric and the log only.
    #[error("Authentication failed")]
    Failed(&'static str),
    /// No token anywhere: `AUTH_REQUIRED`.
    #[error("Authentication required")]
    Required,
}
