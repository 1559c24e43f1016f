//! From a TCP connection to an upgraded socket: accept with an explicit backlog, admission, TLS if there
//! is a certificate, request head by hyper under a timeout, Origin, token, handshake (`wire`), hand-over. Refusals for capacity
//! and drain come before the upgrade, refusals of a token after it, as the protocol wants. From the
//! hand-over on no async task belongs to the connection. It names no reactor's handler: what it lets
//! in goes to a [`Reception`].
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use prometheus::Registry;
//! use wse_sidecar::config::Config;
//! use wse_sidecar::edge::{Arrival, Certificate, Edge, Listener, Policy, Reception};
//! use wse_sidecar::{auth, edge};
//!
//! struct Reactors; // holds the reactors' handles
//!
//! impl Reception for Reactors {
//!     fn receive(&self, arrival: Arrival) { /* handle.accept(arrival.socket, ...) */ }
//! }
//!
//! # fn sessions() -> usize { 0 }
//! # async fn start(config: Config, registry: Registry) -> Result<(), Box<dyn std::error::Error>> {
//! // Before anything else starts a thread: this changes the environment.
//! let inherited = edge::inherited()?;
//!
//! let auth_metrics = Arc::new(auth::Metrics::new(&registry)?);
//! let verifier = Arc::new(auth::Verifier::load(&config.auth, None, auth_metrics.clone()).await?);
//! let certificate = config.listen.tls.as_ref().map(Certificate::load).transpose()?;
//! let origins = &config.auth.allowed_origins;
//! let policy = Policy::new(&config.limits, origins, verifier.clone(), certificate.clone())?
//!     .compressing(&config.compression);
//! let edge = Edge::new(
//!     Listener::open(&config.listen, inherited)?,
//!     policy,
//!     sessions, // the sum of the handles' sessions()
//!     Arc::new(Reactors),
//!     &registry,
//! )?;
//! let control = edge.control();
//! tokio::spawn(edge.run());
//!
//! // A drain, after endpoints have followed; and taken back.
//! control.refuse(true);
//! control.refuse(false);
//!
//! // A reload. An error leaves what is in force as it is.
//! let next = Arc::new(auth::Verifier::load(&config.auth, Some(&verifier), auth_metrics).await?);
//! let policy = Policy::new(&config.limits, origins, next, certificate)?;
//! control.reload(policy.compressing(&config.compression));
//! # Ok(())
//! # }
//! ```

mod accept;
mod admission;
mod answer;
mod certificate;
mod door;
mod listener;
mod metrics;
mod origin;
mod pending;
mod policy;
mod shared;
#[cfg(test)]
mod tests;
mod transport;

use std::net::SocketAddr;

use crate::auth::{Identity, Refusal};
use crate::reactor::Socket;

pub use self::accept::{Edge, EdgeControl};
pub use self::admission::capacity;
pub use self::certificate::{BadCertificate, Certificate};
pub(crate) use self::listener::bind;
pub use self::listener::{Listener, inherited};
pub use self::origin::BadOrigin;
pub use self::policy::Policy;

/// A client that has been upgraded.
#[derive(Debug)]
pub struct Arrival {
    /// Its socket.
    pub socket: Socket,
    /// Its address.
    pub remote: SocketAddr,
    /// Who it is, or why it must be told to go.
    pub identity: Result<Identity, Refusal>,
    /// The request's query, undecoded; empty when there was none.
    pub query: String,
}

/// Takes in what the edge upgraded.
pub trait Reception: Send + Sync + 'static {
    /// A client has arrived. Called on the runtime's threads: it must not block.
    fn receive(&self, arrival: Arrival);
}
