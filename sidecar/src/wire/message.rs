//! A message that did not arrive in one piece, or not as it is.

use super::header::{Header, MAX_HEADER_BYTES};
use super::{Kind, Violation, utf8};

/// Smallest allocation for a message in pieces: most of them are small.
const FIRST_BYTES: usize = 256;

/// The part of a message that has arrived. Room for a server's header is kept in front, so that it
/// can be sent back without a copy.
#[derive(Debug)]
pub(super) struct Partial {
    kind: Kind,
    /// What is gathered is deflated: it says nothing yet.
    deflated: bool,
    bytes: Vec<u8>,
    /// How far the text has been found valid, counted in `bytes`.
    valid: usize,
}

impl Partial {
    pub(super) fn new(kind: Kind, deflated: bool) -> Self {
        Self {
            kind,
            deflated,
            bytes: Vec::new(),
            valid: MAX_HEADER_BYTES,
        }
    }

    /// Whether its frames carry one deflated payload.
    pub(super) fn is_deflated(&self) -> bool {
        self.deflated
    }

    /// Payload so far, in bytes.
    pub(super) fn payload_bytes(&self) -> usize {
        self.bytes.len().saturating_sub(MAX_HEADER_BYTES)
    }

    /// Memory that it holds, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Takes unmasked payload. `expected` is how much is certain to follow it if the client keeps its
    /// word: memory grows towards it with what has arrived, never ahead of it.
    pub(super) fn append(&mut self, piece: &[u8], expected: u64) -> Result<(), Violation> {
        if self.bytes.capacity() == 0 {
            self.bytes
                .reserve_exact(FIRST_BYTES.max(MAX_HEADER_BYTES + piece.len()));
            self.bytes.resize(MAX_HEADER_BYTES, 0);
        }
        let spare = self.bytes.capacity() - self.bytes.len();
        if spare < piece.len() {
            let rest = usize::try_from(expected)
                .unwrap_or(usize::MAX)
                .saturating_add(piece.len());
            match self.bytes.len() {
                length if rest <= length => self.bytes.reserve_exact(rest.max(length / 2)),
                length => self.bytes.reserve_exact(length.max(piece.len())),
            }
        }
        self.bytes.extend_from_slice(piece);
        if self.kind == Kind::Text && !self.deflated {
            self.valid = utf8::advance(&self.bytes, self.valid)?;
        }
        Ok(())
    }

    /// The message is whole. One that is deflated has yet to be inflated.
    pub(super) fn finish(mut self) -> Result<Assembled, Violation> {
        if self.bytes.is_empty() {
            self.bytes.resize(MAX_HEADER_BYTES, 0);
        }
        if self.kind == Kind::Text && !self.deflated && self.valid != self.bytes.len() {
            return Err(Violation::InvalidUtf8);
        }
        Ok(Assembled {
            kind: self.kind,
            deflated: self.deflated,
            bytes: self.bytes,
        })
    }
}

/// A whole message that arrived in pieces, or deflated, in memory of its own.
#[derive(Debug)]
pub struct Assembled {
    kind: Kind,
    /// Only inside of the engine.
    deflated: bool,
    bytes: Vec<u8>,
}

impl Assembled {
    /// From a payload behind room for a server's header.
    pub(super) fn inflated(kind: Kind, bytes: Vec<u8>) -> Result<Self, Violation> {
        if kind == Kind::Text && !utf8::is_valid(&bytes[MAX_HEADER_BYTES..]) {
            return Err(Violation::InvalidUtf8);
        }
        Ok(Self {
            kind,
            deflated: false,
            bytes,
        })
    }

    /// What has yet to be inflated.
    #[cfg(test)]
    pub(super) fn of_deflated(kind: Kind, payload: &[u8]) -> Self {
        Self {
            kind,
            deflated: true,
            bytes: [&[0; MAX_HEADER_BYTES], payload].concat(),
        }
    }

    /// Whether the payload has yet to be inflated.
    pub(super) fn is_deflated(&self) -> bool {
        self.deflated
    }

    /// Text or binary.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[MAX_HEADER_BYTES..]
    }

    /// The payload, to be answered in place.
    pub fn payload_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[MAX_HEADER_BYTES..]
    }

    /// The payload as a frame for the client, not copied: the frame is what begins at the index.
    pub fn into_frame(mut self) -> (Vec<u8>, usize) {
        let header = Header::new(self.kind.into(), self.payload().len());
        let start = MAX_HEADER_BYTES - header.as_bytes().len();
        self.bytes[start..MAX_HEADER_BYTES].copy_from_slice(header.as_bytes());
        (self.bytes, start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promised_length_takes_no_memory_ahead() {
        let mut partial = Partial::new(Kind::Binary, false);
        partial.append(&[1], 1 << 40).unwrap();
        assert!(partial.held_bytes() <= FIRST_BYTES);
        for _ in 0..10_000 {
            partial.append(&[2; 7], 1 << 40).unwrap();
        }
        assert!(partial.held_bytes() <= 2 * partial.payload_bytes() + FIRST_BYTES);
    }

    #[test]
    fn goes_back_as_a_frame_without_a_copy() {
        let mut partial = Partial::new(Kind::Text, false);
        partial.append(b"hel", 2).unwrap();
        partial.append(b"lo", 0).unwrap();
        let message = partial.finish().unwrap();
        assert_eq!(message.payload(), b"hello");
        let (bytes, start) = message.into_frame();
        assert_eq!(&bytes[start..], b"\x81\x05hello");
    }
}
