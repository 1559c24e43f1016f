//! One event loop per core. Sockets come in through a [`Handle`], already upgraded; messages go to a
//! [`Handler`], which answers through a [`Context`]. The reactor owns the sockets, the engine's state
//! of each connection (`wire`), the outbound queues, the timers; it knows nothing of topics, tokens
//! or JSON. Nothing on its hot path takes a lock or allocates per message (DESIGN 3.2).
//!
//! A loop turn: wait; read each ready socket once and hand its messages to [`Handler::message`]; run
//! due alarms; run the commands that other threads queued; call [`Handler::turn`]; write what is
//! queued, one `send` per session.

use std::net::TcpStream;

use bytes::Bytes;
use rustls::ServerConnection;

mod batch;
mod block;
mod connection;
mod context;
mod counters;
mod deflate;
mod handle;
mod inbox;
mod lifecycle;
mod queue;
mod receive;
mod sessions;
mod settle;
#[cfg(test)]
mod tests;
mod tls;
mod turn;
mod wheel;

pub use self::block::{Block, BlockBuilder, Span};
pub use self::context::{Context, Overflow, Pushed};
pub use self::counters::Counters;
pub use self::deflate::Compression;
pub use self::handle::{Handle, NotTaken, Options, spawn};
pub use self::sessions::Sessions;
pub use crate::wire::Kind;
use crate::wire::deflate::Agreed;

/// Close code of a session whose client does not read what is sent to it (wse-protocol 1.11, DESIGN
/// 3.6).
pub const SLOW_CONSUMER: u16 = 4508;

/// A session of one reactor. Never reused while the reactor runs.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// An upgraded connection on its way to a reactor.
#[derive(Debug)]
pub struct Socket {
    /// The socket, non-blocking, with `TCP_NODELAY` set, and whatever makes a peer that is gone known.
    pub stream: TcpStream,
    /// With TLS: its state after the handshake, which may hold bytes for either side still.
    pub tls: Option<Box<ServerConnection>>,
    /// Bytes that arrived with the handshake and belong to the WebSocket, decrypted.
    pub read_ahead: Bytes,
    /// What the handshake agreed on of permessage-deflate.
    pub deflate: Option<Agreed>,
}

/// A whole message, unmasked where it lies.
#[derive(Debug)]
pub struct Message<'a> {
    /// Text or binary.
    pub kind: Kind,
    /// The payload. Writable, so that an answer can be made in place.
    pub payload: &'a mut [u8],
}

/// What a handler wants sent for a message, beside what it queued through the [`Context`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reply {
    /// The payload as it is now, as a message of the same kind; not copied.
    InPlace,
    /// Nothing.
    Nothing,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Closed {
    /// The client sent a Close frame first; its code, 1005 when it gave none.
    ByClient(u16),
    /// This side sent a Close frame first, with this code.
    ByServer(u16),
    /// The connection broke or ended without a Close frame.
    Lost,
}

/// What a reactor runs: the product, or an example. One value per reactor thread.
pub trait Handler: Sized + 'static {
    /// What comes with a socket.
    type Accept: Send + 'static;
    /// What the handler keeps for a session; the reactor stores it beside the connection.
    type Session;
    /// What other threads say to this reactor.
    type Command: Send + 'static;

    /// A session begins. Messages that came with the handshake follow.
    fn open(&mut self, id: SessionId, accept: Self::Accept, cx: &mut Context) -> Self::Session;

    /// A whole message arrived.
    fn message(
        &mut self,
        id: SessionId,
        session: &mut Self::Session,
        message: Message<'_>,
        cx: &mut Context,
    ) -> Reply;

    /// Frames arrived in one read that are no messages: pings, pongs, fragments but the last. They are
    /// dealt with; this is for those who limit what a client may send.
    fn overhead(
        &mut self,
        _id: SessionId,
        _session: &mut Self::Session,
        _frames: u32,
        _cx: &mut Context,
    ) {
    }

    /// The session's alarm, set by [`Context::alarm`], went off. It is unset now.
    fn alarm(&mut self, _id: SessionId, _session: &mut Self::Session, _cx: &mut Context) {}

    /// The session's outbound queue has grown past half its bound: the reactor stops reading from it
    /// until [`Handler::resume`].
    fn pause(&mut self, _id: SessionId, _session: &mut Self::Session, _cx: &mut Context) {}

    /// The session's outbound queue is empty again.
    fn resume(&mut self, _id: SessionId, _session: &mut Self::Session, _cx: &mut Context) {}

    /// The session is closing, whoever began it: nothing more goes to it, no message comes from it, and
    /// it is out of [`Sessions`]. Told before the next command; [`Handler::close`] follows.
    fn closing(&mut self, _id: SessionId, _cx: &mut Context) {}

    /// The session is over; its id means nothing any more.
    fn close(&mut self, id: SessionId, session: Self::Session, closed: Closed, cx: &mut Context);

    /// Another thread said something.
    fn command(
        &mut self,
        command: Self::Command,
        sessions: &mut Sessions<Self::Session>,
        cx: &mut Context,
    );

    /// The turn is about to end: what was gathered for many sessions is pushed to them now.
    fn turn(&mut self, _sessions: &mut Sessions<Self::Session>, _cx: &mut Context) {}
}
