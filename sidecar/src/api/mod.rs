//! What backends call: publish, send to a user or a connection, disconnect, and look. In come HTTP
//! requests on a port of its own, with an API key; out go calls to the whole fleet through [`Calls`],
//! whichever pod was asked. Answers are JSON, errors too, each with a code that does not change. A
//! message is passed on as the bytes that came: only [`Prepare`] looks inside. It knows no sessions
//! and no Redis.
//!
//! The OpenAPI document is generated from this folder; `docs/openapi.json` is the committed copy.

mod calls;
mod connections;
mod document;
mod extract;
mod failure;
mod guard;
mod messages;
mod metrics;
mod publish;
#[cfg(test)]
mod tests;
mod topics;

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::HeaderValue;
use serde_json::value::RawValue;

use crate::backplane::NodeId;
use crate::keyring::KeyRing;

pub use self::calls::Calls;
pub use self::document::openapi;
pub use self::metrics::Metrics;

/// Makes the envelope that subscribers receive from the message that a backend sent, nested at most
/// so deep.
pub type Prepare = fn(&RawValue, u16) -> Result<Bytes, Unfit>;

/// Why a message cannot be delivered to a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unfit {
    /// It is not an object with a type; the text is for people.
    Malformed(String),
    /// It is larger than the published clients accept.
    TooLarge(String),
}

/// What may change while the API runs.
pub struct Settings {
    /// Accepted API keys. Empty: every call is refused.
    pub keys: KeyRing,
    /// Largest request body, in bytes.
    pub max_body_bytes: usize,
    /// Longest topic name, in bytes.
    pub topic_bytes: usize,
    /// Deepest nesting of a message.
    pub json_depth: u16,
}

/// The API's state, shared by its requests.
pub struct Api {
    /// As the header that names it in answers: every node's name can be one.
    node: Option<HeaderValue>,
    calls: Arc<dyn Calls>,
    prepare: Prepare,
    metrics: Metrics,
    settings: ArcSwap<Settings>,
}

impl Api {
    /// An API of the fleet behind `calls`, answering as `node`.
    pub fn new(
        node: &NodeId,
        calls: Arc<dyn Calls>,
        prepare: Prepare,
        metrics: Metrics,
        settings: Settings,
    ) -> Arc<Self> {
        Arc::new(Self {
            node: HeaderValue::from_str(node.as_str()).ok(),
            calls,
            prepare,
            metrics,
            settings: ArcSwap::from_pointee(settings),
        })
    }

    /// Changes the settings for requests that come from now on.
    pub fn configure(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// The HTTP service.
    pub fn router(self: &Arc<Self>) -> axum::Router {
        guard::enclose(document::routes().0, self)
    }

    fn prepare(&self, message: &RawValue) -> Result<Bytes, Unfit> {
        (self.prepare)(message, self.settings.load().json_depth)
    }
}
