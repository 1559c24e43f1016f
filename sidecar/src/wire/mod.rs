//! The WebSocket protocol of a server, without I/O (RFC 6455). In come the head of an upgrade request
//! and the bytes that a client sent, in pieces of any size; out go response headers or a refusal,
//! whole messages where they lie, and the control frames that the protocol asks for. It must not know
//! sockets, clocks, sessions or what a message means.
//!
//! [`handshake`] is one pure function. [`Engine`] holds one connection after the upgrade. Frames to a
//! client are never masked (section 5.1), so writing one is [`Header`] and the payload. The one extension
//! is [`deflate`].

mod close;
pub mod deflate;
mod engine;
mod event;
mod extensions;
pub mod handshake;
mod header;
mod mask;
mod message;
mod utf8;
mod violation;

pub use self::close::{MAX_REASON_BYTES, NO_CODE, is_close_code};
pub use self::engine::Engine;
pub use self::event::{Event, Step};
pub use self::header::{Header, MAX_HEADER_BYTES, Opcode};
pub use self::mask::unmask;
pub use self::message::Assembled;
pub use self::violation::Violation;

/// Kind of a message (RFC 6455 section 5.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Any bytes.
    Binary,
    /// Valid UTF-8: the engine has checked.
    Text,
}
