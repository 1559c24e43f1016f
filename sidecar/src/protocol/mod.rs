//! The WSE dialect: what the published clients speak (wse-protocol 1). In come whole messages from a
//! reactor and commands from the hub's router; out go JSON text frames, close codes, and subscription
//! changes for the hub. It knows no sockets, no Redis and no HTTP; everything but `dialect`,
//! `delivery` and `gateway` is pure and takes time as an argument.
//!
//! - `frame`, `scan`, `inbound`, `meter`, `session`: reading, limiting and answering one client.
//! - `text`, `code`: everything this side says by itself.
//! - `leaving`: who leaves in a drain or a shed, and when.
//! - `delivery`, `dialect`: the hub's outbox and the reactor's handler.
//! - `envelope`: what a backend's message must be to reach a client; the API calls it.
//! - `gateway`: starts the reactors.
//!
//! `crate::gateway` puts the rooms together.

pub mod code;
mod delivery;
mod dialect;
pub mod envelope;
mod frame;
mod gateway;
mod inbound;
mod leaving;
mod meter;
mod metrics;
mod scan;
mod session;
mod text;

pub use self::dialect::{Dialect, Guest, State};
pub use self::gateway::{Gateway, start};
pub use self::metrics::Metrics;
