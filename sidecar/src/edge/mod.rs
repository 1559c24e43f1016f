//! From a TCP connection to an upgraded socket: accept with an explicit backlog, admission, request
//! head by hyper under a timeout, Origin, token, handshake (`wire`), hand-over. Refusals for capacity
//! and drain come before the upgrade, refusals of a token after it, as the protocol wants. From the
//! hand-over on no async task belongs to the connection. It names no reactor's handler: what it lets
//! in goes to a [`Reception`].

use std::net::SocketAddr;

use crate::auth::{Identity, Refusal};
use crate::reactor::Socket;

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
    /// A client has arrived.
    fn receive(&self, arrival: Arrival);
}
