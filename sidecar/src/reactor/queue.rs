//! What waits to be written to one session. Pure: it decides what fits, what goes, and what the next
//! write consists of.

use std::collections::VecDeque;
use std::io::IoSlice;

use super::Span;
use super::context::{Overflow, Pushed};
use crate::wire::{Header, Opcode};

/// Slices of one write: what fits on the stack and is far more than a turn usually queues.
pub(super) const MAX_SLICES: usize = 64;

/// Owned bytes are joined up to this size, so that a queue of small frames is not a list of them.
const JOIN_BYTES: usize = 16 * 1024;

/// Frames in the order of writing. Empty, it holds no memory.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// Bytes of the first entry that the kernel, or TLS, has taken.
    sent: usize,
    /// Bytes that the kernel has not taken, those in `sealed` with them.
    bytes: usize,
    /// The first entry begins in the middle of a frame, the rest of a write outside of the queue.
    torn: bool,
    /// Ciphertext that TLS has made of entries and the kernel has not taken. It goes first.
    sealed: usize,
}

#[derive(Debug)]
enum Entry {
    /// Frames of this session alone; the first `start` bytes are not part of them.
    Owned { bytes: Vec<u8>, start: usize },
    /// Frames shared with others. The key is what [`Overflow::LatestWins`] replaces by.
    Shared { span: Span, key: Option<u64> },
}

/// What became of a push, in frames.
#[derive(Debug)]
pub(super) struct Push {
    pub(super) outcome: Pushed,
    pub(super) queued: u32,
    pub(super) dropped: u32,
}

impl Entry {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Owned { bytes, start } => &bytes[*start..],
            Self::Shared { span, .. } => span.as_bytes(),
        }
    }
}

impl Queue {
    /// Bytes that the kernel has not taken.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Ciphertext that the kernel has not taken.
    pub(super) fn sealed(&self) -> usize {
        self.sealed
    }

    /// Tells how much ciphertext there is now that the kernel has not taken.
    pub(super) fn set_sealed(&mut self, bytes: usize) {
        self.bytes = self.bytes - self.sealed + bytes;
        self.sealed = bytes;
    }

    /// Appends a frame, copying the payload.
    pub(super) fn append_frame(&mut self, opcode: Opcode, payload: &[u8]) {
        let header = Header::new(opcode, payload.len());
        self.append(&[header.as_bytes(), payload]);
    }

    /// Appends whole frames given in parts, copying them.
    pub(super) fn append(&mut self, parts: &[&[u8]]) {
        let added: usize = parts.iter().map(|part| part.len()).sum();
        self.bytes += added;
        if let Some(Entry::Owned { bytes, .. }) = self.entries.back_mut()
            && bytes.len() + added <= JOIN_BYTES
        {
            parts.iter().for_each(|part| bytes.extend_from_slice(part));
            return;
        }
        self.entries.push_back(Entry::Owned {
            bytes: parts.concat(),
            start: 0,
        });
    }

    /// Appends frames, not copying them: they begin at `start`.
    pub(super) fn append_owned(&mut self, bytes: Vec<u8>, start: usize) {
        self.bytes += bytes.len() - start;
        self.entries.push_back(Entry::Owned { bytes, start });
    }

    /// Puts bytes before everything else, the rest of a write that began outside of the queue. Only
    /// when nothing of the queue has been written.
    pub(super) fn prepend(&mut self, rest: &[u8]) {
        debug_assert_eq!(self.sent, 0);
        if !rest.is_empty() {
            self.bytes += rest.len();
            self.torn = true;
            self.entries.push_front(Entry::Owned {
                bytes: rest.to_vec(),
                start: 0,
            });
        }
    }

    /// Whether this many bytes more may be queued: when they stay within the bound, or at most half of
    /// it is taken. Whoever has read that much is not slow, however large the next block is.
    pub(super) fn has_room(&self, more: usize, bound: usize) -> bool {
        self.bytes <= bound / 2 || self.bytes + more <= bound
    }

    /// Appends shared frames if they fit, or does what the policy says. [`Pushed::Closed`] asks the
    /// caller to close; nothing has been changed then.
    pub(super) fn push(&mut self, span: &Span, overflow: Overflow, bound: usize) -> Push {
        let (added, frames) = (span.as_bytes().len(), span.frames());
        let key = match overflow {
            Overflow::LatestWins { key } => Some(key),
            Overflow::Close(_) | Overflow::DropNewest => None,
        };
        if self.has_room(added, bound) {
            self.push_shared(span.clone(), key, added);
            return Push {
                outcome: Pushed::Queued,
                queued: frames,
                dropped: 0,
            };
        }
        let (freed, replaced) = key.map_or((0, 0), |key| self.replaceable(key));
        let (outcome, queued, dropped) = match overflow {
            Overflow::Close(_) => (Pushed::Closed, 0, frames),
            Overflow::LatestWins { key } if self.bytes - freed + added <= bound => {
                self.replace(key, freed);
                self.push_shared(span.clone(), Some(key), added);
                (Pushed::Replaced(replaced), frames, replaced)
            }
            Overflow::DropNewest | Overflow::LatestWins { .. } => {
                (Pushed::Dropped(frames), 0, frames)
            }
        };
        Push {
            outcome,
            queued,
            dropped,
        }
    }

    fn push_shared(&mut self, span: Span, key: Option<u64>, added: usize) {
        if added == 0 {
            return;
        }
        self.bytes += added;
        self.entries.push_back(Entry::Shared { span, key });
    }

    /// Bytes and frames that wait under a key and have not begun to be written.
    fn replaceable(&self, key: u64) -> (usize, u32) {
        self.entries.iter().skip(usize::from(self.sent > 0)).fold(
            (0, 0),
            |sum, entry| match entry {
                Entry::Shared {
                    span,
                    key: Some(its),
                } if *its == key => (sum.0 + span.as_bytes().len(), sum.1 + span.frames()),
                _ => sum,
            },
        )
    }

    fn replace(&mut self, key: u64, freed: usize) {
        self.bytes -= freed;
        let mut begun = self.sent > 0;
        self.entries.retain(|entry| {
            let keep =
                begun || !matches!(entry, Entry::Shared { key: Some(its), .. } if *its == key);
            begun = false;
            keep
        });
    }

    /// Drops all that has not begun to be written; what has is kept to the end of its frame, because
    /// a Close frame can follow only there. Gives the number of shared frames dropped.
    pub(super) fn cut(&mut self) -> u32 {
        let mut dropped = 0;
        let keep = usize::from(self.sent > 0 || self.torn);
        for entry in self.entries.drain(keep..) {
            if let Entry::Shared { span, .. } = entry {
                dropped += span.frames();
            }
        }
        if let Some(Entry::Shared { span, .. }) = self.entries.front_mut() {
            let begun = span.covering(self.sent);
            dropped += span.frames() - begun.frames();
            *span = begun;
        }
        let begun = self
            .entries
            .front()
            .map_or(0, |entry| entry.as_bytes().len() - self.sent);
        if begun == 0 {
            self.entries.clear();
        }
        self.bytes = begun + self.sealed;
        self.give_back();
        dropped
    }

    /// Fills in the slices of the next write; gives their number.
    pub(super) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; MAX_SLICES]) -> usize {
        let mut skip = self.sent;
        let mut count = 0;
        for (slice, entry) in slices.iter_mut().zip(&self.entries) {
            *slice = IoSlice::new(&entry.as_bytes()[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    /// The kernel, or TLS, has taken this many bytes.
    pub(super) fn take(&mut self, written: usize) {
        self.bytes -= written;
        self.sent += written;
        while let Some(length) = self.entries.front().map(|entry| entry.as_bytes().len())
            && length <= self.sent
        {
            self.sent -= length;
            self.torn = false;
            self.entries.pop_front();
        }
        self.give_back();
    }

    /// Without entries there is no list of them.
    fn give_back(&mut self) {
        if self.entries.is_empty() {
            *self = Self {
                bytes: self.sealed,
                sealed: self.sealed,
                ..Self::default()
            };
        }
    }
}

#[cfg(test)]
mod tests;
