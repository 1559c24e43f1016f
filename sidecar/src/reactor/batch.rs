//! Replies that lie in the receive buffer, one behind the other, until one `send` takes them all.
//! A client's frame is at least four bytes longer than the reply with the same payload, so the end of
//! the replies never overtakes the messages that have yet to be read.

use std::ops::Range;

use crate::wire::{Header, Kind};

/// Where the replies lie.
#[derive(Debug, Default)]
pub(super) struct Batch {
    range: Range<usize>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Adds the message whose payload lies at this range. The first is not moved; the others close the
    /// gap that the mask left.
    pub(super) fn add_in_place(&mut self, buffer: &mut [u8], kind: Kind, payload: Range<usize>) {
        let header = Header::new(kind.into(), payload.len());
        let header = header.as_bytes();
        if self.is_empty() {
            let start = payload.start - header.len();
            self.range = start..start;
        }
        let body = self.range.end + header.len();
        let end = body + payload.len();
        if body != payload.start {
            buffer.copy_within(payload, body);
        }
        buffer[self.range.end..body].copy_from_slice(header);
        self.range.end = end;
    }

    /// Adds a frame that lies elsewhere, if it fits below `unread`, the first byte still needed.
    pub(super) fn add_copy(&mut self, buffer: &mut [u8], unread: usize, frame: &[u8]) -> bool {
        if self.is_empty() {
            let start = unread.saturating_sub(frame.len());
            self.range = start..start;
        }
        let end = self.range.end + frame.len();
        if end > unread {
            return false;
        }
        buffer[self.range.end..end].copy_from_slice(frame);
        self.range.end = end;
        true
    }

    /// The replies; the batch is empty afterwards.
    pub(super) fn take(&mut self) -> Range<usize> {
        std::mem::take(&mut self.range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_become_one_piece() {
        let mut buffer = *b"....hhmmmmABChhmmmmDEFhhmmmmG|rest";
        let mut batch = Batch::default();
        assert!(batch.add_copy(&mut buffer, 4, b"\x81\x01x"));
        batch.add_in_place(&mut buffer, Kind::Text, 10..13);
        batch.add_in_place(&mut buffer, Kind::Binary, 19..22);
        assert!(!batch.add_copy(&mut buffer, 22, &[0; 12]));
        batch.add_in_place(&mut buffer, Kind::Text, 28..29);
        let range = batch.take();
        assert_eq!(&buffer[range], b"\x81\x01x\x81\x03ABC\x82\x03DEF\x81\x01G");
        assert_eq!(&buffer[29..], b"|rest");
        assert!(batch.is_empty());
    }

    #[test]
    fn a_single_reply_is_not_moved() {
        let mut buffer = *b"hhmmmmABC";
        let mut batch = Batch::default();
        batch.add_in_place(&mut buffer, Kind::Text, 6..9);
        assert_eq!(batch.take(), 4..9);
        assert_eq!(&buffer[4..], b"\x81\x03ABC");
    }
}
