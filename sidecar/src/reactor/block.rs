//! Frames that many sessions receive, framed once.

use std::rc::Rc;

use super::Kind;

/// Frames of one topic, one encoding and one loop turn, ready for the socket and shared by all their
/// receivers.
#[derive(Debug)]
pub struct Block {}

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
pub struct BlockBuilder {}

impl BlockBuilder {
    /// Frames one unmasked, unfragmented message and appends it.
    pub fn push(&mut self, kind: Kind, payload: &[u8]) {
        todo!("room reactor: {kind:?} {}", payload.len())
    }

    /// Number of frames so far: the index that a subscriber joining now begins at.
    pub fn frames(&self) -> u32 {
        todo!("room reactor")
    }

    /// Whether it has no frame.
    pub fn is_empty(&self) -> bool {
        self.frames() == 0
    }

    /// Ends the block and leaves this builder empty.
    pub fn finish(&mut self) -> Rc<Block> {
        todo!("room reactor")
    }
}
