//! Frames that many sessions receive, framed once.

use std::cell::OnceCell;
use std::ops::Range;
use std::rc::Rc;

use super::Kind;
use crate::wire::Header;

/// Frames of one topic, one encoding and one loop turn, ready for the socket and shared by all their
/// receivers.
#[derive(Debug)]
pub struct Block {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<u32>,
    /// The same frames for receivers that inflate, made for the first of them. None where none got smaller.
    pub(super) deflated: OnceCell<Option<Rc<Self>>>,
}

/// Part of a block: whole frames `first..end`. Late joiners take a suffix.
#[derive(Clone, Debug)]
pub struct Span {
    /// The block.
    pub block: Rc<Block>,
    /// Index of the first frame.
    pub first: u32,
    /// Index after the last frame.
    pub end: u32,
}

/// A block that still grows.
#[derive(Debug, Default)]
pub struct BlockBuilder {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl Block {
    /// Number of frames.
    pub fn frames(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Where frames `first..end` lie in the bytes.
    fn range(&self, first: u32, end: u32) -> Range<usize> {
        let at = |frame: u32| match frame {
            0 => 0,
            _ => self
                .ends
                .get(frame as usize - 1)
                .map_or(self.bytes.len(), |end| *end as usize),
        };
        let end = at(end);
        at(first).min(end)..end
    }
}

impl Span {
    /// All frames of a block.
    pub fn whole(block: Rc<Block>) -> Self {
        let end = block.frames();
        Self {
            block,
            first: 0,
            end,
        }
    }

    /// Number of frames.
    pub fn frames(&self) -> u32 {
        self.end.min(self.block.frames()).saturating_sub(self.first)
    }

    /// The frames as they go on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.block.bytes[self.block.range(self.first, self.end)]
    }

    /// The messages in the frames. To be asked of plain ones only.
    pub(super) fn messages(&self) -> impl Iterator<Item = (Kind, &[u8])> {
        let end = self.end.min(self.block.frames());
        (self.first..end).map(|frame| {
            let frame = &self.block.bytes[self.block.range(frame, frame + 1)];
            Header::split(frame)
        })
    }

    /// The shortest span from the same first frame that contains this many bytes.
    pub(super) fn covering(&self, bytes: usize) -> Self {
        let mut end = self.first;
        while end < self.end && self.block.range(self.first, end).len() < bytes {
            end += 1;
        }
        Self {
            block: Rc::clone(&self.block),
            first: self.first,
            end,
        }
    }
}

impl BlockBuilder {
    /// Frames one unmasked, unfragmented message and appends it.
    pub fn push(&mut self, kind: Kind, payload: &[u8]) {
        self.push_frame(&Header::new(kind.into(), payload.len()), payload);
    }

    /// The same for a payload that is deflated.
    pub(super) fn push_deflated(&mut self, kind: Kind, payload: &[u8]) {
        self.push_frame(&Header::deflated(kind, payload.len()), payload);
    }

    fn push_frame(&mut self, header: &Header, payload: &[u8]) {
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(payload);
        let end = u32::try_from(self.bytes.len())
            .expect("a block is one turn's publications, which the inbox bounds far below 4 GiB");
        self.ends.push(end);
    }

    /// Number of frames so far: the index that a subscriber joining now begins at.
    pub fn frames(&self) -> u32 {
        self.ends.len() as u32
    }

    /// Bytes of the frames so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no frame.
    pub fn is_empty(&self) -> bool {
        self.frames() == 0
    }

    /// Ends the block and leaves this builder empty.
    pub fn finish(&mut self) -> Rc<Block> {
        let bytes = std::mem::take(&mut self.bytes);
        let ends = std::mem::take(&mut self.ends);
        Rc::new(Block {
            bytes,
            ends,
            deflated: OnceCell::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_joiners_take_a_suffix() {
        let mut builder = BlockBuilder::default();
        assert!(builder.is_empty());
        builder.push(Kind::Text, b"one");
        let joined_at = builder.frames();
        builder.push(Kind::Binary, b"two");
        builder.push(Kind::Text, b"");
        let block = builder.finish();
        assert!(builder.is_empty());
        let all = Span::whole(Rc::clone(&block));
        assert_eq!(all.as_bytes(), b"\x81\x03one\x82\x03two\x81\x00");
        assert_eq!(all.frames(), 3);
        let late = Span {
            first: joined_at,
            ..all.clone()
        };
        assert_eq!(late.as_bytes(), b"\x82\x03two\x81\x00");
        let none = Span {
            first: 3,
            ..all.clone()
        };
        assert_eq!((none.as_bytes(), none.frames()), (b"".as_slice(), 0));
        let wrong = Span {
            block,
            first: 2,
            end: 9,
        };
        assert_eq!(
            (wrong.as_bytes(), wrong.frames()),
            (b"\x81\x00".as_slice(), 1)
        );
        assert_eq!(all.covering(0).frames(), 0);
        assert_eq!(all.covering(1).frames(), 1);
        assert_eq!(all.covering(5).frames(), 1);
        assert_eq!(all.covering(6).frames(), 2);
    }
}
