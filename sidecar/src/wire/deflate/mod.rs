//! permessage-deflate (RFC 7692). In come the client's offers and the payload of messages, deflated or
//! to be; out go what was agreed on, and the payload in its other form. Nothing of zlib belongs to a
//! session: an [`Inflater`] and a [`Deflater`] are shared by all sessions of a reactor, and a session
//! whose messages may refer to earlier ones keeps the end of what those said, which its next message is
//! given as a dictionary. That is what a state of zlib would remember, in a tenth of its memory.

mod deflater;
mod history;
mod inflater;
mod negotiation;

pub use self::deflater::Deflater;
pub use self::inflater::{Inflated, Inflater};
pub use self::negotiation::{Agreed, Terms};

use self::history::History;
use super::Violation;
use super::message::Assembled;

/// Bits of the largest window (section 7.1.2): 32 KiB.
const MAX_WINDOW_BITS: u8 = 15;

/// What every message ends with before it is sent, and what is taken from it then (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// What a session that has agreed on the extension keeps.
#[derive(Debug)]
pub struct Deflation {
    agreed: Agreed,
    received: History,
    sent: History,
    /// What [`Deflation::take_growth`] has told.
    told_bytes: usize,
}

impl Deflation {
    pub(super) fn new(agreed: Agreed) -> Self {
        Self {
            agreed,
            received: History::new(agreed.received_bits()),
            sent: History::new(agreed.sent_bits()),
            told_bytes: 0,
        }
    }

    /// Memory that it holds for the messages to come, in bytes.
    pub fn history_bytes(&self) -> usize {
        self.received.held_bytes() + self.sent.held_bytes()
    }

    /// By how much that has grown since this was last asked, in bytes. It never shrinks.
    pub fn take_growth(&mut self) -> usize {
        let now = self.history_bytes();
        now - std::mem::replace(&mut self.told_bytes, now)
    }

    /// Whether the client can inflate what [`Deflater::deflate`] makes for everybody.
    pub fn shares(&self) -> bool {
        self.agreed.shares()
    }

    /// Whether a message to this client may refer to those before it: once deflated it has to be sent,
    /// and in this order.
    pub fn refers_back(&self) -> bool {
        self.agreed.sent_bits().is_some()
    }

    /// Deflates a message for this client. None when it would not be smaller: it goes as it is then, and
    /// nothing will refer to it.
    pub fn deflate<'a>(&mut self, payload: &[u8], deflater: &'a mut Deflater) -> Option<&'a [u8]> {
        let bits = self.agreed.server_window_bits();
        let deflated = deflater.deflate_after(self.sent.as_bytes(), payload, bits)?;
        self.sent.append(payload);
        Some(deflated)
    }

    /// Inflates a whole message of the client.
    pub(super) fn inflate(
        &mut self,
        deflated: &Assembled,
        bound: usize,
        inflater: &mut Inflater,
    ) -> Result<Assembled, Violation> {
        let (kind, payload) = (deflated.kind(), deflated.payload());
        let message = inflater.inflate(kind, self.received.as_bytes(), payload, bound)?;
        self.received.append(message.payload());
        Ok(message)
    }
}

/// Longest deflated payload of a message of this many bytes. Fixed codes take up to nine bits for a byte
/// (RFC 1951 section 3.2.6), and the fastest level of zlib-ng and its kin writes nothing else.
pub(super) fn deflated_bound(message_bytes: usize) -> usize {
    message_bytes.saturating_add(message_bytes / 8 + 64)
}

#[cfg(test)]
mod tests;
