//! Clients by the thousand in one thread, without a runtime: what they send and receive costs so little
//! that a gateway is measured and not they. In come addresses, requests and readiness (mio); out go
//! payloads. [`Frames`] cuts what came into frames and masks what goes, [`Inflater`] undoes what a server
//! compressed, [`Client`] is a socket, [`gather`] brings many in, [`Dialect`] is what they and the server
//! say, [`Caller`] is a backend. It trusts servers to keep to RFC 6455: [`crate::client`] does
//! not, and is the one to judge them with.

mod caller;
mod client;
mod deflate;
mod dialect;
mod frames;
mod gather;
mod stream;

pub use self::caller::{Api, Caller};
pub use self::client::{Client, Door, request};
pub use self::deflate::{Inflater, OFFER, deflated};
pub use self::dialect::{Dialect, Heard};
pub use self::frames::{Data, Frames, masked, masked_deflated};
pub use self::gather::{Gathered, Newcomer, gather};
pub use self::stream::{Stream, Tls, begin, is_later};
