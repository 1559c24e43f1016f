//! Messages from clients, which nobody has reason to trust.

use flate2::{Decompress, FlushDecompress, Status};

use super::{MAX_WINDOW_BITS, TAIL};
use crate::wire::header::MAX_HEADER_BYTES;
use crate::wire::message::Assembled;
use crate::wire::{Kind, Violation};

/// Blocks that call themselves the last in one message. An honest sender writes one at its end at most
/// (section 7.2.3.4); after each the inflater begins anew, and is given up to a window of history.
const FINAL_BLOCKS: u32 = 64;

/// An empty block that is the last. It ends the stream if the message's data ended with a block, as it must.
const END: [u8; 5] = [1, 0, 0, 0xff, 0xff];

/// Smallest allocation for what comes out.
const FIRST_BYTES: usize = 1024;

/// What an inflater has done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Inflated {
    /// Payload of deflated messages, as it came.
    pub deflated_bytes: u64,
    /// The same payload, inflated.
    pub plain_bytes: u64,
    /// Messages refused because they would have become larger than a message may be.
    pub bombs: u64,
}

/// Inflates messages, one after the other, for any number of sessions. Takes 50 KB once it is used.
#[derive(Debug, Default)]
pub struct Inflater {
    stream: Option<Decompress>,
    done: Inflated,
}

/// A message on its way through the inflater.
struct Run<'a> {
    stream: &'a mut Decompress,
    history: &'a [u8],
    /// Room for a server's header, then what has come out.
    out: Vec<u8>,
    /// Longest that `out` may become.
    longest: usize,
    final_blocks: u32,
}

impl Inflater {
    /// What it has done so far.
    pub fn done(&self) -> Inflated {
        self.done
    }

    /// Inflates one message. What comes out takes no more memory than `bound`, whatever it would become.
    ///
    /// Data that cannot be inflated is answered with 1007, as the widespread `ws` does: RFC 7692 names no
    /// code, and that one is for payload that is not what its message says it is (RFC 6455 section 7.4.1).
    pub(super) fn inflate(
        &mut self,
        kind: Kind,
        history: &[u8],
        payload: &[u8],
        bound: usize,
    ) -> Result<Assembled, Violation> {
        let longest = MAX_HEADER_BYTES + bound;
        let expected = (4 * payload.len()).clamp(FIRST_BYTES, longest.max(FIRST_BYTES));
        let mut out = Vec::with_capacity(expected);
        out.resize(MAX_HEADER_BYTES, 0);
        let stream = self
            .stream
            .get_or_insert_with(|| Decompress::new_with_window_bits(false, MAX_WINDOW_BITS));
        let mut run = Run {
            stream,
            history,
            out,
            longest,
            final_blocks: 0,
        };
        let result = run.message(payload);
        self.done.deflated_bytes += payload.len() as u64;
        self.done.plain_bytes += (run.out.len() - MAX_HEADER_BYTES) as u64;
        self.done.bombs += u64::from(result == Err(Violation::InflatedTooBig));
        result?;
        Assembled::inflated(kind, run.out)
    }
}

impl Run<'_> {
    fn message(&mut self, payload: &[u8]) -> Result<(), Violation> {
        // zlib writes nothing at all for an empty message behind another, and some send it so.
        if payload.is_empty() {
            return Ok(());
        }
        self.begin()?;
        // A final block that the sender has not padded (section 7.2.3.4) leaves no place for the tail.
        if self.feed(payload)? == Status::StreamEnd {
            return Ok(());
        }
        self.feed(&TAIL)?;
        match self.feed(&END)? {
            Status::StreamEnd => Ok(()),
            Status::Ok | Status::BufError => Err(Violation::InvalidDeflate),
        }
    }

    /// Begins a stream after everything that was said before. Nothing of other sessions is left in it.
    fn begin(&mut self) -> Result<(), Violation> {
        self.stream.reset(false);
        for said in [self.history, &self.out[MAX_HEADER_BYTES..]] {
            let end = &said[said.len().saturating_sub(1 << MAX_WINDOW_BITS)..];
            if !end.is_empty() {
                let set = self.stream.set_dictionary(end);
                set.map_err(|_| Violation::InvalidDeflate)?;
            }
        }
        Ok(())
    }

    /// Inflates a piece of the message, all of it. `StreamEnd` when a final block ended with it.
    fn feed(&mut self, piece: &[u8]) -> Result<Status, Violation> {
        let mut rest = piece;
        loop {
            self.make_room();
            let (taken, made) = (self.stream.total_in(), self.out.len());
            let status = self
                .stream
                .decompress_vec(rest, &mut self.out, FlushDecompress::Sync)
                .map_err(|_| Violation::InvalidDeflate)?;
            let taken = (self.stream.total_in() - taken) as usize;
            rest = &rest[taken..];
            if self.out.len() > self.longest {
                return Err(Violation::InflatedTooBig);
            }
            let is_full = self.out.len() == self.out.capacity();
            match status {
                Status::StreamEnd if rest.is_empty() => return Ok(status),
                Status::StreamEnd => {
                    self.final_blocks += 1;
                    if self.final_blocks > FINAL_BLOCKS {
                        return Err(Violation::InvalidDeflate);
                    }
                    self.begin()?;
                }
                Status::Ok | Status::BufError if rest.is_empty() && !is_full => return Ok(status),
                // Neither input nor room is wanting, and nothing moves.
                Status::Ok | Status::BufError if taken == 0 && made == self.out.len() => {
                    return Err(Violation::InvalidDeflate);
                }
                Status::Ok | Status::BufError => {}
            }
        }
    }

    /// Makes room for more, but never for more than the one byte that tells that it is too much.
    fn make_room(&mut self) {
        let length = self.out.len();
        if length == self.out.capacity() {
            let most = (self.longest + 1).saturating_sub(length);
            self.out.reserve_exact(length.max(FIRST_BYTES).min(most));
        }
    }
}
